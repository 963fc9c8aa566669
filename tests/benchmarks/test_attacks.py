"""The comparison's own logic: counting, judging, ratios and verdicts. The other libraries are not needed for it."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from benchmarks.attacks import ours, page
from benchmarks.attacks.cases import CASES, larger
from benchmarks.attacks.compare import _beside, ratio
from benchmarks.attacks.counting import Counted
from benchmarks.attacks.judge import distances, judge
from benchmarks.attacks.metering import peak_bytes, timed
from benchmarks.attacks.reasons import reason
from benchmarks.attacks.targets import targets
from workers.engine.plan import look_up
from workers.engine.propagate import Eager

CPU = torch.device("cpu")


def linear() -> nn.Module:
    """Two classes: class 1 where the mean of both pixels is above a half."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    net[1].weight.data = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    net[1].bias.data = torch.tensor([1.0, 0.0])
    return net.eval()


def test_every_case_is_one_that_our_engine_takes():
    assert len({case.key for case in CASES}) == len(CASES)
    for case in CASES:
        look_up(ours.plan_of(case), survivors_only=True)


def test_a_larger_case_has_at_most_the_whole_split_and_shortest_ways_stay():
    in_ball, shortest = CASES[0], next(case for case in CASES if case.minimum)
    assert larger(in_ball, 5).count == 5 * in_ball.count
    assert larger(in_ball, 1000).count == 2000
    assert larger(shortest, 5) == shortest


def test_the_tally_counts_samples_of_every_forward_and_backward():
    counted = Counted(linear().requires_grad_(False))
    x = torch.rand(3, 2, requires_grad=True)
    counted(x)
    logits = counted(x)
    torch.autograd.grad(logits.sum(), x, retain_graph=True)
    torch.autograd.grad(logits[:, 0].sum(), x)
    tally = counted.tally
    assert (tally.forwards, tally.backwards, tally.calls, tally.weight_gradients) == (6, 6, 2, 0)


def test_the_tally_shows_who_derives_by_the_weights():
    counted = Counted(linear())
    x = torch.rand(3, 2, requires_grad=True)
    torch.autograd.grad(counted(x).sum(), x)
    assert counted.tally.weight_gradients == 0
    counted(x).sum().backward()
    assert counted.tally.weight_gradients == 3


def test_a_copy_of_the_counted_net_counts_into_the_same_tally():
    counted = Counted(linear())
    copy.deepcopy(counted)(torch.rand(3, 2))
    assert counted.tally.forwards == 3


@pytest.mark.parametrize(("norm", "length"), [("linf", 0.4), ("l2", 0.5), ("l1", 0.7), ("l0", 2.0)])
def test_distances_are_those_of_the_norm(norm, length):
    x = torch.zeros(1, 1, 1, 3)
    assert distances(x + torch.tensor([0.3, 0.4, 0.0]), x, norm).item() == pytest.approx(length)


def ruled(x_adv, *, epsilon=0.4, target=None):
    x, y = torch.tensor([[0.2, 0.2], [0.4, 0.4], [0.9, 0.9]]), torch.tensor([0, 0, 0])
    return judge(linear(), x, y, x_adv, norm="linf", epsilon=epsilon, target=target)


def test_what_crosses_inside_its_ball_is_broken_and_what_was_wrong_before_does_not_count():
    verdict = ruled(torch.tensor([[0.2, 0.2], [0.6, 0.6], [0.9, 0.9]]))
    assert verdict.broken.tolist() == [False, True, False]
    assert verdict.attacked.tolist() == [True, True, False]
    assert verdict.success_rate == pytest.approx(1 / 2)
    assert verdict.robust_accuracy == pytest.approx(1 / 3)
    assert verdict.mean_distance == pytest.approx(0.2)
    assert verdict.violations == 0


@pytest.mark.parametrize("point", [[0.81, 0.81], [math.nan, 0.9], [1.1, 0.7]])
def test_what_is_outside_ball_or_box_or_not_a_number_is_never_broken(point):
    epsilon = 1.0 if point[0] == 1.1 else 0.4
    verdict = ruled(torch.tensor([[0.2, 0.2], point, [0.9, 0.9]]), epsilon=epsilon)
    assert verdict.violations == 1
    assert not verdict.broken.any()


def test_a_target_counts_only_where_it_is_reached_from_another_class():
    verdict = ruled(torch.tensor([[0.6, 0.6], [0.4, 0.4], [0.9, 0.9]]), target=1)
    assert verdict.broken.tolist() == [True, False, True]
    assert verdict.attacked.all()


def test_a_call_is_timed_and_its_memory_seen():
    assert timed(lambda: torch.zeros(1), CPU).wall_s > 0
    peak = peak_bytes(lambda: torch.ones(2**23).sum(), CPU)
    assert peak is None or peak > 2**24


def test_ours_answers_with_points_that_the_judge_accepts():
    case = replace(CASES[1], parameters={"steps": 5, "step_size": 0.2}, epsilon=0.4)
    attack = ours.attack(linear(), case, Eager(), survivors_only=True)
    assert attack is not None
    verdict = ruled(attack(torch.tensor([[0.2, 0.2], [0.4, 0.4], [0.9, 0.9]]), torch.tensor([0, 0, 0])))
    assert verdict.success_rate == 1
    assert verdict.violations == 0


def test_an_attack_that_ours_lacks_is_none():
    assert ours.attack(linear(), replace(CASES[0], attack="no such attack"), Eager(), survivors_only=True) is None


def test_ratios_pair_the_rounds_and_fall_back_on_medians():
    assert ratio([2.0, 9.0, 4.0], [1.0, 1.0, 2.0]) == 2.0
    assert ratio([6.0], [1.0, 2.0, 9.0]) == 3.0


def test_distances_are_compared_only_where_both_broke_the_sample():
    near = ruled(torch.tensor([[0.2, 0.2], [0.6, 0.6], [0.9, 0.9]]))
    far = ruled(torch.tensor([[0.6, 0.6], [0.8, 0.8], [0.9, 0.9]]))
    times = {"ours, survivors": [1.0], "peer": [3.0]}
    row = _beside("peer", times, {"ours, survivors": near, "peer": far}, 0.5)
    assert row["times_ours"] == {"ours, survivors": 3.0}
    assert row["times_ours_looking"] == {"ours, survivors": 3.5}
    assert row["distance_ratio"]["ours, survivors"] == pytest.approx(0.5)


def comparison(attack, *, fixed=False, minimum=False, **of_peer):
    ours_row = {
        "seconds": 1.0,
        "success_rate": 0.9,
        "robust_accuracy": 0.5,
        "mean_distance": 1.0,
        "violations": 0,
        "forwards": 1.0,
        "backwards": 1.0,
        "weight_gradients": 0,
        "peak_bytes": None,
    }
    peer = {
        **ours_row,
        "times_ours": {"ours": 2.0, "ours, survivors": 4.0},
        "times_ours_looking": {"ours": 2.5, "ours, survivors": 4.5},
        "distance_ratio": {"ours": 1.0, "ours, survivors": 1.0},
        **of_peer,
    }
    case = {"attack": attack, "net": "small_standard", "fixed_steps": fixed, "minimum": minimum, "count": 8}
    modes = {"ours": ours_row} if fixed else {}
    return {"case": case, "rows": {**modes, "ours, survivors": dict(ours_row), "pyautoattack": peer}}


def missed(key, found):
    return [target.sentence for target in targets(key, found) if not target.held]


def test_targets_hold_where_ours_is_faster_and_no_weaker():
    assert not missed("bim linf small_standard", comparison("bim", fixed=True))
    assert not missed("deepfool l2 small_standard", comparison("deepfool", minimum=True))
    assert not missed("auto_attack linf small_standard", comparison("auto_attack"))


def test_each_target_is_missed_for_its_own_reason():
    slow = comparison("bim", fixed=True, times_ours={"ours": 1.4, "ours, survivors": 2.9})
    assert [words.split(":")[0] for words in missed("bim", slow)] == ["every step", "survivors only"]
    better = comparison("deepfool", minimum=True, success_rate=1.0, distance_ratio={"ours, survivors": 1.1})
    assert [words.split()[0] for words in missed("deepfool", better)] == ["success", "mean"]
    stronger = comparison("auto_attack", robust_accuracy=0.49, times_ours={"ours, survivors": 1.5})
    assert len(missed("auto_attack", stronger)) == 4
    outside = comparison("apgd")
    outside["rows"]["ours, survivors"]["violations"] = 1
    assert missed("apgd", outside) == ["no result of ours outside box or ball"]


def test_a_failed_peer_is_shown_and_decides_nothing(tmp_path):
    found = comparison("deepfool", minimum=True)
    found["rows"]["art"] = {"failed": "RuntimeError: no"}
    assert not missed("deepfool", found)
    about = {"device": "d", "date": "2026-01-01", "size": "quick", "threads": 1, "clock": "CPU time", "versions": {}}
    path = tmp_path / "page.md"
    path.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    page.write(path, {"cpu": {"about": about, "comparisons": {"deepfool": found}}})
    text = path.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "failed: RuntimeError: no" in text


def test_a_page_without_markers_is_left_alone(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("nothing\n")
    with pytest.raises(SystemExit, match="markers"):
        page.write(path, {})
    assert path.read_text() == "nothing\n"


def test_a_reason_is_given_for_what_is_known_only():
    assert "forwards" in reason("fgsm linf resnet18", "every step: at least")
    assert reason("jsma l0 small_standard", "faster than art") == "not explained yet"
