"""Gradients of a softmax as logarithms: right where they can be computed otherwise, and finite where they cannot."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reproductions.experiments.distillation_gradients_amplitudes import amplitudes, slopes
from reproductions.experiments.distillation_temperature_nets import cooled

CLASSES = 4


def net(scale: float = 1.0) -> tuple[dict[str, np.ndarray], torch.nn.Sequential]:
    """A small net of the shape of a dropout_mlp, in both forms; the logits are scaled."""
    torch.manual_seed(3)
    sizes = (12, 8, 6, CLASSES)
    linear = {
        name: torch.nn.Linear(fan_in, fan_out).double()
        for name, fan_in, fan_out in zip("147", sizes[:-1], sizes[1:], strict=True)
    }
    with torch.no_grad():
        linear["7"].weight *= scale
        linear["7"].bias *= scale
    tensors = {
        f"{name}.{kind}": getattr(one, kind).detach().numpy()
        for name, one in linear.items()
        for kind in ("weight", "bias")
    }
    whole = torch.nn.Sequential(
        torch.nn.Flatten(), linear["1"], torch.nn.ReLU(), linear["4"], torch.nn.ReLU(), linear["7"]
    )
    return tensors, whole


def pictures(count: int = 5) -> np.ndarray:
    return np.random.default_rng(1).random((count, 1, 3, 4))


def by_autograd(whole: torch.nn.Sequential, x: np.ndarray) -> np.ndarray:
    """log10 of the mean |dF_k / dx_j|, F the softmax, as torch differentiates it."""
    point = torch.from_numpy(x).requires_grad_()
    F = whole(point).softmax(dim=1)
    each = [torch.autograd.grad(F[:, k].sum(), point, retain_graph=True)[0].abs().flatten(1) for k in range(CLASSES)]
    return torch.stack(each, dim=1).mean(dim=(1, 2)).log10().numpy()


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_amplitudes_are_those_of_automatic_differentiation(scale: float) -> None:
    tensors, whole = net(scale)
    np.testing.assert_allclose(amplitudes(tensors, pictures()), by_autograd(whole, pictures()), atol=1e-6)


def test_logits_and_their_slopes_are_the_net_s() -> None:
    tensors, whole = net()
    z, J = slopes(tensors, pictures())
    np.testing.assert_allclose(z, whole(torch.from_numpy(pictures())).detach().numpy(), atol=1e-12)
    moved = pictures() + 1e-7
    steps = slopes(tensors, moved)[0] - z
    np.testing.assert_allclose(steps, 1e-7 * J.sum(axis=2), rtol=1e-4, atol=1e-12)


def test_what_no_float_holds_is_still_a_logarithm() -> None:
    small, large = (amplitudes(net(scale)[0], pictures()) for scale in (2e4, 4e4))
    assert np.isfinite(large).all()
    assert large.max() < -324
    # In this range the logarithm is nearly proportional to the logits.
    np.testing.assert_allclose(large / small, 2, rtol=0.02)


def test_a_net_that_sees_nothing_has_no_slope() -> None:
    tensors, _ = net()
    tensors["1.weight"] = np.zeros_like(tensors["1.weight"])
    assert (amplitudes(tensors, pictures()) == -np.inf).all()


def test_a_cooled_net_has_the_same_answers_and_smaller_logits() -> None:
    tensors, _ = net()
    hot, cold = (slopes(one, pictures())[0] for one in (tensors, cooled(tensors, 40)))
    np.testing.assert_allclose(hot, 40 * cold, rtol=1e-4, atol=1e-5)
