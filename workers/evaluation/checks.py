"""Hygiene: what a reader of the figures has to know before believing them.

Each check looks at one model's rows and returns findings in plain words. Sources: Carlini and others, "On Evaluating
Adversarial Robustness" (arXiv:1902.06705, sections 4 and 5), and those named at each check.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from workers.evaluation import words
from workers.evaluation.inputs import ModelInfo, RunInfo, SummaryInput
from workers.evaluation.proof import KINDS
from workers.evaluation.rows import Row

CARLINI_WAGNER = ("1608.04644", "Carlini, Wagner 2016")
OBFUSCATED_GRADIENTS = ("1802.00420", "Athalye, Carlini, Wagner 2018")
EVALUATING = ("1902.06705", "Carlini, Athalye, Papernot and others 2019")

SATURATED = 0.05
"""Share of samples without a gradient from which on saturation is suspected."""

WIDE = 1000
"""Samples below which the interval is called wide: half its width is 3 points at most from here on."""


@dataclass(frozen=True)
class Finding:
    """One warning: `level` orders and colours it; `papers` are (arXiv id, citation) that it leans on."""

    level: Literal["error", "caution", "note"]
    text: str
    papers: tuple[tuple[str, str], ...] = ()


def findings(given: SummaryInput, rows: Sequence[Row]) -> list[Finding]:
    """Return every finding, errors first, then what concerns single models, then what holds for the whole."""
    runs = {run.key: run for run in given.runs}
    found: list[Finding] = []
    for model in given.models:
        own = [row for row in rows if row.model == model.name and row.run]
        for check in (_violations, _masked, _not_falling, _saturated, _distilled, _single_step_trained):
            found.extend(check(model, own, runs))
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
    if given.runs:
        yield Finding(
            "note",
            "Non-adaptive evaluation; upper bound on robustness. The attacks know the weights and follow the gradient, "
            "but none was designed against a model's particular defense. A stronger attack can only lower these "
            "accuracies.",
            (EVALUATING,),
        )


def _violations(model: ModelInfo, rows: Sequence[Row], runs: Mapping[str, RunInfo]) -> Iterator[Finding]:
    broken = [row for row in rows if row.violations]
    if broken:
        where = f"{_attack(broken[0], runs)}{f' and {len(broken) - 1} more rows' if broken[1:] else ''}"
        kinds = {kind: sum(row.violations_by_kind.get(kind, 0) for row in broken) for kind in KINDS}
        told = ", ".join(f"{kind} {words.count(count)}" for kind, count in kinds.items() if count)
        yield Finding(
            "error",
            f"{_who(model)}: {words.count(sum(kinds.values()))} times an adversarial example was not what it must be "
            f"when all were checked again ({told}; {where}). These rows are not sound; please report it.",
        )


def _masked(model: ModelInfo, rows: Sequence[Row], runs: Mapping[str, RunInfo]) -> Iterator[Finding]:
    """Name the single-step attack that beats an iterated one with at least its radius by most."""
    pairs = [
        (iterated.robust_accuracy.value - single.robust_accuracy.value, single, iterated)
        for single, iterated in itertools.product(rows, rows)
        if _weaker(runs[single.run], runs[iterated.run]) and _more(iterated, single)
    ]
    if pairs:
        _, single, iterated = max(pairs, key=lambda pair: pair[0])
        yield Finding(
            "caution",
            f"{_who(model)}: a single step does better than an iterated attack ({_figures([single, iterated], runs)}). "
            "The gradients are probably masked: the accuracy under the iterated attack says little.",
            (OBFUSCATED_GRADIENTS,),
        )


def _not_falling(model: ModelInfo, rows: Sequence[Row], runs: Mapping[str, RunInfo]) -> Iterator[Finding]:
    """Name the pair of radii where accuracy rises most: a larger ball holds the smaller one, so it can't."""
    families: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        families.setdefault(_family(runs[row.run]), []).append(row)
    pairs: list[tuple[Row, Row]] = []
    for family in families.values():
        points = sorted(family, key=lambda row: row.epsilon)
        rising = itertools.combinations(points, 2)
        pairs += [(low, high) for low, high in rising if low.epsilon < high.epsilon and _more(high, low)]
        if _flat(points[0], points[-1], 1 / model.classes):
            pairs.append((points[0], points[-1]))
    if pairs:
        low, high = max(pairs, key=lambda pair: pair[1].robust_accuracy.value - pair[0].robust_accuracy.value)
        yield Finding(
            "caution",
            f"{_who(model)}: accuracy does not fall as epsilon grows ({_figures([low, high], runs)}). A larger ball "
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
    worst = max(rows, key=lambda row: row.zero_gradient, default=None)
    if worst is not None and worst.zero_gradient > SATURATED:
        yield Finding(
            "caution",
            f"{_who(model)}: the gradient that {_attack(worst, runs)} follows is exactly zero on "
            f"{words.percent(worst.zero_gradient)} of the samples: the output is saturated. Defensive distillation "
            "hides gradients in this way; this is not robustness: attack it with the margin loss (PGD, loss margin).",
            (CARLINI_WAGNER,),
        )


def _distilled(model: ModelInfo, rows: Sequence[Row], runs: Mapping[str, RunInfo]) -> Iterator[Finding]:
    """Say what a distilled model's FGSM figure is worth, with the margin loss beside it (arXiv:1608.04644)."""
    if model.defense == "distillation" and rows:
        text = (
            f"{_who(model)} was trained with defensive distillation. A lower success of FGSM against it is not "
            "robustness: distillation makes the gradients small, and the perturbations that fool the model are still "
            "there. "
        )
        margin = [row for row in rows if runs[row.run].unsaturated]
        otherwise = "No attack with the margin loss was run: run PGD with loss margin to see them."
        yield Finding("caution", text + _beside(rows, margin, runs, otherwise), (CARLINI_WAGNER,))


def _single_step_trained(model: ModelInfo, rows: Sequence[Row], runs: Mapping[str, RunInfo]) -> Iterator[Finding]:
    """Put an iterated attack beside FGSM where the model was trained on FGSM."""
    if model.defense == "fgsm_adversarial" and rows:
        text = (
            f"{_who(model)} was trained on FGSM examples. Such a model often withstands FGSM alone, because it has "
            "learned to hide its gradient: read the iterated attack beside it. "
        )
        iterated = [row for row in rows if runs[row.run].steps > 1]
        otherwise = "No iterated attack was run: run PGD before trusting the figure."
        yield Finding("caution", text + _beside(rows, iterated, runs, otherwise), (OBFUSCATED_GRADIENTS,))


def _beside(rows: Sequence[Row], telling: Sequence[Row], runs: Mapping[str, RunInfo], otherwise: str) -> str:
    """Give the strongest single step's figure and the strongest of the `telling` attacks'."""
    strongest = _strongest(telling, runs)
    if strongest is None:
        return otherwise
    single = _strongest([row for row in rows if runs[row.run].steps == 1], runs)
    return f"Measured: {_figures([row for row in (single, strongest) if row is not None], runs)}."


def _strongest(rows: Sequence[Row], runs: Mapping[str, RunInfo]) -> Row | None:
    """Return the untargeted row that leaves least; a point of a curve only where the table has none."""
    untargeted = [row for row in rows if not runs[row.run].targeted]
    return min(untargeted, key=lambda row: (row.curve, row.robust_accuracy.value), default=None)


def _figures(rows: Sequence[Row], runs: Mapping[str, RunInfo]) -> str:
    return ", ".join(f"{_attack(row, runs)} leaves {words.share(row.robust_accuracy)}" for row in rows)


def _weaker(single: RunInfo, iterated: RunInfo) -> bool:
    comparable = single.norm == iterated.norm and not (single.targeted or iterated.targeted)
    return comparable and single.steps == 1 < iterated.steps and single.epsilon <= iterated.epsilon


def _more(row: Row, other: Row) -> bool:
    return row.robust_accuracy.count - other.robust_accuracy.count > _slack(row)


def _slack(row: Row) -> float:
    """Return the number of samples that may differ by chance: one, and half a point."""
    return max(1.0, 0.005 * row.n)


def _family(run: RunInfo) -> tuple[object, ...]:
    kept = tuple((k, v) for k, v in run.parameters.items() if k not in {"epsilon", "step_size", "steps"})
    return (run.attack, run.norm, run.goal, run.goal_label, run.curve, kept)


def _who(model: ModelInfo) -> str:
    return words.short(model.name)


def _attack(row: Row, runs: Mapping[str, RunInfo]) -> str:
    run = runs[row.run]
    loss = " with the margin loss" if "margin" in str(run.parameters.get("loss", "")).lower() else ""
    return f"{words.attack_name(run.attack)}{loss} at {words.NORMS[run.norm]} {words.radius(run.norm, run.epsilon)}"
