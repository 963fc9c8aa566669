"""The worst case, sample by sample: what is left when each sample may choose the attack that breaks it.

    success_i = any success_i of the untargeted attacks of one norm whose radius is at most epsilon,
                or of those that look for the shortest perturbation, where that is at most epsilon long

Sound, since a smaller ball of the same norm lies in the larger one. Never a mean over attacks, nor the worst mean
(Carlini and others, arXiv:1902.06705, section 4).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from workers.evaluation.inputs import NO_LIMIT, RunInfo
from workers.evaluation.proof import added
from workers.evaluation.rows import WORST_CASE
from workers.evaluation.shard import ShardRun
from workers.threats import TOLERANCE


@dataclass(frozen=True)
class Group:
    """Attacks that have a worst case, by rising radius, and the ball that it holds for."""

    norm: str
    epsilon: float
    runs: tuple[RunInfo, ...]

    @property
    def no_limit(self) -> bool:
        """Whether any perturbation counts."""
        return self.epsilon >= NO_LIMIT[self.norm]


def worst_groups(table: Sequence[RunInfo]) -> list[Group]:
    """Return the sets of attacks that have a worst case.

    One for each (norm, epsilon) that two untargeted attacks share, one at the largest epsilon of each norm, and one
    without a limit where two attacks have none. An attack that looks for the shortest perturbation is in all of its
    norm; it makes none by itself unless it was given a limit.
    """
    untargeted = [run for run in table if not run.targeted]
    return [group for norm in dict.fromkeys(run.norm for run in untargeted) for group in _groups(norm, untargeted)]


def _groups(norm: str, untargeted: Sequence[RunInfo]) -> Iterator[Group]:
    here = sorted((run for run in untargeted if run.norm == norm), key=lambda run: run.epsilon)
    radii = [run.epsilon for run in here if not run.no_limit]
    for epsilon in sorted(set(radii)):
        members = tuple(run for run in here if run.minimum or run.epsilon <= epsilon)
        if len(members) > 1 and (radii.count(epsilon) > 1 or epsilon == max(radii)):
            yield Group(norm, epsilon, members)
    if sum(run.no_limit for run in here) > 1:
        yield Group(norm, NO_LIMIT[norm], tuple(here))


def within(run: ShardRun, epsilon: float) -> ShardRun:
    """Return what an attack that looks for the shortest perturbation did to the samples in a smaller ball.

    A longer perturbation is no success; the other values of such a sample stay those of the longer one.
    """
    return replace(run, success=run.success & (run.distance <= epsilon + TOLERANCE * max(1.0, epsilon)))


def worst_run(runs: Sequence[ShardRun], *, nearest: bool = False) -> ShardRun:
    """Take each sample from the attack that turned it with the highest confidence; from the first one if none did.

    With `nearest`, from the attack that turned it with the shortest perturbation. Costs and violations are summed over
    the attacks.
    """
    success = torch.stack([run.success for run in runs])
    rank = torch.stack([-run.distance if nearest else run.confidence for run in runs])
    chosen = torch.where(success, rank, -torch.inf).argmax(dim=0, keepdim=True)

    def pick(name: str) -> Tensor:
        return torch.stack([getattr(run, name) for run in runs]).gather(0, chosen)[0]

    return ShardRun(
        key=WORST_CASE,
        prediction=pick("prediction"),
        confidence=pick("confidence"),
        success=success.any(dim=0),
        attacked=torch.stack([run.attacked for run in runs]).any(dim=0),
        distance=pick("distance"),
        target=pick("target"),
        forwards=torch.stack([run.forwards for run in runs]).sum(dim=0),
        backwards=torch.stack([run.backwards for run in runs]).sum(dim=0),
        zero_gradient=torch.stack([run.zero_gradient for run in runs]).all(dim=0),
        violations=added([run.violations for run in runs]),
    )
