"""Point 7 of the checklist: signs that the gradients of one model say little of it.

Each has one cause, so that a model with one defect raises one flag: where answers about one picture differ, flags that
compare answers are not judged; a gradient of zero counts as flat only where the output does not change either.

Sources: arXiv:2003.01690 and its authors' flags (randomised, softmax, zero gradients, optimisation at inference, number
of classes), arXiv:2106.09947 (unavailable gradients, unstable predictions, silent success, incomplete optimisation),
arXiv:1608.04644 (saturation), arXiv:1802.00420 (shattered gradients).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from workers.evaluation import words
from workers.evaluation.case import DIFFERENT, Case, no_suite
from workers.evaluation.checklist import ChecklistItem, Status
from workers.evaluation.checks import SATURATED

SUMS_TO_ONE = 1e-4
"""How far the outputs of a sample may sum from 1 and still look like probabilities."""

MISMATCH = 0.5
"""Median disagreement between slope and change, 0 to 1, from which on a gradient is called wrong."""

TOLD = 0.05
"""Part of the samples that must have a line along which anything changes."""

UNSTABLE = 0.1
"""Mean change of the margin one grey level away, as a part of what the logits are apart."""

FURTHER = 0.01
"""Part of the samples that steps from where the attacks ended may still break."""

FEWEST_CLASSES = 4
"""Below it there is no targeted DLR, and AutoAttack takes the margin."""

Place = tuple[int, str, str]


def flags(case: Case) -> Iterator[ChecklistItem]:
    """Yield the flags of one model in the order of the docs."""
    for place, check, compares in _CHECKS:
        if not case.probed:
            yield case.item(place, "not_done", no_suite("Needs probes of the model."))
        elif compares and not case.settled:
            text = (
                "The answer about a picture is not the same twice, so there is nothing to compare: see the flag above."
            )
            yield case.item(place, "not_done", text)
        else:
            status, text, value = check(case)
            yield case.item(place, status, text, value)


Found = tuple[Status, str, float | None]


def _randomised(case: Case) -> Found:
    text = f"Two passes over one batch differ by {case.drawn:.1e} of the outputs' length at most"
    if case.drawn > DIFFERENT:
        return "fail", f"{text}: the model answers at random. Attack the mean of many answers (eot_pgd).", case.drawn
    return "pass", f"{text}; {DIFFERENT:g} is allowed.", case.drawn


def _mated(case: Case) -> Found:
    if case.drawn > DIFFERENT:
        return "not_done", "The model answers at random, so that batches can't be compared: see the flag above.", None
    text = f"The answer about a picture differs by {case.mated:.1e} between two batches at most"
    if case.mated > DIFFERENT:
        advice = "It uses the statistics of the batch: put its batch norm into evaluation mode."
        return "fail", f"{text}. {advice}", case.mated
    return "pass", f"{text}; {DIFFERENT:g} is allowed.", case.mated


def _softmax(case: Case) -> Found:
    off = float((case.probe("row_sum") - 1).abs().max())
    inside = bool((case.probe("lowest") >= 0).all() and (case.probe("highest") <= 1).all())
    if inside and off <= SUMS_TO_ONE:
        return (
            "fail",
            "The outputs are probabilities: losses want logits. Take the softmax away and evaluate again.",
            off,
        )
    return "pass", "The outputs are no probabilities, as it should be.", off


def _flat(case: Case) -> Found:
    part = float(case.probe("flat").double().mean())
    text = f"The gradient of the margin is exactly zero on {words.percent(part)} of the samples"
    if part <= SATURATED:
        return "pass", f"{text}.", part
    if _mismatched(case):
        return "info", f"{text}, and yet the output changes: see gradient against change.", part
    advice = "Attack by scores or labels (square, hop_skip_jump), or put a smooth stand-in behind (BPDA)."
    return "fail", f"{text}, and the output is flat there. {advice}", part


def _mismatch(case: Case) -> Found:
    found = case.probe("mismatch")
    told = found >= 0
    if case.given.probes is not None and case.given.probes.lines == 0:
        return "not_done", "The probes were told to follow no line. Leave `lines` to the suite.", None
    if float(told.double().mean()) < TOLD:
        return (
            "info",
            "Hardly anything changes along the lines that were followed, so slopes could not be judged.",
            None,
        )
    middle = float(found[told].median())
    text = f"Along lines from {words.samples(int(told.sum()))} slope and change disagree by {middle:.2f} of 1 (median)"
    if _mismatched(case):
        advice = (
            "A layer rounds, or brings a gradient of its own: attack through a stand-in (BPDA), and by scores alone."
        )
        return "fail", f"{text}. {advice}", middle
    return "pass", f"{text}.", middle


def _mismatched(case: Case) -> bool:
    found = case.probe("mismatch")
    told = found >= 0
    return case.settled and float(told.double().mean()) >= TOLD and float(found[told].median()) > MISMATCH


def _saturated(case: Case) -> Found:
    part = float(case.probe("saturated").double().mean())
    text = f"On {words.percent(part)} of the samples cross-entropy has no slope where the margin has one"
    if part > SATURATED:
        return "warn", f"{text}: softmax is saturated. Read the attacks on the margin or DLR, not those on it.", part
    return "pass", f"{text}.", part


def _adapts(case: Case) -> Found:
    if bool(case.probe("adapts").any()):
        text = "The model computes gradients while it answers. AutoAttack is not enough for it (arXiv:2202.13711)"
        return "fail", f"{text}: attack the whole of it, its inner steps unrolled.", 1.0
    return "pass", "No gradients are computed while it answers, as far as that shows from outside.", 0.0


def _unstable(case: Case) -> Found:
    mean = float(case.probe("unstable").mean())
    text = (
        f"One grey level of noise changes the margin by {words.percent(mean)} of what the logits are apart, on average"
    )
    if mean > UNSTABLE:
        return "warn", f"{text}: gradients at a point say little. Average them over a neighbourhood (eot_pgd).", mean
    return "pass", f"{text}.", mean


def _silent(case: Case) -> Found:
    label, right = case.samples.clean.label, case.samples.right
    lost = torch.zeros_like(right)
    for run in case.table:
        one = case.samples.runs[run.key]
        if one.again is not None:
            lost |= right & ~one.success & (one.again != label) & case.held_inside(run)
    count = int(lost.sum())
    text = f"{words.samples(count)} counted as withstanding whose example does fool the model in another pass"
    if count > max(1.0, 0.002 * len(label)):
        return "fail", f"{text}. Robust accuracy is too high by that: please report it.", float(count)
    return "pass", f"{text}.", float(count)


def _incomplete(case: Case) -> Found:
    plan = case.given.probes
    if plan is None or plan.further_steps == 0:
        return "not_done", "The probes were told to take no further step. Leave `further_steps` to the suite.", None
    broken = int(case.probe("further").sum())
    part = broken / case.probed
    risen = float(case.probe("gain")[case.samples.right[case.samples.probed]].mean().nan_to_num(0.0))
    text = (
        f"{words.count(plan.further_steps)} steps from where the attacks ended break {words.samples(broken)} more of "
        f"{words.count(case.probed)}; the margin rises by {words.percent(max(0.0, risen))} of what the logits are apart"
    )
    if broken >= 2 and part > FURTHER:
        return "fail", f"{text}. The attacks had not come to an end: take more steps and restarts.", part
    return "pass", f"{text}.", part


def _classes(case: Case) -> Found:
    classes = case.model.classes
    if classes < FEWEST_CLASSES:
        text = f"There are {classes} classes: AutoAttack's targeted stages have the margin in the place of the DLR."
        return "info", text, float(classes)
    return "pass", f"{classes} classes are enough for every loss.", float(classes)


# The place of a flag, its check, and whether it compares answers that must then be the same each time.
_CHECKS: tuple[tuple[Place, Callable[[Case], Found], bool], ...] = (
    ((7, "randomised", "Answers at random"), _randomised, False),
    ((7, "batch_statistics", "Answers that depend on the rest of the batch"), _mated, False),
    ((7, "softmax_outputs", "Probabilities in the place of logits"), _softmax, False),
    ((7, "zero_gradient", "No gradient at the start"), _flat, False),
    ((7, "gradient_mismatch", "Gradient against what the output does"), _mismatch, True),
    ((7, "saturation", "Saturated softmax"), _saturated, False),
    ((7, "optimises_at_inference", "Optimisation at inference"), _adapts, False),
    ((7, "unstable", "Unstable predictions"), _unstable, True),
    ((7, "silent_success", "Silent success"), _silent, True),
    ((7, "incomplete", "Incomplete optimisation"), _incomplete, True),
    ((7, "few_classes", "Classes against targets"), _classes, False),
)
