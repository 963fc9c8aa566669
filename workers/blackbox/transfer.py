"""What adversarial examples of a substitute do to the black box that it imitates, beside what noise alone does.

Legend: F the substitute, O the black box, x (N, C, H, W) clean samples, y (N,) true labels, x' the examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from workers.engine.attack import AttackPlan, run_attack
from workers.engine.frozen import frozen
from workers.engine.seeds import key
from workers.goals import Model
from workers.threats import Linf

# The purpose of a random stream; see `seeds.key`.
_NOISE: Final = -14


@dataclass(frozen=True, kw_only=True)
class Craft:
    """One attack on the substitute: a name for tables, and the plan."""

    name: str
    plan: AttackPlan


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """What N examples of one kind did; shares of N unless it says otherwise."""

    name: str
    epsilon: float
    misclassified: float  # O(x') != y: what the paper calls the misclassification rate of the oracle
    moved: float  # O(x') != O(x)
    fooled: float  # F(x') != F(x); of noise 0, as it is made for nobody
    transferability: float  # of those that fool F: O(x') != y; 0 where none does
    x_adv: Tensor  # (N, C, H, W)


def transfer(
    substitute: nn.Module,
    judge: Model,
    x: Tensor,
    y: Tensor,
    crafts: Sequence[Craft],
    *,
    clean: Tensor,
    seed: int,
    batch_size: int = 256,
) -> list[Transfer]:
    """Make examples on the substitute, and ask the black box about each once.

    `clean` (N,) is what the black box answers on `x`. The examples lead away from what F itself says of x, which needs
    no true label (and so leaks none). `judge` is asked N times for each craft: questions of whoever measures, not of
    the attack. Raises as `run_attack` does.
    """
    ids = torch.arange(len(x))
    with frozen(substitute):
        believed = _labels(substitute, x)
    found = []
    for craft in crafts:
        result = run_attack(substitute, x, believed, craft.plan, sample_ids=ids, seed=seed, batch_size=batch_size)
        fooled = result.prediction != believed
        found.append(_judged(judge, craft.name, craft.plan.epsilon, result.x_adv, (clean, y, fooled)))
    return found


def noise(judge: Model, x: Tensor, y: Tensor, epsilons: Sequence[float], *, clean: Tensor, seed: int) -> list[Transfer]:
    """Ask about clipped noise of the same sizes: uniform in [-epsilon, epsilon], and of -epsilon and +epsilon alone."""
    found, nobody = [], torch.zeros(len(y), dtype=torch.bool)
    for epsilon in epsilons:
        generator = torch.Generator().manual_seed(key(seed, 0, _NOISE))
        uniform = Linf(epsilon).around(x).random(generator)
        signs = (x + epsilon * (2 * torch.randint(0, 2, x.shape, generator=generator) - 1)).clamp(0, 1)
        for name, noisy in (("uniform noise", uniform), ("sign noise", signs)):
            found.append(_judged(judge, name, epsilon, noisy, (clean, y, nobody)))
    return found


def _judged(judge: Model, name: str, epsilon: float, x_adv: Tensor, known: tuple[Tensor, Tensor, Tensor]) -> Transfer:
    clean, y, fooled = known
    answer = _labels(judge, x_adv)
    wrong = answer != y
    return Transfer(
        name=name,
        epsilon=epsilon,
        misclassified=_share(wrong),
        moved=_share(answer != clean),
        fooled=_share(fooled),
        transferability=_share(wrong[fooled]) if bool(fooled.any()) else 0.0,
        x_adv=x_adv,
    )


def _labels(model: Model, x: Tensor) -> Tensor:
    with torch.no_grad():
        return model(x).argmax(dim=1)


def _share(where: Tensor) -> float:
    return float(where.float().mean())
