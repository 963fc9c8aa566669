"""PGD in L1 and MI-FGSM with its options: on the oracle, and what each option does."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from workers.attacks import bim, pgd
from workers.attacks.apgd import apgd
from workers.attacks.fab import fab
from workers.attacks.mi_fgsm import _draw_sizes, _resized, _smooth, mi_fgsm
from workers.attacks.square import square
from workers.engine.attack import AttackPlan, GoalSpec, run_attack
from workers.failures import Rejected
from workers.goals import Untargeted
from workers.threats import BALLS, Linf

PGD = {"steps": 30, "restarts": 1, "random_start": True, "loss": "cross_entropy"}
MI = {
    "steps": 10,
    "decay": 1.0,
    "nesterov": False,
    "diversity_probability": 0.0,
    "kernel_size": 0,
    "loss": "cross_entropy",
}
CASES = {
    "pgd l1": ("pgd", "l1", PGD),
    "mi linf": ("mi_fgsm", "linf", MI),
    "mi l2": ("mi_fgsm", "l2", MI),
    "ni linf": ("mi_fgsm", "linf", {**MI, "nesterov": True}),
    "ni l2": ("mi_fgsm", "l2", {**MI, "nesterov": True}),
    "di linf": ("mi_fgsm", "linf", {**MI, "steps": 30, "diversity_probability": 0.3}),
}
GREY = torch.rand(4, 2, 9, 7, generator=torch.Generator().manual_seed(1))


def attack(oracle, case, epsilon, goal="untargeted", *, label=None, **options):
    name, norm, parameters = case
    parameters = {**parameters, "step_size": 2.5 * epsilon / parameters["steps"]}
    spec = GoalSpec(kind=goal, label=label)
    plan = AttackPlan(name=name, norm=norm, epsilon=epsilon, parameters=parameters, goal=spec)
    options = {"sample_ids": oracle.ids, "seed": 1, "batch_size": 8, **options}
    return run_attack(oracle.model, oracle.x, oracle.y, plan, **options)


def distance(oracle, norm, target=None):
    """In L1 every unit of change closes the gap by the slope, whichever of the two classes it goes to."""
    if norm != "l1":
        return oracle.distance(norm, target)
    z = oracle.logits
    rival = z.topk(2, dim=1).values[:, 1] if target is None else z.gather(1, target.unsqueeze(1)).squeeze(1)
    return (z.amax(dim=1) - rival) / oracle.model.weight.max().item()


# Resizing needs a picture, and takes so much away from the oracle's pixels that it does not get to a distant target.
RUNS = [
    (name, goal, rank)
    for name in CASES
    for goal in ("untargeted", "label", "random")
    for rank in (1, 3)
    if name != "di linf" or (goal != "random" and rank == 3)
]


@pytest.mark.parametrize(("name", "goal", "rank"), RUNS)
def test_succeeds_just_beyond_the_true_distance_and_fails_just_below_it(make_oracle, name, goal, rank):
    """At 1.25 times the shortest perturbation it breaks, at 0.75 times nothing can."""
    case = CASES[name]
    oracle = make_oracle(3, rank)
    for row in range(2):
        label = int(oracle.runner_up[row]) if goal == "label" else None
        target = None if goal == "untargeted" else attack(oracle, case, 1e-3, goal, label=label).target
        truth = distance(oracle, case[1], target)[row].item()
        beyond = attack(oracle, case, 1.25 * truth, goal, label=label)
        below = attack(oracle, case, 0.75 * truth, goal, label=label)
        assert beyond.success[row]
        assert not below.success[row]
        assert beyond.violations == below.violations == 0


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_without_momentum_and_options_it_is_bim(small_net, pictures, norm):
    """decay 0 keeps nothing of the last gradients, and normalising does not change a step."""
    (x, y), ball = pictures, BALLS[norm](0.3)
    plain = {"nesterov": False, "diversity_probability": 0.0, "kernel_size": 0, "generator": torch.Generator()}
    found = mi_fgsm(small_net, x, Untargeted(y), ball, steps=6, step_size=0.1, decay=0.0, **plain)
    assert torch.allclose(found, bim(small_net, x, Untargeted(y), ball, steps=6, step_size=0.1), atol=1e-5)


def test_momentum_carries_on_where_the_gradient_turns():
    """A slope of +1 and then of -0.5: with the sum of both the second step still goes up, alone it goes down."""

    def model(x):
        z = torch.where(x < 0.55, x, 0.825 - 0.5 * x).flatten(1)
        return torch.cat([torch.zeros_like(z), z], dim=1)

    x, goal = torch.full((1, 1), 0.5), Untargeted(torch.tensor([0]))
    options = {
        "steps": 2,
        "step_size": 0.1,
        "diversity_probability": 0.0,
        "kernel_size": 0,
        "generator": torch.Generator(),
    }
    for decay, end in ((2.0, 0.7), (0.0, 0.5)):
        found = mi_fgsm(model, x, goal, Linf(0.5), decay=decay, nesterov=False, **options)
        assert found.item() == pytest.approx(end)
    # Looking ahead from 0.6 by 0.1 * 0.5 changes nothing here; from 0.5 with a momentum of 0 neither.
    assert mi_fgsm(model, x, goal, Linf(0.5), decay=2.0, nesterov=True, **options).item() == pytest.approx(0.7)


@pytest.mark.parametrize("options", [{}, {"nesterov": True}, {"kernel_size": 3}], ids=["mi", "ni", "ti"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_trap_08_a_sample_without_a_gradient_does_not_poison_its_momentum(norm, options):
    """0 / 0 would be NaN for ever: here the gradient is 0 at the sample, and another sample has one."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 4), nn.ReLU(), nn.Linear(4, 3))
    with torch.no_grad():
        model[1].weight.fill_(1.0)
        model[1].bias.fill_(-4.5)
    x = torch.stack([torch.full((1, 3, 3), 0.1), torch.full((1, 3, 3), 0.8)])
    parameters = {"nesterov": False, "diversity_probability": 0.0, "kernel_size": 0, **options}
    goal, generator = Untargeted(model(x).argmax(dim=1)), torch.Generator()
    found = mi_fgsm(
        model, x, goal, BALLS[norm](0.2), steps=4, step_size=0.1, decay=1.0, generator=generator, **parameters
    )
    assert torch.equal(found[0], x[0])
    assert torch.isfinite(found).all()
    assert not torch.equal(found[1], x[1])


def test_resized_pictures_are_those_of_interpolation_and_padding():
    """Sample by sample, and the gradient flows back through both."""
    sizes = _draw_sizes(GREY, 0.7, [torch.Generator().manual_seed(seed) for seed in (0, 1, 2, 4)])
    point = GREY.clone().requires_grad_()
    resized = _resized(point, sizes)
    assert 0 < sizes.applies.sum() < 4
    for i in range(4):
        if not sizes.applies[i]:
            assert torch.equal(resized[i], GREY[i])
            continue
        h, w, top, left = (int(v[i]) for v in (sizes.height, sizes.width, sizes.top, sizes.left))
        assert 8 <= h <= 9
        assert 6 <= w <= 7
        small = F.interpolate(GREY[i : i + 1], size=(h, w), mode="bilinear", align_corners=False)
        padded = F.pad(small, (left, 7 - w - left, top, 9 - h - top))
        assert torch.allclose(resized[i : i + 1], padded, atol=1e-5)
    (gradient,) = torch.autograd.grad(resized.sum(), point)
    assert gradient.flatten(1).sum(dim=1).allclose(resized.detach().ne(0).flatten(1).sum(dim=1).float(), atol=1e-2)


def test_how_a_picture_is_resized_does_not_depend_on_its_batch(make_oracle):
    """Numbers are drawn from the sample's own stream."""
    oracle, case = make_oracle(8), CASES["di linf"]
    one, eight = (attack(oracle, case, 0.02, batch_size=size, survivors_only=False) for size in (1, 8))
    assert torch.allclose(one.x_adv, eight.x_adv, atol=1e-6)


def test_smoothing_convolves_with_a_gaussian_that_ends_at_three_deviations():
    """One bright pixel becomes the kernel itself, whose edge is e^-4.5 of its middle; sums are kept."""
    picture = torch.zeros(1, 2, 11, 11)
    picture[0, 1, 5, 5] = 1
    smooth = _smooth(picture, 7)
    assert not smooth[0, 0].any()
    assert smooth.sum().item() == pytest.approx(1, abs=1e-6)
    assert (smooth[0, 1, 5, 2] / smooth[0, 1, 5, 5]).item() == pytest.approx(torch.tensor(-4.5).exp().item(), rel=1e-4)
    assert torch.allclose(smooth, smooth.transpose(2, 3))
    assert torch.equal(_smooth(picture, 1), picture)


@pytest.mark.parametrize(("x", "kernel_size"), [(GREY, 4), (GREY.flatten(1), 3)], ids=["even", "no picture"])
def test_refuses_kernels_without_a_middle_and_inputs_that_are_no_pictures(x, kernel_size):
    """It says which parameter is wrong."""
    goal = Untargeted(torch.zeros(4, dtype=torch.int64))
    options = {"nesterov": False, "diversity_probability": 0.0, "kernel_size": kernel_size, "decay": 1.0}
    with pytest.raises(Rejected) as caught:
        mi_fgsm(nn.Flatten(), x, goal, Linf(0.1), steps=1, step_size=0.1, generator=torch.Generator(), **options)
    assert caught.value.reason == "BAD_ATTACK_PARAMETERS"


def test_trap_22_saturated_logits_hide_nothing_from_the_rescaled_cross_entropy(make_oracle):
    """At 1e4 times the logits plain cross-entropy has no gradient at all; the rescaled one finds every example."""
    oracle, rates = make_oracle(8), {}
    truth = oracle.distance("linf").amax().item()
    oracle.model.weight.data.mul_(1e4)
    for loss in ("cross_entropy", "rescaled_cross_entropy"):
        case = ("pgd", "linf", {**PGD, "loss": loss, "random_start": False})
        rates[loss] = attack(oracle, case, 1.25 * truth).success.float().mean().item()
    assert rates == {"cross_entropy": 0.0, "rescaled_cross_entropy": 1.0}


STREAMS = {
    "pgd": (pgd, ["linf", "l2", "l1"], {"steps": 8, "step_size": 0.05, "random_start": True}),
    "mi_fgsm": (mi_fgsm, ["linf", "l2"], {**{k: v for k, v in MI.items() if k != "loss"}, "step_size": 0.02}),
    "apgd": (apgd, ["linf", "l2", "l1"], {"steps": 8, "rho": 0.75}),
    "fab": (fab, ["linf", "l2", "l1"], {"steps": 5, "restarts": 2, "alpha_max": 0.1, "eta": 1.05, "beta": 0.9}),
    "square": (square, ["linf", "l2", "l1"], {"queries": 30, "p_init": 0.8}),
}


@pytest.mark.parametrize(("name", "norm"), [(name, norm) for name, (_, norms, _) in STREAMS.items() for norm in norms])
def test_samples_with_radii_of_their_own_are_one_batch(small_net, pictures, name, norm):
    """A curve over epsilon is one batch: each sample ends where it ends by itself."""
    run, _, parameters = STREAMS[name]
    x, y = (part[:3] for part in pictures)
    radii = torch.tensor([0.02, 0.0, 0.1]) * {"linf": 1, "l2": 5, "l1": 30}[norm]
    streams = [torch.Generator().manual_seed(seed) for seed in range(3)]
    found = run(small_net, x, Untargeted(y), BALLS[norm](radii), generator=streams, **parameters)
    for i in range(3):
        ball, own = BALLS[norm](radii[i].item()), [torch.Generator().manual_seed(i)]
        alone = run(small_net, x[i : i + 1], Untargeted(y[i : i + 1]), ball, generator=own, **parameters)
        assert torch.allclose(found[i : i + 1], alone, atol=1e-4 if name != "fab" else 1e-2)
