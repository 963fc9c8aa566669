"""Accuracy against epsilon, down to nothing: the curves of a job as plots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from workers.evaluation import words
from workers.evaluation.inputs import SummaryInput
from workers.evaluation.page.canvas import DASHES, Plot
from workers.evaluation.page.lines import Axis, Line, line_plot, ticks_to
from workers.evaluation.proportions import Proportion
from workers.evaluation.rows import CLEAN, Row

CROWDED: Final = 8
"""Lines from which on a plot is split, one for each curve of the job."""

FEW_CLASSES: Final = 50
"""Classes up to which guessing is worth a line."""

Points = list[tuple[float, Proportion]]


def epsilon_plots(given: SummaryInput, rows: Sequence[Row]) -> list[Plot]:
    """Draw the curves: one plot for those of one norm and kind of goal, split by curve where it would be crowded."""
    curves = words.curve_heads(given.runs)
    names = words.curve_labels(given.runs)
    groups: dict[tuple[object, ...], list[int]] = {}
    for number, run in curves.items():
        crowded = len(curves) * len(given.models) > CROWDED
        groups.setdefault((run.norm, run.targeted, number if crowded else None), []).append(number)
    plots = []
    for place, ((norm, targeted, _), members) in enumerate(groups.items()):
        found = [
            one
            for dash, number in zip(_dashes(), members, strict=False)
            for one in _lines(given, rows, number, names[number] if len(members) > 1 else "", dash)
        ]
        what = "share that does not become the target" if targeted else "robust accuracy"
        attacks = words.listed([names[number] for number in members])
        plots.append(
            line_plot(
                f"epsilon-{place}",
                [line for line, _ in found],
                _axis(str(norm), [epsilon for _, points in found for epsilon, _ in points]),
                caption=f"{attacks}: {what} against epsilon",
                chance=1 / given.models[0].classes if given.models[0].classes <= FEW_CLASSES else None,
                notes=() if targeted else tuple(_ends(str(norm), found)),
            )
        )
    return plots


def _dashes() -> Iterator[str]:
    while True:
        yield from DASHES


def _lines(
    given: SummaryInput, rows: Sequence[Row], curve: int, attack: str, dash: str
) -> Iterator[tuple[Line, Points]]:
    """Yield a curve's line for each model, with its shares; `attack` is empty where the plot has no other."""
    runs = {run.key: run for run in given.runs if run.curve == curve}
    for place, model in enumerate(given.models):
        own = [row for row in rows if row.model == model.name]
        shares = {runs[row.run].epsilon: row.robust_accuracy for row in own if row.run in runs}
        if not any(run.targeted for run in runs.values()):
            # At epsilon 0 nothing can be changed: the curve starts at the clean accuracy.
            shares[0.0] = next(row.clean_accuracy for row in own if row.attack == CLEAN)
        name = words.short(model.name) if len(given.models) > 1 or not attack else ""
        points = sorted(shares.items())
        line = Line(
            label=", ".join(filter(None, [name, attack])),
            series=place,
            dash=dash,
            points=tuple((epsilon, share.value) for epsilon, share in points),
            band=tuple((share.low, share.high) for _, share in points),
        )
        yield line, points


def _axis(norm: str, radii: Sequence[float]) -> Axis:
    largest = max(radii, default=0.0)
    top = largest if largest > 0 else 1.0
    grey = norm == "linf" and top <= 0.2 and all(abs(255 * radius - round(255 * radius)) < 1e-6 for radius in radii)
    unit = 255.0 if grey else 1.0
    ticks = tuple(
        (tick / unit, f"{tick:g}/255" if grey and tick else f"{tick:g}") for tick in ticks_to(top * unit, grey=grey)
    )
    return Axis(0.0, top, ticks, f"epsilon, {words.NORMS[norm]}{', values that change' if norm == 'l0' else ''}")


def _ends(norm: str, found: Sequence[tuple[Line, Points]]) -> Iterator[str]:
    """Say from which radius on a line is at 0 %, and which lines never are."""
    fallen, standing = [], []
    for line, points in found:
        zero = next((epsilon for epsilon, share in points if share.count == 0), None)
        last, share = points[-1]
        if zero is None:
            standing.append(f"{line.label} ({words.percent(share.value)} at {words.radius(norm, last)})")
        else:
            fallen.append(f"{line.label} (from {words.radius(norm, zero)} on)")
    if fallen:
        yield f"Down to 0 %: {words.listed(fallen)}."
    if standing:
        yield (
            f"Not down to 0 %: {words.listed(standing)}. Attack {'it' if len(standing) == 1 else 'them'} harder, or "
            "further, before you believe in what is left."
        )
