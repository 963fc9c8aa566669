"""What a training step of each defense asks of the network, counted, against the formula that the contract states.

Counted are the products of the middle layer of the mlp, 200 x 200: forward, backward to its input and gradient by its
weights are one product each, of as many samples, whoever asks for them, and no other product has two sides of 200.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from services.gateway import training_cost
from workers.data import Dataset
from workers.defenses import DEFENSES
from workers.engine.train import Optimization, train
from workers.models import Signature, build
from workers.run import messages

BATCH, SIDE = 12, 200
SIGNATURE = Signature("mlp", (1, 4, 4), 3)
PRODUCTS = (torch.ops.aten.mm.default, torch.ops.aten.addmm.default)


class Products(TorchDispatchMode):
    """Counts the samples that go through products with the middle layer's weights."""

    samples = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in PRODUCTS:
            left, right = args[-2:]
            sides = [*left.shape, right.shape[1]]
            if sides.count(SIDE) == 2:
                self.samples += sum(sides) - 2 * SIDE
        return func(*args, **(kwargs or {}))


def pictures():
    """Two batches."""
    x = torch.rand(2 * BATCH, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    return Dataset(x=x, y=torch.arange(2 * BATCH) % 3, classes=3)


def counted_step(method, name):
    """The units for each sample of the last step of the one epoch that is asked for, with whatever rounds beside it."""
    defense = DEFENSES[name](**messages.values(method))
    model = build(replace(SIGNATURE, component=defense.component()), seed=0)
    seen = []
    with Products() as products:
        train(
            model,
            pictures(),
            defense,
            Optimization(epochs=1, batch_size=BATCH, learning_rate=0.01),
            seed=0,
            save=lambda _: seen.append(products.samples),
            checkpoint_every_s=0.0,
        )
    epochs = [round_.epochs for round_ in defense.rounds(1)]
    own = max(number for number, count in enumerate(epochs) if count == 1)
    steps = len(seen) * sum(epochs[: own + 1]) // sum(epochs)
    return (seen[steps - 1] - seen[steps - 2]) / BATCH


@pytest.mark.parametrize("name", DEFENSES)
def test_a_step_costs_what_the_contract_says(name):
    method = training_cost.at_defaults(name)
    assert counted_step(method, name) == pytest.approx(training_cost.units(method))


@pytest.mark.parametrize("steps", [1, 4])
def test_the_cost_of_pgd_training_grows_by_two_passes_a_step(steps):
    """Forward and input gradient: the weights are not derived by while crafting, which would make it 3."""
    method = training_cost.at_defaults("pgd_adversarial")
    method.steps = steps
    assert counted_step(method, "pgd_adversarial") == training_cost.units(method) == 2 * steps + 3


def test_a_formula_may_depend_on_a_choice():
    method = training_cost.at_defaults("awp")
    on_pgd = training_cost.units(method)
    method.base = type(method).DESCRIPTOR.fields_by_name["base"].enum_type.values_by_name["AWP_BASE_TRADES"].number
    assert training_cost.units(method) == counted_step(method, "awp") == on_pgd + 7
