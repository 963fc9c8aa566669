"""Which attacks speak for a model: those whose worst case, sample by sample, is its headline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from workers.evaluation.inputs import RunInfo
from workers.evaluation.shard import ShardRun
from workers.evaluation.worst import Group, within, worst_groups, worst_run


def speaking(runs: Sequence[RunInfo]) -> Group | None:
    """Return the attacks of the table that speak for a model, and the ball that they do so in; None without attacks.

    Untargeted ones of the first norm that has any, at the largest radius that is a limit; one attack alone where no two
    share it. The targeted attack that comes first where all are targeted.
    """
    table = [run for run in runs if run.curve is None]
    untargeted = [run for run in table if not run.targeted]
    if not untargeted:
        return Group(table[0].norm, table[0].epsilon, (table[0],)) if table else None
    here = [run for run in untargeted if run.norm == untargeted[0].norm]
    limited = [run for run in here if not run.no_limit]
    groups = [group for group in worst_groups(here) if not (limited and group.no_limit)]
    if groups:
        return max(groups, key=lambda group: group.epsilon)
    alone = max(limited or here, key=lambda run: run.epsilon)
    return Group(alone.norm, alone.epsilon, (alone,))


def under_attack(group: Group, runs: Mapping[str, ShardRun]) -> ShardRun:
    """Return what the attacks that speak for a model made of its samples, each under the one that turned it."""
    told = [within(runs[info.key], group.epsilon) if info.minimum else runs[info.key] for info in group.runs]
    return told[0] if len(told) == 1 else worst_run(told, nearest=group.no_limit)
