"""Sentences about a job as a whole, for the page and for Markdown: its subject, its threat model, its sources."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final

from workers.evaluation import words
from workers.evaluation.finding import Finding
from workers.evaluation.headline import speaking
from workers.evaluation.inputs import RunInfo, SummaryInput
from workers.evaluation.page.embedding import TSNE_PAPER

WILSON: Final = ("", "Wilson 1927")
"""Where the intervals are from."""

_BOUNDS: Final = {
    "linf": "L∞ bounds the change of each pixel.",
    "l2": "L2 bounds the length of the change over all pixels.",
    "l1": "L1 bounds the sum of the changes of all pixels.",
    "l0": "L0 bounds the number of values that change.",
}
_MAY: Final = {
    "linf": "each pixel by at most {}",
    "l2": "the picture by an L2 distance of at most {}",
    "l1": "the picture by at most {} in the sum of all its pixels",
    "l0": "at most {} values of the picture",
}
_KNOWS: Final = {
    "gradients": "knows the model's architecture, weights and gradients",
    "scores": "sees the model's scores only",
    "labels": "sees the model's answers only",
}
_WHITE_BOX: Final = "The architecture, the weights and the gradients (white box), and the true label."
_LESS: Final = {
    "scores": "ask the model for nothing but the scores of all classes",
    "labels": "ask the model for nothing but its answer",
}


def subject(given: SummaryInput) -> str:
    """Return which attacks were run against which models."""
    attacks = list(dict.fromkeys(words.attack_name(run) for run in given.runs))
    models = [words.short(model.name) for model in given.models]
    who = models[0] if len(models) == 1 else f"{len(models)} models"
    if not attacks:
        return f"{who}, judged clean"
    return f"{words.listed(attacks)} against {who}" if len(attacks) <= 4 else f"{len(attacks)} attacks on {who}"


def threat(runs: Sequence[RunInfo]) -> str:
    """Return the threat model of the headline in one sentence; "" where the table has no attack."""
    group = speaking(runs)
    if group is None:
        return ""
    knowledge = next(one for one in _KNOWS if any(run.knowledge == one for run in group.runs))
    free = words.unlimited(group.norm, group.epsilon)
    may = (
        "the picture as much as it takes" if free else _MAY[group.norm].format(words.radius(group.norm, group.epsilon))
    )
    aims = words.listed(list(dict.fromkeys(words.goal(run) for run in group.runs)))
    many = len(group.runs) > 1
    counts = f"one of {len(group.runs)} attacks breaks it" if many else "the attack breaks it"
    return (
        f"Robust accuracy is the worst case, sample by sample, of an attacker who {_KNOWS[knowledge]} and may change "
        f"{may}, to make it answer {aims}: a sample is lost as soon as {counts}."
    )


def knows(runs: Sequence[RunInfo]) -> str:
    """Return what the attacks know of the model, those that know less by their names."""
    parts = [_WHITE_BOX] if any(run.knowledge == "gradients" for run in runs) else []
    for knowledge, what in _LESS.items():
        named = list(dict.fromkeys(words.attack_name(run) for run in runs if run.knowledge == knowledge))
        if named:
            asks = what if len(named) > 1 else what.replace("ask", "asks", 1)
            parts.append(f"{words.listed(named)} {asks}.")
    return " ".join(parts)


def threats(runs: Sequence[RunInfo]) -> list[str]:
    """Return each norm with its radii in words, those of curves by the largest."""
    found = []
    for norm in dict.fromkeys(run.norm for run in runs):
        here = [run for run in runs if run.norm == norm]
        radii = [words.radius(norm, epsilon) for epsilon in sorted({run.epsilon for run in here if run.curve is None})]
        largest = max((run.epsilon for run in here if run.curve is not None), default=None)
        if largest is not None:
            radii.append(f"curves up to {words.radius(norm, largest)}")
        found.append(f"{words.NORMS[norm]} {words.listed(radii)}")
    return found


def bounds(runs: Sequence[RunInfo]) -> str:
    """Return what each norm that is used bounds."""
    return " ".join(_BOUNDS[norm] for norm in dict.fromkeys(run.norm for run in runs))


def curves(runs: Sequence[RunInfo]) -> list[tuple[str, RunInfo, list[float]]]:
    """Return each curve as its label, its first run and its radii by size."""
    labels = words.curve_labels(runs)
    return [
        (labels[number], head, sorted(run.epsilon for run in runs if run.curve == number))
        for number, head in words.curve_heads(runs).items()
    ]


def verify(job: str) -> str:
    """Return the shell command that checks the files of a job, and does a part of it again."""
    return shlex.join(["sparring", "verify", words.short(job)])


def papers(given: SummaryInput, found: Sequence[Finding], *, mapped: bool) -> list[tuple[str, str]]:
    """Return (arXiv id or "", citation) of the attacks, the defenses, the checks and the plots of this report."""
    named = [(run.paper, run.citation) for run in given.runs]
    named += [(model.paper, model.citation) for model in given.models]
    named += [paper for finding in found for paper in finding.papers]
    return [*named, WILSON, *([TSNE_PAPER] if mapped else [])]
