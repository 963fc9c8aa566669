"""What a training's looks at itself warn of: robust overfitting, catastrophic overfitting, leaked labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from workers.evaluation import words
from workers.evaluation.course import Course
from workers.evaluation.finding import Finding

ROBUST_OVERFITTING: Final = ("2002.11569", "Rice, Wong, Kolter 2020")
CATASTROPHIC: Final = ("2001.03994", "Wong, Rice, Kolter 2020")
LEAKING: Final = ("1611.01236", "Kurakin, Goodfellow, Bengio 2016")

FALLEN: Final = 0.03
"""How far robust accuracy has to fall below its best to be called overfitting; 500 samples tell some 2 points."""

LEAKED: Final = 0.02
"""How far accuracy under attack has to be above the clean one before labels are said to leak."""


def of_training(course: Course) -> Iterator[Finding]:
    """Return what a reader of the trained model's figures has to know."""
    yield from _fell(course)
    yield from _tripped(course)
    yield from _leaked(course)


def _fell(course: Course) -> Iterator[Finding]:
    """Compare the best look at held-out samples with the last."""
    robust = {look.epoch: look.held_out_robust for look in course.looks if look.held_out_robust is not None}
    if not robust:
        return
    best, last = max(robust, key=lambda epoch: robust[epoch]), max(robust)
    if robust[best] - robust[last] > FALLEN:
        has = "the last epoch's" if course.selected is None else f"those of epoch {course.selected}"
        yield Finding(
            "caution",
            f"Robust overfitting: on held-out samples accuracy under PGD was {words.percent(robust[best])} after epoch "
            f"{best} and {words.percent(robust[last])} after epoch {last}. The model's weights are {has}; "
            "select robust takes the best.",
            (ROBUST_OVERFITTING,),
        )


def _tripped(course: Course) -> Iterator[Finding]:
    """Say that the training went back."""
    tripped = [look for look in course.looks if look.rolled_back]
    if tripped:
        epochs = words.listed([str(look.epoch) for look in tripped])
        yield Finding(
            "caution",
            f"Catastrophic overfitting: after epoch {epochs} the network withstood its own examples but not PGD, on "
            f"samples that it learns from (down to {words.percent(min(look.probe_robust for look in tripped))}). The "
            "training went back to the best weights before. A smaller step_size avoids it.",
            (CATASTROPHIC,),
        )


def _leaked(course: Course) -> Iterator[Finding]:
    """Compare clean accuracy with that under attack, which can only be lower unless the attack tells the label."""
    last = course.looks[-1]
    pairs = [(last.held_out_clean, last.held_out_robust), (last.probe_clean, last.probe_robust)]
    for clean, robust in pairs:
        if clean is not None and robust is not None and robust - clean > LEAKED:
            yield Finding(
                "caution",
                f"After the last epoch accuracy under PGD ({words.percent(robust)}) was above the clean one "
                f"({words.percent(clean)}): the network reads the label off the perturbation, or it was never shown "
                "clean samples. Its robustness to examples made in another way is not known.",
                (LEAKING,),
            )
            return
