"""What the figures of a model that answers at random are worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from workers.evaluation.finding import OBFUSCATED_GRADIENTS, Finding, figures, who
from workers.evaluation.inputs import ModelInfo, RunInfo
from workers.evaluation.rows import Row

AVERAGING = "eot_pgd"


def random_answers(model: ModelInfo, rows: Sequence[Row], runs: Mapping[str, RunInfo]) -> Iterator[Finding]:
    """Say that one answer is one draw, and give the figure of an attack that averages slopes over many."""
    if not (model.answers_at_random and rows):
        return
    averaged = [row for row in rows if runs[row.run].attack == AVERAGING]
    found = (
        f"Measured: {figures(averaged, runs)}."
        if averaged
        else "No attack that averages was run: run eot_pgd, every strength of its camera at 0 and jpeg_quality 100, "
        "which follows the mean slope of `samples` answers."
    )
    yield Finding(
        "caution",
        f"{who(model)} answers at random ({model.component}): every figure is of one answer about each sample, and an "
        f"attack that follows the slope of one answer follows its noise. {found}",
        (OBFUSCATED_GRADIENTS,),
    )
