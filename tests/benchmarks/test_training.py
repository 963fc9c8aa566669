"""The comparison of trainings: its pace, its floor, its verdicts. The other libraries are not needed for it."""

from dataclasses import replace

import pytest
import torch

from benchmarks.training import bare, ours, page
from benchmarks.training.bench import Bench
from benchmarks.training.cases import CASES, quick
from benchmarks.training.compare import ENTRANTS
from benchmarks.training.nets import four_convolutions, net
from benchmarks.training.schedule import LEAST, Pace, adam, optimization
from benchmarks.training.targets import MOST, targets
from workers.data import builtin
from workers.engine.train_schedule import learning_rate
from workers.models import save

SMALL = replace(CASES[0], digits=40, batch_size=20, epochs=2, steps=2)


def test_every_case_has_whole_batches_quick_or_not():
    for case in CASES:
        for each in (case, quick(case)):
            assert each.digits % each.batch_size == 0
            assert each.batches * each.epochs >= 4


def test_the_larger_net_takes_the_digits():
    assert four_convolutions()(torch.rand(2, 1, 28, 28)).shape == (2, 10)
    assert torch.equal(net("four_convolutions").network[0].weight, net("four_convolutions").network[0].weight)


def test_the_pace_is_the_rate_and_the_ramp_of_our_engine():
    optimizer, epsilons = adam(torch.nn.Linear(2, 2)), []
    pace = Pace(SMALL, optimizer, epsilons.append)
    for step in range(4):
        assert optimizer.param_groups[0]["lr"] == learning_rate(optimization(SMALL), step, 4)
        pace.step()
    assert epsilons == pytest.approx([LEAST, 0.15, 0.3, 0.3])


@pytest.mark.parametrize("kind", [ours, bare])
def test_ours_and_the_floor_make_two_passes_a_step_and_three(kind):
    """The floor is one; ours is on it."""
    bench = Bench.__new__(Bench)
    bench.side, bench.trainers = "peers", {}
    count = bench.count(kind.__name__.rpartition(".")[2], SMALL)
    tally = count.tally
    assert count.samples == 40
    assert (tally.forwards, tally.backwards, tally.weight_gradients) == (120, 120, 40)
    assert tally.units == 40 * SMALL.floor == 280


def test_ours_left_after_every_epoch_is_the_training_that_is_left_alone():
    digits = builtin("mnist10k", "train").select(0, 40)
    broken = ours.Trainer(net("wong_cnn"), digits, SMALL)
    broken.epoch()
    first = broken.checkpoint
    broken.epoch()
    assert first != broken.checkpoint
    with pytest.raises(RuntimeError, match="no epoch left"):
        broken.epoch()
    alone = ours.Trainer(net("wong_cnn"), digits, SMALL)
    alone._leave = lambda _: None
    assert save(broken.trained()) == save(alone.trained())


def test_the_bare_loop_learns():
    """It is a floor of the same training only if it trains."""
    case = replace(SMALL, epochs=8, epsilon=0.05, rate=5e-3)
    loop = bare.Trainer(net("wong_cnn"), builtin("mnist10k", "train").select(0, 40), case)
    for _ in range(case.epochs):
        loop.epoch()
    assert (loop.trained().eval()(loop.x).argmax(1) == loop.y).float().mean() > 0.5


def comparison(*, judged=True, **of_ours):
    row = {
        "seconds": 1.0,
        "ours_takes": 0.5,
        "forwards": 8.0,
        "backwards": 8.0,
        "weight_gradients": 1.0,
        "passes": 17.0,
        "peak_bytes": None,
        "accuracy": 0.98,
        "robust_accuracy": 0.8,
    }
    case = {"digits": 8000, "batches": 80, "epochs": 10, "floor": 17, "judged": judged}
    return {"case": case, "rows": {entrant.name: dict(row) for entrant in ENTRANTS} | {"ours": row | of_ours}}


def missed(found):
    return [target.sentence for target in targets("pgd-7 wong_cnn", found) if not target.held]


def test_targets_hold_where_ours_is_as_fast_as_it_has_to_be():
    assert not missed(comparison())
    assert len(targets("", comparison(judged=False))) == len(targets("", comparison())) - 1


def test_each_target_is_missed_for_its_own_reason():
    slow = comparison()
    for name in MOST:
        slow["rows"][name]["ours_takes"] = 1.2
    assert [words.rpartition(" ")[2] for words in missed(slow)] == [name.rpartition(" ")[2] for name in MOST]
    wasteful = comparison(weight_gradients=8.0, passes=24.0)
    assert [words.split()[0] for words in missed(wasteful)] == ["17", "weights"]
    assert missed(comparison(robust_accuracy=0.76)) == ["robust accuracy not 3 points below the best of the others"]


def test_the_page_shows_everybody(tmp_path):
    about = {"device": "d", "date": "2026-01-01", "size": "full", "threads": 1, "clock": "CPU time", "versions": {}}
    path = tmp_path / "page.md"
    path.write_text(f"before\n{page.BEGIN}\n{page.END}\nafter\n")
    page.write(path, {"cpu": {"about": about, "comparisons": {"pgd-7 wong_cnn": comparison()}}})
    text = path.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    for entrant in ENTRANTS:
        assert f"| {entrant.name} |" in text
    assert "Targets: 6 of 6 held." in text
