"""The rows of a result's table, from per-sample results.

right_i    the model is right on clean sample i
success_i  the attack turned it (untargeted: it was right, and is wrong), or it became the target (targeted)
robust     untargeted: right and not success, of all samples; targeted: not success, of the samples that count
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from workers.evaluation.inputs import ModelInfo, RunInfo, SummaryInput
from workers.evaluation.merge import ModelSamples
from workers.evaluation.proof import KINDS
from workers.evaluation.proportions import wilson
from workers.evaluation.rows import CLEAN, QUANTILES, WORST_CASE, Row
from workers.evaluation.shard import ShardRun
from workers.evaluation.worst import Group, within, worst_groups, worst_run


def rows_of(model: ModelInfo, samples: ModelSamples, runs: Sequence[RunInfo]) -> list[Row]:
    """Return a model's rows: clean, the table's runs, the worst cases, then the points of the curves."""
    table = [run for run in runs if run.curve is None]
    curves = [run for run in runs if run.curve is not None]
    first = broken_first(samples, table)
    return [
        _clean_row(model, samples),
        *(replace(_run_row(model, samples, run), broken_first=first.get(run.key, 0)) for run in table),
        *(_worst_row(model, samples, group) for group in worst_groups(table)),
        *(_run_row(model, samples, run) for run in curves),
    ]


def broken_first(samples: ModelSamples, table: Sequence[RunInfo]) -> dict[str, int]:
    """Return what each untargeted attack adds to those before it in the table, by key, in its norm's largest ball.

    That is the ball of the norm's last worst case; an attack that is alone in its norm adds all that it breaks.
    """
    found: dict[str, int] = {}
    for norm in dict.fromkeys(run.norm for run in table if not run.targeted):
        here = [run for run in table if run.norm == norm and not run.targeted]
        limited = [run.epsilon for run in here if not run.no_limit]
        largest = max(limited, default=max(run.epsilon for run in here))
        seen = ~samples.right
        for run in here:
            turned = within(samples.runs[run.key], largest).success
            found[run.key] = _count(turned & ~seen)
            seen |= turned
    return found


def broken_by(given: SummaryInput, samples: ModelSamples) -> list[str | None]:
    """Return for each sample what broke it first: "clean", or the key of a run of the table; None for nothing.

    Attacks that look for the shortest perturbation count within the largest ball of their norm that another one has.
    """
    found: list[str | None] = [None if right else CLEAN for right in samples.right.tolist()]
    table = [run for run in given.runs if run.curve is None and not run.targeted]
    for run in table:
        limits = [other.epsilon for other in table if other.norm == run.norm and not other.no_limit]
        turned = within(samples.runs[run.key], max(limits, default=run.epsilon)).success
        for row in turned.nonzero().squeeze(1).tolist():
            found[row] = run.key if found[row] is None else found[row]
    return found


def _stages(info: RunInfo, run: ShardRun) -> tuple[tuple[str, int], ...]:
    """Return what each stage of an ensemble broke; shards of before there were stages don't tell."""
    if run.stage is None:
        return ()
    return tuple((name, _count(run.success & (run.stage == number))) for number, name in enumerate(info.stages))


def _clean_row(model: ModelInfo, samples: ModelSamples) -> Row:
    nothing = torch.zeros(len(samples.clean))
    unharmed = ShardRun(
        key="none",
        prediction=samples.clean.prediction,
        confidence=samples.clean.confidence,
        success=nothing.bool(),
        attacked=nothing.bool(),
        distance=nothing,
        target=nothing.long() - 1,
        forwards=nothing.long() + 1,
        backwards=nothing.long(),
        zero_gradient=nothing.bool(),
    )
    row = _row(model, samples, unharmed, targeted=False)
    return replace(row, attack=CLEAN, seconds=samples.seconds[CLEAN])


def _run_row(model: ModelInfo, samples: ModelSamples, info: RunInfo) -> Row:
    row = _row(model, samples, samples.runs[info.key], targeted=info.targeted)
    return replace(
        row,
        queries=0 if info.knowledge == "gradients" else row.forwards,
        attack=info.attack,
        epsilon=info.epsilon,
        norm=info.norm,
        seconds=samples.seconds[info.key],
        curve=info.curve is not None,
        run=info.key,
        stages=_stages(info, samples.runs[info.key]),
    )


def _worst_row(model: ModelInfo, samples: ModelSamples, group: Group) -> Row:
    told = [(info, samples.runs[info.key]) for info in group.runs]
    runs = [within(run, group.epsilon) if info.minimum else run for info, run in told]
    row = _row(model, samples, worst_run(runs, nearest=group.no_limit), targeted=False)
    return replace(
        row,
        attack=WORST_CASE,
        epsilon=group.epsilon,
        norm=group.norm,
        seconds=sum(samples.seconds[run.key] for run in runs),
        worst_of=tuple(run.key for run in runs),
    )


def _row(model: ModelInfo, samples: ModelSamples, run: ShardRun, *, targeted: bool) -> Row:
    right, label = samples.right, samples.clean.label
    judged = run.attacked if targeted else torch.ones_like(right)
    turned = run.success & judged
    robust = ~turned & judged if targeted else right & ~turned
    n, was_right = _count(judged), _count(right & judged)
    distance = run.distance[turned].double()
    return Row(
        model=model.name,
        defense=model.defense,
        attack="",
        epsilon=0.0,
        norm="",
        n=n,
        clean_accuracy=wilson(was_right, n),
        robust_accuracy=wilson(_count(robust), n),
        success_rate=wilson(_count(turned & right), was_right),
        mean_confidence=_mean(run.confidence[turned]),
        mean_distance=_mean(distance),
        median_distance=float(distance.quantile(0.5)) if len(distance) else 0.0,
        max_distance=float(distance.max()) if len(distance) else 0.0,
        distance_quantiles=tuple(distance.quantile(torch.tensor(QUANTILES).double()).tolist()) if len(distance) else (),
        class_robust_accuracy=_by_class(robust, judged, label, model.classes),
        forwards=_count(run.forwards),
        backwards=_count(run.backwards),
        seconds=0.0,
        curve=False,
        violations=sum(run.violations),
        violations_by_kind={kind: count for kind, count in zip(KINDS, run.violations, strict=True) if count},
        zero_gradient=_mean(run.zero_gradient[run.attacked]),
    )


def _by_class(robust: Tensor, judged: Tensor, label: Tensor, classes: int) -> tuple[float | None, ...]:
    samples = torch.bincount(label[judged], minlength=classes).tolist()
    held = torch.bincount(label[robust], minlength=classes).tolist()
    return tuple(h / n if n else None for h, n in zip(held, samples, strict=True))


def _count(values: Tensor) -> int:
    return int(values.sum().item())


def _mean(values: Tensor) -> float:
    return float(values.double().mean().item()) if len(values) else 0.0
