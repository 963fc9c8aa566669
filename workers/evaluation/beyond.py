"""Points 8 to 14 of the checklist: what the attacks of the table don't reach."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from workers.evaluation import words
from workers.evaluation.case import DIFFERENT, Case, no_suite
from workers.evaluation.checklist import ChecklistItem
from workers.evaluation.inputs import SummaryInput
from workers.evaluation.probes.broader import MOVE, SIGMA, TURNS
from workers.evaluation.randomness import AVERAGING

NON_ADAPTIVE = "Non-adaptive evaluation; upper bound only."

# Flags of a model that RobustBench has no place for (arXiv:2010.09670, section 3).
_INELIGIBLE = ("randomised", "batch_statistics", "zero_gradient", "gradient_mismatch", "optimises_at_inference")


def special(case: Case, flags: list[ChecklistItem]) -> Iterator[ChecklistItem]:
    """Point 8: what the flags of point 7 call for, and whether it was done."""
    raised = {item.key for item in flags if item.status in {"fail", "warn"}}
    place = (8, "eot", "Randomised defenses: attacks on the mean of many answers")
    averaged = [run for run in case.given.runs if run.attack == AVERAGING]
    if not case.probed and not case.model.answers_at_random:
        yield case.item(place, "not_done", no_suite("Whether the model answers at random was not measured."))
    elif "randomised" not in raised and not case.model.answers_at_random:
        yield case.item(place, "pass", "Not called for: two passes give the same answers.")
    elif averaged:
        many, row = averaged[0].parameters["samples"], case.row(averaged[0])
        text = f"EOT over {many} answers a step leaves {words.share(row.robust_accuracy)}"
        advice = "one answer is one draw: take more samples until it no longer falls"
        yield case.item(place, "warn", f"{text}; {advice}.", row.robust_accuracy.value)
    else:
        advice = "Add --attack eot_pgd, every strength of its camera at 0 and jpeg_quality 100, samples 20 or more."
        yield case.item(place, "not_done", f"The model answers at random, and no attack averaged. {advice}")
    place = (8, "bpda", "Non-differentiable defenses: a stand-in, and the parts by themselves")
    if not case.probed:
        yield case.item(place, "not_done", no_suite("Whether the gradient is the model's own was not measured."))
    elif raised & {"gradient_mismatch", "zero_gradient"}:
        advice = (
            "Evaluate the model without that layer, and with a smooth stand-in in its backward pass (arXiv:1802.00420)."
        )
        yield case.item(place, "not_done", f"The gradient does not say what the output does. {advice}")
    elif case.settled:
        yield case.item(place, "pass", "Not called for: slopes and changes of the output agree.")
    else:
        yield case.item(place, "not_done", "Could not be judged, as answers about one picture differ.")
    if "optimises_at_inference" in raised:
        place = (8, "test_time", "Test-time optimisation")
        yield case.item(
            place, "warn", "AutoAttack is not enough for a model that optimises (arXiv:2202.13711). Adapt it."
        )


def adaptive(given: SummaryInput) -> ChecklistItem:
    """Point 9, of the whole job."""
    place = (9, "adaptive", "Attacks designed against this defense")
    if given.adaptive:
        who = given.adaptive.knowledge.strip()
        text = f"Adapted: {given.adaptive.adapted.strip()}" + (f" Who knows what: {who}" if who else "")
        return ChecklistItem(*place, "info", text)
    advice = "Attack the loss end to end, part by part and as a whole (arXiv:2002.08347), and say so in `adaptive`."
    return ChecklistItem(*place, "not_done", f"{NON_ADAPTIVE} {advice}")


def transfer(case: Case) -> Iterator[ChecklistItem]:
    """Point 10."""
    place = (10, "transfer", "Accuracy under the other models' adversarial examples")
    others = {str(number): words.short(model.name) for number, model in enumerate(case.given.models)}
    if case.samples.transfers:
        right = case.samples.right[case.samples.probed]
        left = {
            others.get(number, number): float((right & ~turned).double().mean())
            for number, turned in case.samples.transfers.items()
        }
        named = ", ".join(f"made for {name}: {words.percent(value)}" for name, value in left.items())
        yield case.item(place, "info", f"{named}; {words.samples(case.probed)}.", min(left.values()))
    elif len(case.given.models) > 1:
        yield case.item(place, "not_done", no_suite("The job's other models were not attacked for this one."))
    else:
        text = (
            "The job has one model. Name others with --model: a substitute that was trained on its answers, or a twin."
        )
        yield case.item(place, "not_done", text)
    place = (10, "black_box", "Attacks that see scores or labels only")
    blind = [run for run in case.given.runs if run.knowledge != "gradients" and run.curve is None]
    if blind:
        told = [
            f"{words.attack_name(run)} ({run.knowledge}, {words.count(int(run.parameters.get('queries', 0)))} queries) "
            f"leaves {words.share(case.row(run).robust_accuracy)}"
            for run in blind
        ]
        least = min(case.row(run).robust_accuracy.value for run in blind)
        yield case.item(place, "info", f"{words.listed(told)}.", least)
    elif any(run.stages for run in case.given.runs):
        yield case.item(place, "info", "Square is the last stage of AutoAttack: see what each stage broke.")
    else:
        yield case.item(place, "not_done", "None was run. Add square or hop_skip_jump, or take a suite.")


def broader(case: Case) -> Iterator[ChecklistItem]:
    """Point 11."""
    place = (11, "other_norms", "Other norms")
    norms = {run.norm for run in case.table} - ({case.ball[0]} if case.ball else set())
    told = [
        f"{words.NORMS[run.norm]}: {words.attack_name(run)}, median {words.distance(case.row(run).median_distance)}"
        for run in case.table
        if run.norm in norms and run.minimum
    ]
    if norms:
        named = words.listed([words.NORMS[norm] for norm in sorted(norms)])
        yield case.item(place, "info", f"Also judged in {named}. {'; '.join(told)}".strip())
    else:
        yield case.item(
            place, "not_done", "One norm only. The thorough suite has the shortest perturbations in the others."
        )
    place = (11, "other_changes", "Pictures turned, moved, blurred, flat and noisy")
    if not case.probed:
        yield case.item(place, "not_done", no_suite("Other changes than those of the attacks were not tried."))
        return
    what = {
        "turned": f"turned by up to {max(TURNS):g} degrees",
        "moved": f"moved by {MOVE:g} of the side",
        "blurred": "blurred over 3 x 3",
        "contrast": "at half the contrast",
        "gaussian": f"with noise of {SIGMA:g}",
    }
    shares = {name: float(case.probe(name).double().mean()) for name in what}
    told = [f"{what[name]} {words.percent(share)}" for name, share in shares.items()]
    text = f"Accuracy on {words.samples(case.probed)}: {', '.join(told)}. These are no worst cases."
    yield case.item(place, "info", text, min(shares.values()))


def robustbench(case: Case, flags: list[ChecklistItem]) -> ChecklistItem:
    """Point 12."""
    place = (12, "robustbench", "May stand beside RobustBench's figures")
    if not case.probed:
        return case.item(place, "not_done", no_suite("Gradients, determinism and optimisation were not looked at."))
    wrong = [item.title.lower() for item in flags if item.key in _INELIGIBLE and item.status == "fail"]
    if wrong or case.drawn > DIFFERENT:
        return case.item(place, "fail", f"No: {words.listed(wrong)}. Do not compare it with the leaderboard.", 0.0)
    standard = any(run.attack == "auto_attack" for run in case.table)
    more = "" if standard else " Its figures are AutoAttack's, which this job did not run: take the standard suite."
    return case.item(place, "pass", f"Gradients, one answer for one picture, nothing optimised.{more}", 1.0)


def reproduction(given: SummaryInput) -> ChecklistItem:
    """Point 13, of the whole job."""
    place = (13, "reproduction", "What is kept, and how to check it")
    text = (
        f"`sparring verify {shlex.quote(given.job)}` checks every file against the manifest and runs a part again. "
        f"Seed {given.seed}. The manifest has the digests of weights, samples and shards. Adversarial examples are "
        "a function of them; `sparring attack` keeps them as a file."
    )
    return ChecklistItem(*place, "info", text)


def training(given: SummaryInput) -> ChecklistItem:
    """Point 14, of the whole job."""
    place = (14, "training", "How the models were trained")
    trained = dict.fromkeys(words.defense_name(model.defense) or "an unknown training" for model in given.models)
    text = (
        f"An evaluation sees weights only ({words.listed(list(trained))}). Accuracy by epoch, the choice of the "
        "checkpoint, the mode of batch norm and the time taken are in the report of the training job."
    )
    return ChecklistItem(*place, "not_done", text)
