"""The attacks: one file each, and this table of them.

An attack is a pure function `attack(model, x, goal, ball, *, ...) -> x_adv`: it asks the goal for a direction and the
ball for a step, and knows nothing of batches, restarts, seeds, cost or cancelling, which are `workers.engine.attack`'s.
Names and parameters are those of the messages in `sparring/v1/attacks.proto`, where the defaults stand.
To add one: a message there, a file here, a line below, a row in the oracle test, a line in the changelog.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from torch import Tensor

from workers.attacks.bim import bim
from workers.attacks.fgsm import fgsm
from workers.attacks.iterative_least_likely import iterative_least_likely, least_likely
from workers.attacks.pgd import pgd

__all__ = ["ATTACKS", "AttackEntry", "bim", "fgsm", "iterative_least_likely", "least_likely", "pgd"]


@dataclass(frozen=True)
class AttackEntry:
    """What the engine must know to run an attack by name."""

    run: Callable[..., Tensor]
    # Keyword parameters of `run`, by their names in the contract.
    parameters: frozenset[str] = frozenset()
    # Parameters of the contract that the engine takes for itself: `restarts`, `loss`.
    engine_parameters: frozenset[str] = frozenset()
    norms: frozenset[str] = frozenset({"linf", "l2"})
    # The one kind of goal of an attack that brings its own; None: the caller chooses.
    own_goal: Literal["least_likely"] | None = None
    # Takes `generator`: one stream per sample, keyed by seed, sample id and restart.
    random: bool = False


ATTACKS: Final[dict[str, AttackEntry]] = {
    "fgsm": AttackEntry(fgsm),
    "bim": AttackEntry(bim, frozenset({"steps", "step_size"})),
    "iterative_least_likely": AttackEntry(
        iterative_least_likely,
        frozenset({"steps", "step_size"}),
        norms=frozenset({"linf"}),
        own_goal="least_likely",
    ),
    "pgd": AttackEntry(
        pgd,
        frozenset({"steps", "step_size", "random_start"}),
        engine_parameters=frozenset({"restarts", "loss"}),
        random=True,
    ),
}
