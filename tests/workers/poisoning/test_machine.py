"""The machine is libsvm's, with multipliers that fulfil its conditions, and answers alike as a model."""

from __future__ import annotations

import pytest
import torch

from workers.poisoning.machine import Kernel, classifier, fit_machine, signs

SHAPE = (1, 2, 3)


def blobs(seed: int = 0, n: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    """Two overlapping clouds in six dimensions."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    x = torch.rand(n, 6, generator=generator, dtype=torch.float64) * 0.7 + 0.3 * y[:, None]
    return x, y


@pytest.mark.parametrize("gamma", [None, 2.0])
def test_the_multipliers_fulfil_the_conditions_of_the_optimum(gamma) -> None:
    x, labels = blobs()
    y = signs(labels)
    machine = fit_machine(Kernel(gamma), x, y, 1.0, tolerance=1e-9)
    margin = y * machine.decide(x)
    assert float((machine.alpha * y).sum()) == pytest.approx(0, abs=1e-9)
    assert machine.free.any()
    assert torch.allclose(margin[machine.free], torch.ones(int(machine.free.sum()), dtype=torch.float64), atol=1e-6)
    assert bool((margin[machine.alpha == 0] >= 1 - 1e-6).all())
    assert bool((margin[machine.alpha == 1.0] <= 1 + 1e-6).all())


@pytest.mark.parametrize("gamma", [None, 2.0])
def test_as_a_model_it_answers_with_half_of_its_decision_for_and_against(gamma) -> None:
    x, labels = blobs()
    machine = fit_machine(Kernel(gamma), x, signs(labels), 1.0)
    scores = classifier(machine, SHAPE)(x.float().view(-1, *SHAPE))
    decided = machine.decide(x).float()
    assert torch.allclose(scores, torch.stack([-decided / 2, decided / 2], dim=1), atol=1e-5)


@pytest.mark.parametrize("gamma", [None, 2.0])
def test_many_samples_are_solved_without_all_their_kernels(gamma, monkeypatch) -> None:
    x, labels = blobs(n=40)
    few = fit_machine(Kernel(gamma), x, signs(labels), 1.0)
    monkeypatch.setattr("workers.poisoning.machine.ALL_AT_ONCE", 10)
    many = fit_machine(Kernel(gamma), x, signs(labels), 1.0)
    assert torch.allclose(few.decide(x), many.decide(x), atol=1e-4)


@pytest.mark.parametrize("gamma", [None, 3.0])
def test_the_slopes_of_the_kernel_are_its_derivatives(gamma) -> None:
    kernel, (x, _) = Kernel(gamma), blobs()
    b = x[0].clone().requires_grad_()
    for a in (x[1], x[2]):
        (slope,) = torch.autograd.grad(kernel(a[None], b[None])[0, 0], b)
        assert torch.allclose(kernel.slope(a[None], b.detach())[0], slope)
    (own,) = torch.autograd.grad(kernel(b[None], b[None])[0, 0], b)
    assert torch.allclose(kernel.own_slope(b.detach()), own, atol=1e-9)
