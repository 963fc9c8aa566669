"""What a gate asks of a model, and what became of it: one outcome for each criterion and each line of the checklist."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from sparring import standings
from sparring.comparison import WORST_CASE, norm_of
from sparring.v1.suites_pb2 import ChecklistItem

if TYPE_CHECKING:
    from sparring.comparison import Comparison
    from sparring.paired import Difference, Share
    from sparring.v1.jobs_pb2 import Job, Proportion, ResultRow

NORMS = {"linf": "L-infinity", "l2": "L2", "l1": "L1"}
_JUDGED = {ChecklistItem.STATUS_PASS, ChecklistItem.STATUS_WARN, ChecklistItem.STATUS_FAIL}


@dataclass(frozen=True, kw_only=True)
class Criteria:
    """What is asked, each bound a share in [0, 1] and None where it is not asked for.

    min_robust, min_clean: the least robust and clean accuracy. max_drop: the most that the robust accuracy may be below
    the baseline's. norm, epsilon: the ball. confident: the end of the 95 % interval that is worse for the model decides
    and not the figure itself. allow_flags: what fails in the checklist is told and fails nothing.
    """

    norm: str
    epsilon: float
    min_robust: float | None = None
    min_clean: float | None = None
    max_drop: float | None = None
    confident: bool = False
    allow_flags: bool = False

    @property
    def ball(self) -> str:
        """`L-infinity 0.1`."""
        return f"{NORMS[self.norm]} {self.epsilon:g}"


@dataclass(frozen=True, kw_only=True)
class Drop:
    """The baseline's worst case, the model's, and the model's minus the baseline's on the same samples."""

    before: Share
    after: Share
    apart: Difference


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One testcase: a criterion ("gate") or a line of the checklist ("checklist"), in a name and a sentence.

    status: "waived" is a failure of the checklist that was allowed. More of a failed line is in `text`.
    """

    group: Literal["gate", "checklist"]
    name: str
    status: Literal["passed", "failed", "waived"]
    sentence: str
    text: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As JSON's types."""
        return asdict(self)


def judge(job: Job, model: str, criteria: Criteria, *, drop: Drop | None = None) -> list[Outcome]:
    """Judge a model by an evaluation that SUCCEEDED; `drop` compares it with the baseline."""
    row = headline(job, model, criteria)
    found = []
    if criteria.min_robust is not None:
        found.append(_robust(job, row, criteria, criteria.min_robust))
    clean = standings.clean_row(job, model)
    if criteria.min_clean is not None:
        share = row.clean_accuracy if clean is None else clean.robust_accuracy
        found.append(_least("clean accuracy", share, criteria.min_clean, criteria, where=""))
    if criteria.max_drop is not None and drop is not None:
        found.append(_dropped(drop, criteria, criteria.max_drop))
    return [*found, _sound(job, model, criteria), *_checklist(job, model, criteria)]


def headline(job: Job, model: str, criteria: Criteria) -> ResultRow:
    """Return the row that counts in the ball; raises LookupError where the job has none."""
    for row in standings.headlines(job, model):
        if (norm_of(row), row.epsilon) == (criteria.norm, criteria.epsilon):
            return row
    raise LookupError(f"{job.name} has no robust accuracy of {model} at {criteria.ball}")


def drop_of(found: Comparison, criteria: Criteria) -> Drop:
    """Return how the last contender's worst case in the ball compares with the baseline's; LookupError for none."""
    for line in found.lines:
        if (line.attack, line.norm, line.epsilon) == (WORST_CASE, criteria.norm, criteria.epsilon):
            before, after, apart = line.shares[found.baseline], line.shares[-1], line.differences[-1]
            if before is not None and after is not None and apart is not None:
                return Drop(before=before, after=after, apart=apart)
    raise LookupError(f"the two evaluations have no worst case at {criteria.ball} in common")


def _robust(job: Job, row: ResultRow, criteria: Criteria, least: float) -> Outcome:
    weakest = f": weakest against {standings.weakest(job, row)}"
    return _least("robust accuracy", row.robust_accuracy, least, criteria, where=f" at {criteria.ball}{weakest}")


def _least(what: str, share: Proportion, least: float, criteria: Criteria, *, where: str) -> Outcome:
    decisive = share.low if criteria.confident else share.value
    passed = decisive >= least
    said = f"{what} {share.value:.3f} [{share.low:.3f}, {share.high:.3f}]"
    if criteria.confident:
        said = f"the lower end of {said}"
    verb = "is at least" if passed else "is below"
    ball = f" at {criteria.ball}" if what.startswith("robust") else ""
    return Outcome(
        group="gate",
        name=f"{what} at least {least:g}{ball}",
        status="passed" if passed else "failed",
        sentence=f"{said} {verb} {least:g}{where}",
    )


def _dropped(drop: Drop, criteria: Criteria, most: float) -> Outcome:
    # Of counts, so that 0.02 of 500 samples is 10 of them, and nothing is lost in rounding.
    fell = (drop.apart.lost - drop.apart.gained) / drop.after.of
    passed = (-drop.apart.low if criteria.confident else fell) <= most
    said = (
        f"robust accuracy changed by {drop.apart.value:+.3f} [{drop.apart.low:+.3f}, {drop.apart.high:+.3f}], "
        f"from the baseline's {drop.before.value:.3f} to {drop.after.value:.3f}"
    )
    verb = "a drop of no more than" if passed else "a drop of more than"
    end = ", as the interval's lower end has it" if criteria.confident else ""
    return Outcome(
        group="gate",
        name=f"robust accuracy at most {most:g} below the baseline",
        status="passed" if passed else "failed",
        sentence=f"{said}: {verb} {most:g} at {criteria.ball}{end}",
    )


def _sound(job: Job, model: str, criteria: Criteria) -> Outcome:
    """Every adversarial example was checked again when it was made."""
    wrong = sum(row.violations for row in job.result.rows if row.model == model)
    if wrong == 0:
        sentence = "every adversarial example passed the check of ball, range, label and type"
        return Outcome(group="checklist", name="adversarial examples are sound", status="passed", sentence=sentence)
    return Outcome(
        group="checklist",
        name="adversarial examples are sound",
        status="waived" if criteria.allow_flags else "failed",
        sentence=f"{wrong} adversarial examples failed the check of ball, range, label or type: trust no figure of it",
    )


def _checklist(job: Job, model: str, criteria: Criteria) -> Iterator[Outcome]:
    """Every line of the checklist that judges something, of the model and of the job as a whole."""
    failed: Literal["failed", "waived"] = "waived" if criteria.allow_flags else "failed"
    for item in job.result.checklist:
        if item.model not in {"", model} or item.status not in _JUDGED:
            continue
        fails = item.status == ChecklistItem.STATUS_FAIL
        said = {ChecklistItem.STATUS_PASS: "", ChecklistItem.STATUS_WARN: " (a warning)"}.get(item.status, " FAILS")
        yield Outcome(
            group="checklist",
            name=f"{item.point:02d} {item.key}",
            status=failed if fails else "passed",
            sentence=f"{item.title}{said}",
            text=item.text,
        )
