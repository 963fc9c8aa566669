"""Models and inputs that mislead an attack: each is met with a sound answer or a refusal, never with nonsense."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workers.failures import Rejected

from .cases import CASES

every_case = pytest.mark.parametrize("case", [case for case in CASES if case.name != "linear_nudge"], ids=str)
RADIUS = {"linf": 0.3, "l2": 2.0, "l1": 10.0, "l0": 20.0}


class Around(nn.Module):
    """A net with something before or behind it."""

    def __init__(self, net, behind=lambda z: z, before=lambda x: x) -> None:
        super().__init__()
        self.net, self.behind, self.before = net, behind, before

    def forward(self, x):
        return self.behind(self.net(self.before(x)))


def flat_net(features: int, classes: int) -> nn.Sequential:
    torch.manual_seed(8)
    layers = (nn.Flatten(), nn.Linear(features, 16), nn.ReLU(), nn.Linear(16, classes))
    return nn.Sequential(*layers).eval()


def attacked(case, model, x, **changes):
    """A run whose result is checked by a forward of our own."""
    with torch.no_grad():
        y = model(x.float()).argmax(dim=1)
    result = case.run(model, x, y, RADIUS[case.norm], label=1, **changes)
    assert result.violations == 0
    assert torch.isfinite(result.x_adv).all()
    with torch.no_grad():
        prediction = model(result.x_adv).argmax(dim=1)
    wanted = {"untargeted": result.prediction != y, "label": result.prediction == 1}.get(
        case.goal, result.prediction == result.target
    )
    assert torch.equal(result.success, result.attacked & wanted)
    assert (prediction == result.prediction).float().mean() >= 0.75
    return result


PLANS = {
    "logits times 1e4": lambda z: 1e4 * z,
    "logits minus 1e3": lambda z: z - 1e3,
    "probabilities": lambda z: z.softmax(dim=1),
    "constant": lambda z: 0 * z + torch.tensor([1.0, *[0.0] * 5]),
    "one hot": lambda z: nn.functional.one_hot(z.argmax(dim=1), 6).float(),
}


@every_case
@pytest.mark.parametrize("behind", PLANS)
def test_outputs_that_hide_the_gradient_give_no_nan_and_no_false_success(case, small_net, pictures, behind):
    """Saturated, shifted, squashed, constant, one-hot."""
    attacked(case, Around(small_net, behind=PLANS[behind]), pictures[0][:4])


@every_case
def test_a_rounding_layer_gives_no_nan_and_no_false_success(case, small_net, pictures):
    """Gradients that are zero everywhere."""
    attacked(case, Around(small_net, before=lambda x: (15 * x).round() / 15), pictures[0][:3])


@every_case
@pytest.mark.parametrize("classes", [2, 3, 40])
def test_trap_13_any_number_of_classes(case, classes):
    """Two, three, many; pixels that are exactly 0 and 1 among them."""
    x = torch.rand(3, 1, 3, 4, generator=torch.Generator().manual_seed(classes))
    x[0, 0, 0], x[1, 0, 1] = 0, 1
    attacked(case, flat_net(12, classes), x)


@every_case
@pytest.mark.parametrize("shape", [(9,), (3, 2, 7)], ids=["a row", "three channels"])
def test_inputs_of_other_shapes_are_attacked(case, shape):
    """One dimension, and pictures that are not square."""
    x = torch.rand(2, *shape, generator=torch.Generator().manual_seed(3))
    attacked(case, flat_net(x[0].numel(), 4), x)


@every_case
def test_trap_15_no_sample_and_one_sample(case, small_net, pictures):
    """Nothing in, nothing out; and a batch of one."""
    x, y = pictures
    nothing = case.run(small_net, x[:0], y[:0], RADIUS[case.norm], label=1)
    assert nothing.x_adv.shape == (0, *x.shape[1:])
    attacked(case, small_net, x[:1])


@every_case
@pytest.mark.parametrize("form", ["channels last", "strided", "double", "half"])
def test_inputs_of_any_layout_and_precision_give_the_same_verdict(case, form):
    """The results are float32, and lie as they like."""
    torch.manual_seed(2)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4 * 3, 4)).eval()
    x = (torch.rand(3, 3, 6, 5, generator=torch.Generator().manual_seed(4)) * 256).floor() / 256  # exact in half
    given = {
        "channels last": x.contiguous(memory_format=torch.channels_last),
        "strided": torch.stack([x, x], dim=-1)[..., 0],
        "double": x.double(),
        "half": x.half(),
    }[form]
    plain, other = attacked(case, net, x), attacked(case, net, given)
    assert other.x_adv.dtype == torch.float32
    assert (plain.success != other.success).sum() <= 1


@every_case
def test_trap_08_logits_that_are_not_finite_are_refused(case, small_net, pictures):
    """With a reason, not with a score."""
    x, y = pictures
    with pytest.raises(Rejected, match="NaN or infinite"):
        case.run(Around(small_net, behind=lambda z: z * torch.nan), x[:2], y[:2], RADIUS[case.norm], label=1)
