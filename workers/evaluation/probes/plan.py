"""How much is asked of a model beside the attacks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ProbePlan:
    """Field by field `sparring.v1.Probes`; `norm` as everywhere in workers: "linf", "l2" or "l1"."""

    norm: str
    epsilon: float
    samples: int  # of each shard
    noise_draws: int
    lines: int
    further_steps: int
    transfer_steps: int
