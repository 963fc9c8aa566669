"""Point 6 of the checklist: what must hold between the figures of one model, whatever the model.

Sources: arXiv:1902.06705, section 4 and appendix; arXiv:2003.01690 (Square beyond the attacks with gradients).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import torch

from workers.evaluation import words
from workers.evaluation.case import Case, no_suite
from workers.evaluation.checklist import ChecklistItem
from workers.evaluation.finding import more, named, plain
from workers.evaluation.inputs import RunInfo
from workers.evaluation.masking import AHEAD

ENOUGH = 0.005
"""Part of the samples that twice the steps and restarts may break beyond the first."""

MANY_DRAWS = 10_000
"""Random points from which on noise counts as tried (arXiv:1902.06705, section 4.12)."""


def sanity(case: Case) -> Iterator[ChecklistItem]:
    """Yield the items of one model in the order of the docs."""
    for check in _CHECKS:
        yield check(case)


def _iterated(case: Case) -> ChecklistItem:
    place = (6, "iterated_beats_single_step", "Iterated attacks beat a single step")
    here = [run for run in case.inside if plain(run) and case.ball is not None and run.epsilon == case.ball[1]]
    single = [case.row(run) for run in here if run.steps == 1]
    iterated = [case.row(run) for run in here if run.steps > 1]
    if not (single and iterated):
        return case.item(place, "not_done", "Needs FGSM and an iterated attack at one radius. Add fgsm and pgd.")
    one = min(single, key=lambda row: row.robust_accuracy.value)
    best = min(iterated, key=lambda row: row.robust_accuracy.value)
    gap = one.robust_accuracy.value - best.robust_accuracy.value
    figures = (
        f"One step leaves {words.share(one.robust_accuracy)}, the best of many {words.share(best.robust_accuracy)}."
    )
    if more(best, one):
        return case.item(place, "fail", f"{figures} The gradients mislead: attack with PGD on the margin loss.", gap)
    return case.item(place, "pass", figures, gap)


def _monotone(case: Case) -> ChecklistItem:
    place = (6, "monotone_in_epsilon", "A larger ball never leaves more")
    pairs = [pair for points in case.curves() for pair in itertools.pairwise(points)]
    if not pairs:
        return case.item(
            place, "not_done", "Needs a curve of two radii or more. Add one with --curve, or take a suite."
        )
    low, high = max(pairs, key=lambda pair: pair[1].robust_accuracy.value - pair[0].robust_accuracy.value)
    rise = high.robust_accuracy.value - low.robust_accuracy.value
    if more(high, low):
        where = f"from {words.radius(low.norm, low.epsilon)} to {words.radius(high.norm, high.epsilon)}"
        text = f"Accuracy rises by {100 * rise:.1f} points {where}: the attack of the curve fails. Take more steps."
        return case.item(place, "fail", text, rise)
    return case.item(place, "pass", f"It never rises by more than chance, over {len(pairs) + 1} radii.", rise)


def _zero(case: Case) -> ChecklistItem:
    place = (6, "epsilon_zero_is_clean", "Radius 0 changes nothing")
    points = [row for rows in case.curves() for row in rows if row.epsilon == 0]
    if not points:
        return case.item(place, "not_done", "Needs a curve that begins at 0. Add 0 to its radii, or take a suite.")
    lost = int(case.samples.right.sum()) - min(row.robust_accuracy.count for row in points)
    if lost:
        text = f"{words.samples(lost)} right clean and wrong at radius 0: the model is not asked the same twice."
        return case.item(place, "fail", f"{text} Look at randomness and batch statistics.", float(lost))
    return case.item(place, "pass", "Accuracy at radius 0 is the clean one, sample by sample.", 0.0)


def _huge(case: Case) -> ChecklistItem:
    place = (6, "huge_epsilon_reaches_chance", "Where every picture may be grey, nothing is left")
    points = [row for rows in case.curves() for row in rows if case.ball is not None and row.norm == case.ball[0]]
    far = [row for row in points if row.epsilon >= min(case.grey, 1000.0) * (1 - 1e-6)]
    if not far:
        return case.item(place, "not_done", "Needs a curve that reaches 0.5 in L∞, or as far in another norm.")
    row, chance = max(far, key=lambda row: row.epsilon), 1 / case.model.classes
    at = f"At {words.radius(row.norm, row.epsilon)} accuracy is {words.share(row.robust_accuracy)}"
    if row.robust_accuracy.low > chance:
        text = (
            f"{at}, above chance ({words.percent(chance)}): the attack fails where it can't but win. Try another loss."
        )
        return case.item(place, "fail", text, row.robust_accuracy.value)
    return case.item(place, "pass", f"{at}; chance is {words.percent(chance)}.", row.robust_accuracy.value)


def _doubled(case: Case) -> ChecklistItem:
    place = (6, "doubling_changes_little", "Twice the steps and restarts change less than half a point")
    pairs = [(a, b) for a in case.inside for b in case.inside if _doubles(a, b)]
    if not pairs:
        return case.item(
            place, "not_done", "Needs an attack twice, with twice the steps the second time. Take a suite."
        )
    one, two = pairs[-1]
    beyond = int((case.broken([two]) & ~case.broken([one])).sum())
    part = beyond / len(case.samples.clean)
    text = f"{named(two)} with {two.steps} steps breaks {words.percent(part)} of the samples beyond {one.steps} steps."
    if beyond > max(1.0, ENOUGH * len(case.samples.clean)):
        return case.item(place, "warn", f"{text} The first had not converged: trust the larger, or take more.", part)
    return case.item(place, "pass", text, part)


def _doubles(one: RunInfo, two: RunInfo) -> bool:
    apart = {"steps", "restarts", "step_size"}
    alike = [{k: v for k, v in run.parameters.items() if k not in apart} for run in (one, two)]
    return one.attack == two.attack and alike[0] == alike[1] and two.steps >= 2 * one.steps and plain(one)


def _against_transfer(case: Case) -> ChecklistItem:
    place = (6, "white_box_beats_transfer", "Attacks on the model beat those on others")
    if not case.samples.transfers:
        text = (
            "Needs a second model in the job, whose adversarial examples are shown to this one. Name one with --model."
        )
        return case.item(place, "not_done", text if case.probed else no_suite(text))
    most = max(int(turned.sum()) for turned in case.samples.transfers.values())
    own = int(case.broken([run for run in case.inside if run.knowledge == "gradients"])[case.samples.probed].sum())
    text = f"Of {words.samples(case.probed)} the model's own gradients break {own}, another model's at most {most}."
    if most > own + max(1.0, AHEAD * case.probed):
        return case.item(
            place, "fail", f"{text} Its gradients are masked: use those of the other model.", float(own - most)
        )
    return case.item(place, "pass", text, float(own - most))


def _transfer_against_noise(case: Case) -> ChecklistItem:
    place = (6, "transfer_beats_noise", "Transferred examples beat random noise")
    if not case.samples.transfers:
        return case.item(place, "not_done", "Needs a second model in the job. Name one with --model.")
    most = max(int(turned.sum()) for turned in case.samples.transfers.values())
    drawn = int(case.probe("noise").sum())
    text = f"Of {words.samples(case.probed)} another model's examples break at most {most}, random points {drawn}."
    if drawn > most + 1:
        return case.item(place, "warn", f"{text} The models have little in common: name one that is more alike.")
    return case.item(place, "pass", text, float(most - drawn))


def _noise(case: Case) -> ChecklistItem:
    place = (6, "noise_is_weaker", "Random points of the ball break no more than attacks")
    if case.given.probes is None or not case.probed or case.ball is None:
        return case.item(place, "not_done", no_suite("Needs uniform random points of the ball."))
    draws = case.given.probes.noise_draws
    found = case.probe("noise")
    beyond = int((found & ~case.broken(case.inside)[case.samples.probed]).sum())
    few = "" if draws >= MANY_DRAWS else f" These are few: the standard suite draws {words.count(MANY_DRAWS)}."
    text = f"{words.count(draws)} random points break {int(found.sum())} of {words.samples(case.probed)}"
    if beyond:
        return case.item(place, "fail", f"{text}, {beyond} of which no attack broke: the attacks fail.", float(beyond))
    return case.item(place, "pass", f"{text}, none that the attacks had left.{few}", 0.0)


def _queries(case: Case) -> ChecklistItem:
    place = (6, "square_no_better", "Attacks without gradients find nothing more")
    blind = [run for run in case.inside if run.knowledge != "gradients"]
    ensembles = [run for run in case.inside if run.stages and case.samples.runs[run.key].stage is not None]
    if not (blind or ensembles):
        return case.item(place, "not_done", "Needs an attack that asks for scores or labels only. Add square.")
    seeing = case.broken([run for run in case.inside if run not in blind and run not in ensembles])
    found = case.broken(blind)
    for run in ensembles:
        one = case.samples.runs[run.key]
        assert one.stage is not None
        last = torch.tensor([stage == "square" for stage in run.stages])[one.stage.clamp_min(0)]
        seeing, found = seeing | (one.success & ~last), found | (one.success & last)
    ahead = int((found & ~seeing).sum())
    part = ahead / len(case.samples.clean)
    text = f"They break {words.samples(ahead)} ({words.percent(part)}) that gradients left."
    if ahead > max(1.0, AHEAD * len(case.samples.clean)):
        advice = "The gradients say less than the scores: compare the losses, and look at the signs of masking."
        return case.item(place, "warn", f"{text} {advice}", part)
    return case.item(place, "pass", text, part)


def _goals(case: Case) -> ChecklistItem:
    place = (6, "targeted_and_untargeted", "Targeted and untargeted attacks were both run")
    targeted = [run for run in case.given.runs if run.targeted]
    if targeted and case.table:
        return case.item(place, "pass", f"{len(case.table)} untargeted and {len(targeted)} with a chosen class.")
    return case.item(
        place, "not_done", "Only one kind was run. The standard suite has both, or add --attack pgd:target=..."
    )


def _below_clean(case: Case) -> ChecklistItem:
    place = (6, "adversarial_not_above_clean", "No accuracy under attack is above the clean one")
    label, clean = case.samples.clean.label, int(case.samples.right.sum())
    runs = [run for run in case.given.runs if not run.targeted]
    above = [run for run in runs if int((case.samples.runs[run.key].prediction == label).sum()) > clean]
    if not runs:
        return case.item(place, "not_done", "No attack was run. Add one, or take a suite.")
    if above:
        text = f"{named(above[0])} leaves more right than there were clean: the perturbation tells the label."
        return case.item(place, "fail", f"{text} Attack from the prediction, not from the label.", float(len(above)))
    return case.item(place, "pass", f"{len(runs)} attacks and points of curves, none above.", 0.0)


_CHECKS: tuple[Callable[[Case], ChecklistItem], ...] = (
    _iterated,
    _monotone,
    _zero,
    _huge,
    _doubled,
    _against_transfer,
    _transfer_against_noise,
    _noise,
    _queries,
    _goals,
    _below_clean,
)
