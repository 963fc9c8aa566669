"""One line of a result's table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from workers.evaluation.proportions import Proportion

CLEAN = "clean"
"""Name, in the place of an attack, of the row without one."""

WORST_CASE = "worst_case"
"""Name, in the place of an attack, of the worst of several, sample by sample."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Of which distances are told."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Field by field `sparring.v1.ResultRow`, but for those named here.

    norm: "linf", "l2", "l1", "l0", or "" for clean. run: key of the run, "" for clean and worst case; tells which
    attack's parameters the row carries. worst_of: keys of the runs that a worst case is taken over.
    class_robust_accuracy: None for a class without samples. zero_gradient: share of the attacked samples on which
    the loss gradient was exactly zero. queries: forward passes of an attack that asks for nothing but scores or labels,
    0 for any other. violations_by_kind: `violations` taken apart, kinds of `proof.KINDS` without
    any left out. stages: (attack, samples that it broke first) of an ensemble. distance_quantiles: of the distances of
    the samples that were turned, at `QUANTILES`; empty where there are none.
    Means over no samples are 0; `success_rate.count` tells.
    """

    model: str
    defense: str
    attack: str
    epsilon: float
    norm: str
    n: int
    clean_accuracy: Proportion
    robust_accuracy: Proportion
    success_rate: Proportion
    mean_confidence: float
    mean_distance: float
    median_distance: float
    max_distance: float
    class_robust_accuracy: tuple[float | None, ...]
    forwards: int
    backwards: int
    seconds: float
    curve: bool
    violations: int
    run: str = ""
    worst_of: tuple[str, ...] = ()
    zero_gradient: float = 0.0
    queries: int = 0
    violations_by_kind: Mapping[str, int] = field(default_factory=dict)
    broken_first: int = 0
    stages: tuple[tuple[str, int], ...] = ()
    distance_quantiles: tuple[float, ...] = ()
