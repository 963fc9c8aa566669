"""Hygiene: what a reader of the figures has to know before believing them.

Each check looks at one model's rows and returns findings in plain words. Sources: Carlini and others, "On Evaluating
Adversarial Robustness" (arXiv:1902.06705, sections 4 and 5), and those named at each check.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from workers.evaluation import words
from workers.evaluation.finding import (
    CARLINI_WAGNER,
    EVALUATING,
    OBFUSCATED_GRADIENTS,
    Finding,
    figures,
    more,
    plain,
    told,
    who,
)
from workers.evaluation.inputs import ModelInfo, RunInfo, SummaryInput
from workers.evaluation.masking import black_box_better, single_step_better
from workers.evaluation.merge import ModelSamples
from workers.evaluation.overfitting import of_training
from workers.evaluation.proof import KINDS
from workers.evaluation.randomness import random_answers
from workers.evaluation.rows import Row

SATURATED = 0.05
"""Share of samples without a gradient from which on saturation is suspected."""

WIDE = 1000
"""Samples below which the interval is called wide: half its width is 3 points at most from here on."""

SINGLE_STEP = frozenset({"fgsm_adversarial", "adversarial_at_scale", "ensemble_adversarial", "fgsm_rs"})
"""Defenses that train on examples which are one step away."""


def findings(given: SummaryInput, rows: Sequence[Row], samples: Sequence[ModelSamples]) -> list[Finding]:
    """Return every finding, errors first, then what concerns single models, then what holds for the whole.

    `samples` are the per-sample results of each model, in the order of the job.
    """
    runs = {run.key: run for run in given.runs}
    found: list[Finding] = []
    for model, one in zip(given.models, samples, strict=True):
        own = [row for row in rows if row.model == model.name and row.run]
        for check in (_violations, random_answers, single_step_better, _not_falling, *_TELLING):
            found.extend(check(model, own, runs))
        found.extend(black_box_better(model, one, given.runs))
    if given.course is not None:
        found.extend(of_training(given.course))
    found.extend(_whole(given))
    order = {"error": 0, "caution": 1, "note": 2}
    return sorted(dict.fromkeys(found), key=lambda finding: order[finding.level])


def _whole(given: SummaryInput) -> Iterator[Finding]:
    n = given.data.count
    if n < WIDE:
        reach = 100 * 0.98 / (n**0.5)
        yield Finding(
            "caution",
            f"Judged on {words.samples(n)} only: a figure may be off by up to {min(reach, 100):.0f} points "
            f"(95 % interval). Take {words.count(WIDE)} or more before comparing models.",
        )
    halved = [stats["halved"] for stats in given.stats if "halved" in stats]
    if halved:
        sizes = sorted({sizes["to"] for sizes in halved})
        yield Finding(
            "note",
            f"{words.count(len(halved))} of {words.count(len(given.stats))} units were halved to "
            f"{' or '.join(map(words.count, sizes))} samples at once after out of memory at {halved[0]['from']}. Steps "
            "and noise are the same, but the last bit of a logit may depend on the number, and with it the bytes.",
        )
    if given.runs and not given.adaptive:
        yield Finding(
            "note",
            "Non-adaptive evaluation; upper bound on robustness. None of the attacks was designed against a model's "
            "particular defense. A stronger attack can only lower these accuracies.",
            (EVALUATING,),
        )


def _violations(model: ModelInfo, rows: Sequence[Row], runs: Mapping[str, RunInfo]) -> Iterator[Finding]:
    broken = [row for row in rows if row.violations]
    if broken:
        where = f"{told(runs[broken[0].run])}{f' and {len(broken) - 1} more rows' if broken[1:] else ''}"
        kinds = {kind: sum(row.violations_by_kind.get(kind, 0) for row in broken) for kind in KINDS}
        listed = ", ".join(f"{kind} {words.count(count)}" for kind, count in kinds.items() if count)
        yield Finding(
            "error",
            f"{who(model)}: {words.count(sum(kinds.values()))} times an adversarial example was not what it must be "
            f"when all were checked again ({listed}; {where}). These rows are not sound; please report it.",
        )


def _not_falling(model: ModelInfo, rows: Sequence[Row], runs: Mapping[str, RunInfo]) -> Iterator[Finding]:
    """Name the pair of radii where accuracy rises most: a larger ball holds the smaller one, so it can't.

    Left out: attacks that look for the shortest perturbation, whose radius is none that they search, and those that see
    labels only, which begin wherever chance has it.
    """
    families: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        if not runs[row.run].minimum and runs[row.run].knowledge != "labels":
            families.setdefault(_family(runs[row.run]), []).append(row)
    pairs: list[tuple[Row, Row]] = []
    for family in families.values():
        points = sorted(family, key=lambda row: row.epsilon)
        rising = itertools.combinations(points, 2)
        pairs += [(low, high) for low, high in rising if low.epsilon < high.epsilon and more(high, low)]
        if _flat(points[0], points[-1], 1 / model.classes):
            pairs.append((points[0], points[-1]))
    if pairs:
        low, high = max(pairs, key=lambda pair: pair[1].robust_accuracy.value - pair[0].robust_accuracy.value)
        yield Finding(
            "caution",
            f"{who(model)}: accuracy does not fall as epsilon grows ({figures([low, high], runs)}). A larger ball "
            "contains the smaller one, so the attack fails to find what is there: more steps, restarts or another loss "
            "are needed.",
            (OBFUSCATED_GRADIENTS,),
        )


def _flat(first: Row, last: Row, chance: float) -> bool:
    """Whether twice the radius broke no further sample, though there were samples left to break."""
    wider = last.epsilon >= 2 * first.epsilon > 0
    held = last.robust_accuracy.count >= first.robust_accuracy.count
    return wider and held and first.robust_accuracy.low > chance


def _saturated(model: ModelInfo, rows: Sequence[Row], runs: Mapping[str, RunInfo]) -> Iterator[Finding]:
    following = [row for row in rows if runs[row.run].knowledge == "gradients"]
    worst = max(following, key=lambda row: row.zero_gradient, default=None)
    if worst is not None and worst.zero_gradient > SATURATED:
        yield Finding(
            "caution",
            f"{who(model)}: the gradient that {told(runs[worst.run])} follows is exactly zero on "
            f"{words.percent(worst.zero_gradient)} of the samples: the output is saturated. Defensive distillation "
            "hides gradients in this way; this is not robustness: attack it with the margin loss (PGD, loss margin).",
            (CARLINI_WAGNER,),
        )


def _distilled(model: ModelInfo, rows: Sequence[Row], runs: Mapping[str, RunInfo]) -> Iterator[Finding]:
    """Say what a distilled model's FGSM figure is worth, with the margin loss beside it (arXiv:1608.04644)."""
    if model.defense == "distillation" and rows:
        text = (
            f"{who(model)} was trained with defensive distillation. A lower success of FGSM against it is not "
            "robustness: distillation makes the gradients small, and the perturbations that fool the model are still "
            "there. "
        )
        margin = [row for row in rows if runs[row.run].unsaturated and plain(runs[row.run])]
        otherwise = _shortest(rows, runs)
        yield Finding("caution", text + _beside(rows, margin, runs, otherwise), (CARLINI_WAGNER,))


def _single_step_trained(model: ModelInfo, rows: Sequence[Row], runs: Mapping[str, RunInfo]) -> Iterator[Finding]:
    """Put an iterated attack beside FGSM where the model was trained on FGSM."""
    if model.defense in SINGLE_STEP and rows:
        text = (
            f"{who(model)} was trained on FGSM examples. Such a model often withstands FGSM alone, because it has "
            "learned to hide its gradient: read the iterated attack beside it. "
        )
        iterated = [row for row in rows if runs[row.run].steps > 1 and plain(runs[row.run])]
        otherwise = "No iterated attack was run: run PGD before trusting the figure."
        yield Finding("caution", text + _beside(rows, iterated, runs, otherwise), (OBFUSCATED_GRADIENTS,))


def _beside(rows: Sequence[Row], telling: Sequence[Row], runs: Mapping[str, RunInfo], otherwise: str) -> str:
    """Give the strongest single step's figure and the strongest of the `telling` attacks'."""
    strongest = _strongest(telling, runs)
    if strongest is None:
        return otherwise
    single = _strongest([row for row in rows if runs[row.run].steps == 1 and plain(runs[row.run])], runs)
    return f"Measured: {figures([row for row in (single, strongest) if row is not None], runs)}."


def _shortest(rows: Sequence[Row], runs: Mapping[str, RunInfo]) -> str:
    """Say how short the perturbations are that an attack without a limit found on unsaturated values."""
    free = [row for row in rows if runs[row.run].minimum and runs[row.run].unsaturated and row.success_rate.count]
    if not free:
        return "No attack with the margin loss was run: run PGD with loss margin to see them."
    most = max(free, key=lambda row: row.success_rate.value)
    return (
        f"Measured: {told(runs[most.run])} turns {words.share(most.success_rate)}, at a median distance of "
        f"{words.distance(most.median_distance)}."
    )


def _strongest(rows: Sequence[Row], runs: Mapping[str, RunInfo]) -> Row | None:
    """Return the untargeted row that leaves least; a point of a curve only where the table has none."""
    untargeted = [row for row in rows if not runs[row.run].targeted]
    return min(untargeted, key=lambda row: (row.curve, row.robust_accuracy.value), default=None)


def _family(run: RunInfo) -> tuple[object, ...]:
    kept = tuple((k, v) for k, v in run.parameters.items() if k not in {"epsilon", "step_size", "steps"})
    return (run.attack, run.norm, run.goal, run.goal_label, run.curve, kept)


# What a defense or a saturated output calls for beside a figure.
_TELLING = (_saturated, _distilled, _single_step_trained)
