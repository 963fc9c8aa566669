"""Point 6 of the checklist, its last part: every adversarial example looked at again, as it is and as a picture."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from workers.evaluation import words
from workers.evaluation.case import Case, no_suite
from workers.evaluation.checklist import ChecklistItem


def rechecks(case: Case) -> Iterator[ChecklistItem]:
    """Yield what came of the second looks."""
    yield _checked(case)
    yield _rounded(case)


def _checked(case: Case) -> ChecklistItem:
    place = (6, "checked_again", "Every example was checked again in float32")
    runs = [case.samples.runs[run.key] for run in case.given.runs]
    if not runs:
        return case.item(place, "not_done", "No attack was run. Add one, or take a suite.")
    failed = sum(sum(run.violations) for run in runs)
    if failed:
        text = f"{words.count(failed)} times an example was outside its ball, the box or its place: please report it."
        return case.item(place, "fail", text, float(failed))
    looked = [(info, run) for info, run in zip(case.given.runs, runs, strict=True) if run.again is not None]
    if not looked:
        text = "All are in their ball and the box; their labels were checked once."
        return case.item(place, "info", no_suite(f"{text} A second forward in another batch:"), 0.0)
    label = case.samples.clean.label
    lost = sum(int((run.success & (run.again == label)).sum()) for info, run in looked if not info.targeted)
    turned = sum(int(run.success.sum()) for info, run in looked if not info.targeted)
    text = f"All are in their ball and the box; in other batches {lost} of {words.count(turned)} successes fail"
    if lost > max(1.0, 0.001 * turned):
        return case.item(place, "warn", f"{text}: the answer depends on more than the picture.", float(lost))
    return case.item(place, "pass", f"{text}.", float(lost))


def _rounded(case: Case) -> ChecklistItem:
    place = (6, "after_rounding", "Robust accuracy once the examples are saved as 8-bit pictures")
    runs = [case.samples.runs[run.key] for run in case.inside]
    if case.ball is None or not runs or any(run.rounded is None for run in runs):
        return case.item(place, "not_done", no_suite("Needs the predictions on the examples rounded to grey levels."))
    right, label = case.samples.right, case.samples.clean.label
    turned = torch.zeros_like(right)
    for info, run in zip(case.inside, runs, strict=True):
        assert run.rounded is not None
        near = run.distance <= case.ball[1] if info.minimum else torch.ones_like(right)
        turned = turned | (near & (run.rounded != label))
    before, after = (float((right & ~broken).double().mean()) for broken in (case.broken(case.inside), turned))
    text = f"{words.percent(after)} after rounding, {words.percent(before)} before; pixels move by 0.5/255 at most."
    return case.item(place, "info", text, after)
