"""The worst case, sample by sample: what is left when each sample may choose the attack that breaks it.

    success_i = any success_i of the untargeted attacks of one norm whose radius is at most epsilon

Sound, since a smaller ball of the same norm lies in the larger one. Never a mean over attacks, nor the worst mean
(Carlini and others, arXiv:1902.06705, section 4).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from workers.evaluation.inputs import RunInfo
from workers.evaluation.proof import added
from workers.evaluation.rows import WORST_CASE
from workers.evaluation.shard import ShardRun


def worst_groups(table: Sequence[RunInfo]) -> list[list[RunInfo]]:
    """Return the sets of attacks that have a worst case, each ending in the run with the epsilon that it holds for.

    One set for each (norm, epsilon) that two untargeted attacks share, and one at the largest epsilon of each norm.
    """
    groups = []
    untargeted = [run for run in table if not run.targeted]
    for norm in dict.fromkeys(run.norm for run in untargeted):
        radii = [run.epsilon for run in untargeted if run.norm == norm]
        for epsilon in sorted(set(radii)):
            within = [run for run in untargeted if run.norm == norm and run.epsilon <= epsilon]
            if len(within) > 1 and (radii.count(epsilon) > 1 or epsilon == max(radii)):
                groups.append(sorted(within, key=lambda run: run.epsilon))
    return groups


def worst_run(runs: Sequence[ShardRun]) -> ShardRun:
    """Take each sample from the attack that turned it with the highest confidence; from the first one if none did.

    Costs and violations are summed over the attacks.
    """
    success = torch.stack([run.success for run in runs])
    confidence = torch.stack([run.confidence for run in runs])
    chosen = torch.where(success, confidence, -1.0).argmax(dim=0, keepdim=True)

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
