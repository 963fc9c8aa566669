"""The losses: their values, and what may not change them."""

from __future__ import annotations

import pytest
import torch

from workers.failures import Rejected
from workers.losses import (
    LOSSES,
    STEERED_LOSSES,
    TARGETED_LOSSES,
    cross_entropy,
    dlr,
    dlr_targeted,
    kl,
    margin,
    rescaled_cross_entropy,
)

ALL = {**LOSSES, "dlr_targeted": dlr_targeted}

Z = torch.tensor([[2.0, -1.0, 0.5, 1.0], [-5.0, -2.0, -9.0, -2.5]])
Y = torch.tensor([0, 1])


def test_values_by_hand():
    """Each formula on numbers that fit on paper."""
    assert margin(Z, Y).tolist() == [-1.0, -0.5]
    assert dlr(Z, Y).tolist() == pytest.approx([-1 / 1.5, -0.5 / 3])
    assert dlr_targeted(Z, Y).tolist() == pytest.approx([-1 / 2.25, -0.5 / 5])
    assert cross_entropy(Z, Y).tolist() == pytest.approx((Z.logsumexp(1) - Z.gather(1, Y[:, None])[:, 0]).tolist())
    p, q = Z.softmax(1), Z.flip(1).softmax(1)
    assert kl(Z.flip(1), Z).tolist() == pytest.approx((p * (p / q).log()).sum(1).tolist(), rel=1e-5)
    assert kl(Z, Z).tolist() == [0.0, 0.0]


def test_trap_02_margin_of_negative_logits_is_not_zero():
    """Masking the label by 0 instead of minus infinity gives max(0, ...) = 0 where all logits are negative."""
    assert margin(torch.tensor([[-9.0, -5.0, -7.0]]), torch.tensor([1])).item() == -2


@pytest.mark.parametrize("loss", ALL.values(), ids=ALL)
@pytest.mark.parametrize("shift", [-1e3, 1e3])
def test_trap_02_a_shift_of_all_logits_changes_nothing(loss, shift):
    """Softmax does not see the offset of the logits, so no loss and no gradient may."""
    z = torch.randn(64, 7, generator=torch.Generator().manual_seed(0))
    y = torch.arange(64) % 7
    assert torch.allclose(loss(z + shift, y), loss(z, y), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_trap_22_the_scale_of_the_logits_does_not_change_dlr(scale):
    """DLR's gradient has the same direction for saturated and for tiny logits, where cross-entropy's is 0."""
    z = torch.randn(64, 7, generator=torch.Generator().manual_seed(0))
    y = torch.arange(64) % 7
    for loss in (dlr, dlr_targeted):
        assert torch.allclose(loss(z * scale, y), loss(z, y), rtol=1e-4)


@pytest.mark.parametrize("loss", [margin, dlr])
def test_sign_says_whether_the_label_has_lost(loss):
    """Positive exactly where another class is ahead."""
    z = torch.randn(500, 3, generator=torch.Generator().manual_seed(1))
    y = torch.zeros(500, dtype=torch.int64)
    assert torch.equal(loss(z, y) > 0, z.argmax(1) != y)


@pytest.mark.parametrize(("loss", "classes"), [(dlr, 2), (dlr_targeted, 3)])
def test_trap_13_dlr_refuses_too_few_classes(loss, classes):
    """With two classes there is no third logit; no IndexError from deep inside."""
    with pytest.raises(Rejected) as caught:
        loss(torch.zeros(1, classes), torch.zeros(1, dtype=torch.int64))
    assert caught.value.reason == "TOO_FEW_CLASSES"
    assert loss(torch.zeros(1, classes + 1), torch.zeros(1, dtype=torch.int64)).item() == 0


def test_the_targeted_dlr_has_a_slope_where_the_target_comes_third():
    """Eq. 6 is constantly 1 there, which is why a target has a formula of its own."""
    z = torch.tensor([[3.0, 2.0, 1.0, 0.0]])
    slopes = {}
    for loss in (dlr, TARGETED_LOSSES["dlr"]):
        leaf = z.clone().requires_grad_()
        slopes[loss] = torch.autograd.grad(loss(leaf, torch.tensor([2])).sum(), leaf)[0]
    assert slopes[dlr].abs().amax() < 1e-6
    assert slopes[dlr_targeted][0, 2] < -0.1


@pytest.mark.parametrize("loss", ALL.values(), ids=ALL)
def test_gradients_are_finite_where_all_logits_are_equal(loss):
    """A tie is where a ratio of differences is 0 / 0."""
    z = torch.zeros(2, 5, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(z, Y).sum(), z)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("scale", [1.0, 1e2, 1e4, 1e8])
def test_trap_22_rescaled_cross_entropy_has_a_slope_at_any_scale(scale):
    """Plain cross-entropy's is exactly 0 for most of these samples from a factor of 100 on."""
    z = 5 * torch.randn(200, 10, generator=torch.Generator().manual_seed(2))
    y, slopes = z.argmax(dim=1), []
    for loss in (rescaled_cross_entropy, cross_entropy):
        leaf = (scale * z).requires_grad_()
        slopes.append(torch.autograd.grad(loss(leaf, y).sum(), leaf)[0])
    own = slopes[0].gather(1, y.unsqueeze(1))
    assert (own < 0).all()
    assert torch.isfinite(slopes[0]).all()
    if scale >= 1e2:
        assert (slopes[1] == 0).all(dim=1).float().mean() > 0.5


def test_rescaled_cross_entropy_is_the_plain_one_where_nothing_saturates():
    """Up to a spread of 16; beyond it is that of the logits at a spread of 16."""
    z = torch.tensor([[16.0, 3.0, 0.0], [-7.0, 9.0, 2.0]])
    y = torch.tensor([0, 2])
    assert torch.equal(rescaled_cross_entropy(z, y), cross_entropy(z, y))
    assert torch.allclose(rescaled_cross_entropy(1e6 * z, y), cross_entropy(z, y), rtol=1e-5)


def test_the_targeted_dlr_is_the_papers_wherever_the_label_still_leads():
    """Eq. 7 has z_y in place of the best class other than the target: the same value and the same slope."""
    z = 3 * torch.randn(500, 6, generator=torch.Generator().manual_seed(4))
    y = z.argmax(dim=1)
    t = (y + 1 + torch.arange(500) % 5) % 6
    slopes = []
    for ours in (True, False):
        leaf = z.clone().requires_grad_()
        ordered = leaf.topk(4, dim=1).values
        own, target = (leaf.gather(1, k.unsqueeze(1)).squeeze(1) for k in (y, t))
        paper = (own - target) / (ordered[:, 0] - (ordered[:, 2] + ordered[:, 3]) / 2)
        loss = dlr_targeted(leaf, t) if ours else paper
        slopes.append(torch.autograd.grad(loss.sum(), leaf)[0])
        assert torch.allclose(loss, dlr_targeted(z, t), atol=1e-6)
    assert torch.allclose(*slopes, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_trap_13_a_class_to_steer_to_has_a_loss_however_few_there_are(classes):
    """The margin below four classes, from four on the DLR."""
    z = torch.randn(9, classes, generator=torch.Generator().manual_seed(5))
    way = torch.arange(9) % classes
    expected = margin(z, way) if classes < 4 else dlr_targeted(z, way)
    assert torch.equal(STEERED_LOSSES["dlr"](z, way), expected)
