"""Points 1 to 5 of the checklist: what was attacked, in which model of a threat, and what came out."""

from __future__ import annotations

from collections.abc import Iterator

from workers.evaluation import words
from workers.evaluation.case import Case
from workers.evaluation.checklist import ChecklistItem
from workers.evaluation.inputs import SummaryInput
from workers.evaluation.metrics import broken_first
from workers.evaluation.rows import CLEAN, QUANTILES, WORST_CASE, Row


def threat(given: SummaryInput) -> ChecklistItem:
    """Point 1, of the whole job."""
    place = (1, "threat_model", "Goal, knowledge, ball, box and budget")
    if not given.runs:
        return ChecklistItem(*place, "not_done", "No attack was run. Add one, or take a suite.")
    goals = words.listed(list(dict.fromkeys(words.goal(run) for run in given.runs)))
    knows = words.listed(sorted({run.knowledge for run in given.runs}))
    norms = words.listed([words.NORMS[norm] for norm in dict.fromkeys(run.norm for run in given.runs)])
    asked = [int(run.parameters["queries"]) for run in given.runs if "queries" in run.parameters]
    budget = f"; at most {words.count(max(asked))} queries" if asked else ""
    adaptive = given.adaptive
    who = adaptive.knowledge.strip() if adaptive else "Nobody is taken to know the defense."
    radius = "" if given.suite is None else f" The suite's ball: {words.NORMS[given.suite.norm]} "
    radius += "" if given.suite is None else f"{words.radius(given.suite.norm, given.suite.epsilon)}."
    text = (
        f"Goal: {goals}. The attacker asks for {knows} and knows the true label{budget}. Distances: {norms}.{radius} "
        f"Pixels stay in [0, 1] and are not rounded. {who or 'Who knows the defense was not said.'}"
    )
    return ChecklistItem(*place, "info", text)


def identity(case: Case) -> ChecklistItem:
    """Point 2."""
    model, about = case.model, case.given.provenance
    parts = [
        f"weights {model.weights_sha256}",
        f"architecture {model.architecture}",
        f"defense {words.defense_name(model.defense) or 'unknown'}",
        f"around it {model.component or 'nothing'}",
        f"normalisation inside the model: mean {_numbers(model.mean, 0)}, standard deviation {_numbers(model.std, 1)}",
        "evaluation mode, float32, TF32 off",
        words.listed([f"{name} {version}" for name, version in about.items()]) or "versions unknown",
    ]
    passes = float(case.probe("passes").double().mean()) if case.probed else None
    if passes is not None:
        parts.append(f"forward passes per prediction: {passes:g}")
    place = (2, "identity", "Weights, mode, preprocessing and versions")
    return case.item(place, "info", f"{'; '.join(parts)}.", passes)


def clean(case: Case) -> ChecklistItem:
    """Point 3."""
    place, data = (3, "clean_accuracy", "Clean accuracy on the same samples"), case.given.data
    row = next(row for row in case.rows if row.attack == CLEAN)
    ids = f"{data.dataset}/{data.split} {data.offset} to {data.offset + data.count - 1}"
    text = f"{_told(row)} of {words.samples(row.n)}, {ids}."
    return case.item(place, "info", text, row.clean_accuracy.value)


def worst(case: Case) -> Iterator[ChecklistItem]:
    """Point 4."""
    place = (4, "worst_case", "Robust accuracy, each sample under the attack that breaks it")
    headline = _headline(case)
    if headline is None:
        yield case.item(
            place, "not_done", "No untargeted attack has a limit. Add one with an epsilon, or take a suite."
        )
        return
    radius = f"{words.NORMS[headline.norm]} {words.radius(headline.norm, headline.epsilon)}"
    attacks = max(1, len(headline.worst_of))
    text = f"{_told(headline)} at {radius}, over {attacks} attack{'s' if attacks > 1 else ''}: an upper bound."
    yield case.item(place, "info", text, headline.robust_accuracy.value)
    added = broken_first(case.samples, [run for run in case.table if run.norm == headline.norm])
    labels = words.labels(case.table, case.given.runs)
    told = [
        f"{labels[key]} {'+' if index else ''}{words.count(count)}" for index, (key, count) in enumerate(added.items())
    ]
    for row in case.rows:
        told += (
            [f"of {labels[row.run]}: {words.listed([f'{name} {n}' for name, n in row.stages])}"] if row.stages else []
        )
    place = (4, "stage_deltas", "What each attack adds to those before it")
    last = list(added.values())[-1]
    yield case.item(place, "info", f"Samples broken first: {', '.join(told)}.", float(last))


def course(case: Case) -> Iterator[ChecklistItem]:
    """Point 5."""
    place = (5, "curve", "Accuracy against epsilon, down to nothing")
    ends = [(points[0], points[-1]) for points in case.curves()]
    if not ends:
        yield case.item(place, "not_done", "No curve was asked for. Add one with --curve, or take a suite.")
    else:
        first, last = min(ends, key=lambda pair: pair[1].robust_accuracy.value)
        radii = f"{words.radius(first.norm, first.epsilon)} to {words.radius(last.norm, last.epsilon)}"
        text = f"From {words.share(first.robust_accuracy)} to {words.share(last.robust_accuracy)} over {radii}"
        reached = last.robust_accuracy.low <= 1 / case.model.classes
        advice = "." if reached else ": it does not come down to chance. Add larger radii."
        yield case.item(place, "pass" if reached else "warn", f"{text}{advice}", last.robust_accuracy.value)
    place = (5, "minimum_distances", "The shortest perturbations that were found")
    shortest = [run for run in case.table if run.no_limit]
    told = []
    for run in shortest:
        row = case.row(run)
        at = [
            f"{words.distance(q)} ({100 * part:g} %)"
            for part, q in zip(QUANTILES, row.distance_quantiles, strict=False)
        ]
        told.append(
            f"{words.attack_name(run)}, {words.NORMS[run.norm]}: turns {words.share(row.success_rate)}, mean "
            f"{words.distance(row.mean_distance)}, quantiles {', '.join(at) or 'none'}"
        )
    if told:
        yield case.item(place, "info", f"{'; '.join(told)}.", case.row(shortest[0]).median_distance)
    else:
        text = "No attack without a limit was run. Add fmn or ddn, or take the standard suite."
        yield case.item(place, "not_done", text)


def _headline(case: Case) -> Row | None:
    """Return the worst case of the ball, or the only attack in it."""
    if case.ball is None:
        return None
    norm, epsilon = case.ball
    here = [row for row in case.rows if (row.norm, row.epsilon) == (norm, epsilon) and not row.curve]
    worsts = [row for row in here if row.attack == WORST_CASE]
    keys = {run.key for run in case.table}
    return next(iter(worsts or [row for row in here if row.run in keys]), None)


def _told(row: Row) -> str:
    share = row.clean_accuracy if row.attack == CLEAN else row.robust_accuracy
    return f"{words.share(share)} ({words.interval(share)}, 95 %)"


def _numbers(values: tuple[float, ...], default: float) -> str:
    return ", ".join(f"{value:g}" for value in values) or f"{default:g}"
