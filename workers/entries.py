"""A line of the table of attacks: what the engine must know to run one by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Keeps = Literal["first", "nearest"]
Reads = Literal["gradients", "scores", "labels"]


# Parameters by their names in the contract, enumerations by their short names.
Parameters = Mapping[str, float | int | bool | str]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One attack of an ensemble, as if it had been asked for by itself."""

    name: str
    parameters: Parameters


@dataclass(frozen=True)
class AttackEntry:
    """What the engine must know to run an attack by name."""

    # None: an ensemble, which has `stages`.
    run: Callable[..., Tensor] | None
    # Keyword parameters of `run`, by their names in the contract.
    parameters: frozenset[str] = frozenset()
    # Parameters of the contract that the engine takes for itself: `restarts`, `loss`, `targets`.
    engine_parameters: frozenset[str] = frozenset()
    norms: frozenset[str] = frozenset({"linf", "l2"})
    # The one kind of goal of an attack that brings its own; None: the caller chooses.
    own_goal: Literal["least_likely"] | None = None
    # Whether the caller may choose a class to be reached.
    targeted: bool = True
    # Takes `generator`: one stream per sample, keyed by seed, sample id and restart.
    random: bool = False
    # What is kept of a sample: the first point that reaches the goal, or of all that do the nearest.
    keeps: Keeps = "first"
    # Looks for the shortest way; epsilon only says from where on a way is too long.
    minimum: bool = False
    # What it learns of the model: input gradients, logits, or nothing but the label.
    reads: Reads = "gradients"
    # Asks about points outside ball or box, which must not count.
    strays: bool = False
    # Begins elsewhere than at the sample, which only lends its number: there is nothing clean to compare with.
    from_nothing: bool = False
    # How often one run asks the model at most, for the progress; None: `steps` times, or once.
    calls: Callable[[Parameters], int] | None = None
    # The attacks of an ensemble by its parameters, each meeting those samples that withstood the ones before.
    stages: Callable[[Parameters], Sequence[Stage]] | None = None
