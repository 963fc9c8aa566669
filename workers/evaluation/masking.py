"""Signs that the gradients are hidden: attacks that should be the weaker ones do better.

Each check takes one model's rows and yields findings in plain words. What runs that look for the shortest perturbation
find within a smaller radius counts at that radius; it is compared nowhere else, as it is no attack in a ball.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from workers.evaluation import words
from workers.evaluation.finding import (
    ENSEMBLE,
    OBFUSCATED_GRADIENTS,
    Finding,
    figures,
    more,
    named,
    plain,
    who,
)
from workers.evaluation.inputs import ModelInfo, RunInfo
from workers.evaluation.merge import ModelSamples
from workers.evaluation.rows import Row
from workers.evaluation.worst import within

AHEAD: Final = 0.002
"""Share of the samples that attacks without gradients may break beyond those with them (the flag of arXiv:2003.01690's
authors for Square: 0.2 points)."""


def single_step_better(model: ModelInfo, rows: Sequence[Row], runs: Mapping[str, RunInfo]) -> Iterator[Finding]:
    """Name the single-step attack that beats an iterated one with at least its radius by most."""
    pairs = [
        (iterated.robust_accuracy.value - single.robust_accuracy.value, single, iterated)
        for single, iterated in itertools.product(rows, rows)
        if _weaker(runs[single.run], runs[iterated.run]) and more(iterated, single)
    ]
    if pairs:
        _, single, iterated = max(pairs, key=lambda pair: pair[0])
        yield Finding(
            "caution",
            f"{who(model)}: a single step does better than an iterated attack ({figures([single, iterated], runs)}). "
            "The gradients are probably masked: the accuracy under the iterated attack says little.",
            (OBFUSCATED_GRADIENTS,),
        )


def _weaker(single: RunInfo, iterated: RunInfo) -> bool:
    comparable = single.norm == iterated.norm and not (single.targeted or iterated.targeted)
    alike = plain(single) and plain(iterated)
    return comparable and alike and single.steps == 1 < iterated.steps and single.epsilon <= iterated.epsilon


def black_box_better(model: ModelInfo, samples: ModelSamples, runs: Sequence[RunInfo]) -> Iterator[Finding]:
    """Name the attack without gradients that breaks most beyond every attack with them, in one ball."""
    table = [run for run in runs if run.curve is None and not run.targeted]
    blind = [run for run in table if run.knowledge != "gradients"]
    seeing = [run for run in table if run.knowledge == "gradients" and (plain(run) or run.minimum)]
    found = []
    for norm, epsilon in sorted({(run.norm, run.epsilon) for run in [*blind, *seeing] if not run.no_limit}):
        best = _best(blind, samples, norm, epsilon), _best(seeing, samples, norm, epsilon)
        if best[0] is not None and best[1] is not None:
            found.append((best[0][0] - best[1][0], norm, epsilon, best[0], best[1]))
    if not found:
        return
    ahead, norm, epsilon, (broken, ours), (fewer, theirs) = max(found, key=lambda one: one[0])
    if ahead > 0 and ahead >= AHEAD * len(samples.clean):
        right = int(samples.right.sum())
        left = [words.percent((right - count) / len(samples.clean)) for count in (broken, fewer)]
        yield Finding(
            "caution",
            f"{who(model)}: {named(ours)}, which asks for {ours.knowledge} only, breaks more than any attack that has "
            f"the gradients: at {words.NORMS[norm]} {words.radius(norm, epsilon)} it leaves {left[0]}, "
            f"{named(theirs)} {left[1]}. The gradients may be masked: the model is weaker than they make it look.",
            (ENSEMBLE, OBFUSCATED_GRADIENTS),
        )


def _best(runs: Sequence[RunInfo], samples: ModelSamples, norm: str, epsilon: float) -> tuple[int, RunInfo] | None:
    """Return the attack of `runs` that breaks most samples within a ball, and how many those are."""
    here = [run for run in runs if run.norm == norm and (run.minimum or run.epsilon == epsilon)]
    broken = [int(within(samples.runs[run.key], epsilon).success.sum()) for run in here]
    return max(zip(broken, here, strict=True), key=lambda one: one[0], default=None)
