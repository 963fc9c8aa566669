"""Models that mislead attacks, and inputs that no attack can use."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workers.engine.attack import AttackPlan, GoalSpec, run_attack
from workers.failures import Rejected
from workers.losses import LOSSES


def plan(name="bim", epsilon=0.05, *, goal="untargeted", label=None, loss="cross_entropy", norm="linf", steps=10):
    parameters = {} if name == "fgsm" else {"steps": steps, "step_size": 2.5 * epsilon / steps}
    if name == "pgd":
        parameters |= {"restarts": 1, "random_start": True, "loss": loss}
    return AttackPlan(
        name=name, epsilon=epsilon, norm=norm, parameters=parameters, goal=GoalSpec(kind=goal, label=label)
    )


def run(model, x, y, attack=None, **options):
    attack = plan() if attack is None else attack
    return run_attack(
        model, x, y, attack, **{"sample_ids": torch.arange(len(x)), "seed": 0, "batch_size": 16, **options}
    )


class Around(nn.Module):
    """A net with something done to its input, its logits, or both."""

    def __init__(self, net, after=lambda z: z, before=lambda x: x):
        super().__init__()
        self.net, self.after, self.before = net, after, before

    def forward(self, x):
        return self.after(self.net(self.before(x)))


ATTACKS = [plan("fgsm"), plan("bim"), plan("pgd"), plan("pgd", norm="l2", epsilon=0.5), plan("bim", goal="random")]
every_attack = pytest.mark.parametrize("attack", ATTACKS, ids=lambda p: f"{p.name} {p.norm} {p.goal.kind}")


@every_attack
@pytest.mark.parametrize("shift", [-1e3, 1e3])
def test_trap_02_shifted_logits_change_nothing(small_net, pictures, attack, shift):
    """All logits negative, or all large: the same samples break, but for those on the edge of rounding."""
    x, y = pictures
    plain, shifted = run(small_net, x, y, attack), run(Around(small_net, lambda z: z + shift), x, y, attack)
    assert (plain.success == shifted.success).sum() >= 28
    assert plain.success.any()


def test_trap_22_saturated_logits_are_flagged_and_the_margin_breaks_them_all_the_same(small_net, pictures):
    """Logits times 1e4: cross-entropy's gradient is exactly 0, and the net looks robust; it is not."""
    x, y = pictures
    saturated = Around(small_net, lambda z: 1e4 * z)
    open_net = run(small_net, x, y, plan("pgd"))
    blind = run(saturated, x, y, plan("pgd"))
    assert not open_net.zero_gradient.any()
    assert blind.zero_gradient.sum() > 16
    assert blind.success.sum() < open_net.success.sum()
    for loss in ("margin", "dlr"):
        seeing = run(saturated, x, y, plan("pgd", loss=loss))
        assert not seeing.zero_gradient.any()
        assert seeing.success.sum() >= open_net.success.sum() - 1


def test_trap_08_dead_units_give_no_direction_and_no_nan(pictures):
    """A ReLU that never fires: nothing moves from the clean input, everything is flagged, nothing is NaN."""
    x, y = pictures
    dead = nn.Sequential(nn.Flatten(), nn.Linear(144, 6), nn.ReLU(), nn.Linear(6, 6))
    nn.init.constant_(dead[1].bias, -100.0)
    with torch.no_grad():
        y = dead(x).argmax(1)
    for attack in ATTACKS:
        result = run(dead, x, y, attack)
        assert result.zero_gradient.all()
        assert not result.success.any()
        assert torch.isfinite(result.x_adv).all()
        assert result.violations == 0
        if attack.name != "pgd":
            assert torch.equal(result.x_adv, x)


def test_zero_gradient_is_false_for_samples_that_are_not_attacked(pictures):
    """The flag is about attacks that were blind, not about samples without one."""
    x, y = pictures
    dead = Around(nn.Flatten(), lambda z: torch.zeros(len(z), 6))
    assert not run(dead, x, torch.ones_like(y)).zero_gradient.any()
    assert run(dead, x, torch.zeros_like(y)).zero_gradient.all()


def test_a_rounding_layer_hides_the_gradient_and_is_flagged(small_net, pictures):
    """Eight grey levels: the derivative of round is 0, which says nothing about robustness."""
    x, y = pictures
    rounding = Around(small_net, before=lambda x: torch.round(7 * x) / 7)
    with torch.no_grad():
        y = rounding(x).argmax(1)
    assert run(rounding, x, y).zero_gradient.all()


def test_softmax_outputs_weaken_but_do_not_mislead(small_net, pictures):
    """Probabilities in place of logits: still valid, still judged by the model's own answer."""
    x, y = pictures
    result = run(Around(small_net, lambda z: z.softmax(1)), x, y)
    assert result.success.sum() > 16
    assert result.violations == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("call", [1, 2])
def test_trap_08_nan_logits_are_refused_not_scored(small_net, pictures, bad, call):
    """argmax of NaN is some class; counting it as a success would be a lie. In the clean pass and at the end."""
    calls = iter(range(1, 100))
    broken = Around(small_net, lambda z: z + (bad if next(calls) >= call else 0))
    with pytest.raises(Rejected) as caught:
        run(broken, *pictures, plan("fgsm"))
    assert caught.value.reason == "LOGITS_NOT_FINITE"


def test_trap_12_dropout_and_batch_norm_are_put_to_sleep(pictures):
    """A model lent in train mode is attacked as it is deployed, and its verdict does not depend on the batch."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(400, 6))
    x = pictures[0]
    net.train()(x)  # statistics that are not 0 and 1
    with torch.no_grad():
        y = net.eval()(x).argmax(1)
    awake, asleep = run(net.train(), x, y), run(net.eval(), x, y)
    assert torch.equal(awake.x_adv, asleep.x_adv)
    assert awake.attacked.all()
    again = run(net, awake.x_adv, y, plan(epsilon=0.0), batch_size=3)
    assert torch.equal(again.clean_prediction, awake.prediction)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("goal", ["untargeted", "random", "least_likely", "label"])
@pytest.mark.parametrize("classes", [2, 3, 4, 1000])
def test_trap_13_any_number_of_classes(classes, goal, loss):
    """DLR says what it needs; everything else works from two classes on."""
    x = torch.rand(5, 12, generator=torch.Generator().manual_seed(0))
    net = nn.Linear(12, classes)
    with torch.no_grad():
        y = net(x).argmax(1)
    attack = plan("pgd", 1.0, goal=goal, label=0 if goal == "label" else None, loss=loss)
    if loss == "dlr" and classes < (3 if goal == "untargeted" else 4):
        with pytest.raises(Rejected) as caught:
            run(net, x, y, attack)
        assert caught.value.reason == "TOO_FEW_CLASSES"
    else:
        result = run(net, x, y, attack)
        assert result.violations == 0
        assert (result.target != y)[result.attacked].all()


@every_attack
@pytest.mark.parametrize("count", [0, 1])
def test_trap_15_no_sample_and_one_sample(small_net, pictures, attack, count):
    """Empty shards have results of the right shapes and types."""
    x, y = pictures
    result, full = run(small_net, x[:count], y[:count], attack), run(small_net, x, y, attack)
    for name, value in vars(full).items():
        if isinstance(value, torch.Tensor):
            assert getattr(result, name).shape == (count, *value.shape[1:])
            assert getattr(result, name).dtype == value.dtype
    assert result.violations == 0


@every_attack
def test_trap_15_one_step_is_enough_for_the_books(small_net, pictures, attack):
    """steps = 1 and 2, where there is hardly anything to look back at."""
    for steps in (1, 2):
        tiny = plan(attack.name, attack.epsilon, norm=attack.norm, goal=attack.goal.kind, steps=steps)
        result = run(small_net, *pictures, tiny)
        assert result.violations == 0
        assert result.backwards[result.attacked].min() >= (1 if attack.name == "fgsm" else steps)


def test_a_start_that_lands_on_the_goal_costs_no_more_than_it_must(pictures):
    """PGD's random point may already be wrong; it is kept."""
    x, _ = pictures

    class Sphere(nn.Module):
        """Class 0 at x = 0.5 alone."""

        def forward(self, x):
            away = (x - 0.5).abs().flatten(1).amax(1)
            return torch.stack([1e-3 - away, torch.zeros_like(away)], dim=1)

    grey = torch.full_like(x, 0.5)
    result = run(Sphere(), grey, torch.zeros(32, dtype=torch.int64), plan("pgd", steps=50))
    assert result.success.all()
    assert (result.backwards == 2).all()


@pytest.mark.parametrize("shape", [(9,), (3, 7), (3, 5, 9), (2, 3, 4, 5)])
def test_any_input_shape(shape):
    """Vectors, pictures that are not square, volumes."""
    x = torch.rand(4, *shape, generator=torch.Generator().manual_seed(1))
    net = nn.Sequential(nn.Flatten(), nn.Linear(x[0].numel(), 3))
    with torch.no_grad():
        y = net(x).argmax(1)
    for attack in ATTACKS:
        result = run(net, x, y, attack)
        assert result.x_adv.shape == x.shape
        assert result.violations == 0


@every_attack
def test_memory_layout_does_not_matter(small_net, pictures, attack):
    """Transposed, strided and channels_last inputs are the same pictures."""
    x, y = pictures
    expected = run(small_net, x, y, attack)
    strided = torch.stack([x, x], dim=-1)[..., 0]
    transposed = x.transpose(2, 3).contiguous().transpose(2, 3)
    for same in (strided, transposed, x.contiguous(memory_format=torch.channels_last)):
        result = run(small_net, same, y, attack)
        assert torch.equal(result.success, expected.success)
        assert torch.allclose(result.x_adv, expected.x_adv, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_trap_18_inputs_of_any_precision_are_attacked_in_float32(small_net, pictures, dtype):
    """No float64 in the loop, no half-precision pixels in the result."""
    x, y = pictures
    result = run(small_net, x.to(dtype), y)
    assert result.x_adv.dtype == torch.float32
    assert result.violations == 0
    assert (result.x_adv - x.to(dtype).float()).abs().amax() <= 0.05 + 1e-6


def test_a_model_in_double_precision_is_asked_in_its_own(small_net, pictures):
    """Only the net computes in float64; the points stay float32."""
    x, y = pictures
    single, double = run(small_net, x, y), run(small_net.double(), x, y)
    assert torch.equal(single.success, double.success)
    assert double.x_adv.dtype == double.confidence.dtype == torch.float32


@every_attack
def test_trap_01_pixels_at_exactly_0_and_1_move(small_net, pictures, attack):
    """Two thirds of the pixels of a digit are exactly 0 or 1."""
    x, y = (pictures[0] > 0.5).float(), pictures[1]
    with torch.no_grad():
        y = small_net(x).argmax(1)
    result = run(small_net, x, y, attack)
    assert ((result.x_adv != x).flatten(1).float().mean(1) > 0.3).all()
    assert result.violations == 0


def test_trap_05_20_inputs_just_outside_are_clipped_and_others_refused(small_net, pictures):
    """1 + 1e-7 is rounding; 1.1, -0.4 or 255 is a mistake, and the message says what was found."""
    x, y = pictures
    nearly = x.clone()
    nearly[:, 0, 0, 0], nearly[:, 0, 0, 1] = 1 + 5e-7, -5e-7
    y = torch.where(torch.arange(32) < 16, y, (y + 1) % 6)  # half of them are not attacked and come back as they are
    result = run(small_net, nearly, y)
    assert result.violations == 0
    assert result.x_adv.min() >= 0
    assert result.x_adv.max() <= 1
    for wrong, found in ((x + 0.1, "to 1.0"), (x - 0.4, "-0.3"), (255 * x, "to 25")):
        with pytest.raises(Rejected, match=found) as caught:
            run(small_net, wrong, y)
        assert caught.value.reason == "INPUT_OUT_OF_RANGE"


IDS = torch.arange(32)
BAD_INPUT = {
    "NaN pixel": (lambda x, y: (x.where(x < 0.99, torch.nan), y, IDS), "INPUT_NOT_FINITE"),
    "infinite pixel": (lambda x, y: (x.where(x < 0.99, torch.inf), y, IDS), "INPUT_NOT_FINITE"),
    "whole numbers": (lambda x, y: ((255 * x).byte(), y, IDS), "WRONG_DTYPE"),
    "labels with fractions": (lambda x, y: (x, y.float(), IDS), "WRONG_DTYPE"),
    "negative label": (lambda x, y: (x, y - 1, IDS), "LABEL_OUT_OF_RANGE"),
    "label too large": (lambda x, y: (x, y + 5, IDS), "LABEL_OUT_OF_RANGE"),
    "too few labels": (lambda x, y: (x, y[:-1], IDS), "SHAPE_MISMATCH"),
    "one-hot labels": (lambda x, y: (x, nn.functional.one_hot(y), IDS), "SHAPE_MISMATCH"),
    "too few ids": (lambda x, y: (x, y, IDS[:-1]), "SHAPE_MISMATCH"),
    "no batch dimension": (lambda x, y: (x.flatten()[:32], y, IDS), "SHAPE_MISMATCH"),
}


@pytest.mark.parametrize(("spoil", "reason"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_is_refused_with_a_reason(small_net, pictures, spoil, reason):
    """Before anything is attacked."""
    x, y, ids = spoil(*pictures)
    with pytest.raises(Rejected) as caught:
        run(small_net, x, y, sample_ids=ids)
    assert caught.value.reason == reason


@pytest.mark.parametrize("shape", [(3,), (6, 2, 2), (1,)], ids=["wrong batch", "maps", "one class"])
def test_answers_that_are_no_logits_are_refused(pictures, shape):
    """(N, K) with K >= 2 is all that can be judged."""
    x, y = pictures
    answer = torch.zeros(shape) if shape == (3,) else torch.zeros(16, *shape)
    with pytest.raises(Rejected) as caught:
        run(Around(nn.Identity(), lambda _: answer), x, torch.zeros_like(y))
    assert caught.value.reason == "BAD_LOGITS"


GOOD = {"steps": 3, "step_size": 0.1}
BAD_PLANS = {
    "unknown name": (AttackPlan(name="autoattack", epsilon=0.1), "UNKNOWN_ATTACK"),
    "missing parameter": (AttackPlan(name="bim", epsilon=0.1, parameters={"steps": 3}), "BAD_ATTACK_PARAMETERS"),
    "unknown parameter": (AttackPlan(name="fgsm", epsilon=0.1, parameters={"steps": 3}), "BAD_ATTACK_PARAMETERS"),
    "no steps": (AttackPlan(name="bim", epsilon=0.1, parameters={**GOOD, "steps": 0}), "BAD_ATTACK_PARAMETERS"),
    "half a step": (AttackPlan(name="bim", epsilon=0.1, parameters={**GOOD, "steps": 2.5}), "BAD_ATTACK_PARAMETERS"),
    "negative epsilon": (AttackPlan(name="fgsm", epsilon=-0.1), "BAD_ATTACK_PARAMETERS"),
    "infinite epsilon": (AttackPlan(name="fgsm", epsilon=float("inf")), "BAD_ATTACK_PARAMETERS"),
    "unknown norm": (AttackPlan(name="fgsm", epsilon=0.1, norm="l1"), "BAD_ATTACK_PARAMETERS"),
    "norm of another": (
        AttackPlan(name="iterative_least_likely", epsilon=0.1, norm="l2", parameters=GOOD),
        "BAD_ATTACK_PARAMETERS",
    ),
    "goal of its own": (
        AttackPlan(name="iterative_least_likely", epsilon=0.1, parameters=GOOD, goal=GoalSpec(kind="random")),
        "BAD_ATTACK_PARAMETERS",
    ),
    "unknown goal": (AttackPlan(name="fgsm", epsilon=0.1, goal=GoalSpec(kind="worst")), "BAD_ATTACK_PARAMETERS"),
    "label without number": (
        AttackPlan(name="fgsm", epsilon=0.1, goal=GoalSpec(kind="label")),
        "BAD_ATTACK_PARAMETERS",
    ),
    "unknown loss": (plan("pgd", loss="hinge"), "BAD_ATTACK_PARAMETERS"),
    "target too large": (plan("fgsm", goal="label", label=6), "TARGET_OUT_OF_RANGE"),
}


@pytest.mark.parametrize(("attack", "reason"), BAD_PLANS.values(), ids=BAD_PLANS)
def test_a_plan_that_can_never_run_is_refused(small_net, pictures, attack, reason):
    """The gateway checks too; the engine does not rely on it."""
    with pytest.raises(Rejected) as caught:
        run(small_net, *pictures, attack)
    assert caught.value.reason == reason


def test_a_success_that_a_fresh_look_does_not_confirm_is_none(pictures):
    """A model that answers wrongly only while gradients are on fools the attack's own view, and not the verdict."""
    x, _ = pictures
    y = torch.zeros(32, dtype=torch.int64)

    class TwoFaced(nn.Module):
        def forward(self, x):
            z = x.flatten(1)[:, :1] * torch.tensor([[1e-3, 2e-3]])
            wrong = torch.tensor([0.0, 1.0]) if torch.is_grad_enabled() and len(seen) > 2 else torch.tensor([1.0, 0.0])
            seen.append(len(x))
            return z + wrong

    for survivors_only in (True, False):
        seen = []
        result = run(TwoFaced(), x, y, plan(steps=20), survivors_only=survivors_only, batch_size=32)
        assert not result.success.any()
        assert torch.equal(result.prediction, y)
        assert result.attacked.all()
        assert result.backwards.eq(20).all()


def test_trap_08_a_nan_later_on_does_not_hide_a_success_before_it():
    """The steps go past the region where the model errs, into one where it computes nothing."""

    class Cliff(nn.Module):
        """Class 1 between 0.53 and 0.58, NaN beyond."""

        def forward(self, x):
            z = torch.cat([torch.full_like(x, 0.53), x], dim=1)
            return z.where(x < 0.58, torch.nan)

    attack = AttackPlan(name="bim", epsilon=0.2, parameters={"steps": 6, "step_size": 0.02})
    for count in (1, 3):
        x = torch.full((count, 1), 0.5)
        result = run(Cliff(), x, torch.zeros(count, dtype=torch.int64), attack)
        assert result.success.all()
        assert torch.allclose(result.x_adv, torch.full((count, 1), 0.54))


@pytest.mark.parametrize("attack", [plan("bim"), plan("pgd")], ids=["clean start", "random start"])
def test_a_model_that_writes_into_its_input_does_not_get_at_the_callers(small_net, pictures, attack):
    """Such a model can't be differentiated, and torch says so; the caller's pictures are as they were."""
    x, y = pictures
    before = x.clone()
    with pytest.raises(RuntimeError, match="in-place"):
        run(Around(small_net, before=lambda x: x.mul_(2).sub_(1)), x, y, attack)
    assert torch.equal(x, before)
