"""Models side by side on the same samples, with the differences that only the same samples can show.

    found = sparring.compare(client, ["jobs/...", "jobs/..."])
    for line in found.lines:
        print(line.attack, line.epsilon, [share.value for share in line.shares if share])

Every job has been attacked on the same samples of the same data, so that each pair of verdicts is about one sample;
see `sparring.paired` for what is made of the pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict

from sparring import values
from sparring.client import Client
from sparring.errors import InvalidArgument, Violation
from sparring.names import JobLike
from sparring.paired import Difference, Share, difference, wilson
from sparring.v1.attacks_pb2 import Norm
from sparring.v1.jobs_pb2 import Job, ResolvedData, ResultRow
from sparring.verdicts import Verdicts, pairs

CLEAN = "clean"
WORST_CASE = "worst_case"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A model as one job judged it. `label`: its bare name; with the job's id where the name alone is not enough."""

    label: str
    model: str
    defense: str
    job: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """One attack at one radius; `shares` and `differences` by contender, None where a job has no such row.

    attack: as its field is named, "clean" or "worst_case". norm: "linf", "l2", "l1", "l0", or "" for clean. n: samples
    that are judged under every contender of the line. shares: robust accuracy on those. differences: to the baseline,
    None for the baseline itself. parameters: of the attack, resolved; empty for clean and worst cases.
    """

    attack: str
    epsilon: float
    norm: str
    curve: bool
    parameters: Mapping[str, Any]
    n: int
    shares: tuple[Share | None, ...]
    differences: tuple[Difference | None, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Contenders, the number of the one that the others are compared with, and what was found.

    samples: the data in words, e.g. "mnist10k, split test, samples 0 to 499". notes: what a reader must know.
    """

    contenders: tuple[Contender, ...]
    baseline: int
    samples: str
    lines: tuple[Line, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """As JSON's types."""
        return asdict(self)


def compare(client: Client, jobs: Sequence[JobLike], *, baseline: str = "") -> Comparison:
    """Compare every model of some attacks and evaluations that SUCCEEDED on the same samples.

    `baseline` names the model that the others are compared with; empty: the first one of the first job. Raises
    InvalidArgument where there is nothing to compare or the samples differ, FailedPrecondition for a job that has no
    verdicts, NotFound for one that is not there.
    """
    held = list({job.name: job for job in (client.jobs.get(job) for job in jobs)}.values())
    for job in held[1:]:
        check_same_samples(held[0], job)
    read = [Verdicts.of(client, job) for job in held]
    for job, verdicts in zip(held, read, strict=True):
        if verdicts.samples != read[0].samples:
            raise _refused(f"{held[0].name} and {job.name} were judged on other samples or labels of the same name")
    seen = [one for job, verdicts in zip(held, read, strict=True) for one in _judgements(job, verdicts)]
    if len(seen) < 2:
        raise _refused(f"{held[0].name} has one model only; name another job, or evaluate several models in one")
    contenders = _labelled(seen)
    first = _find(contenders, baseline)
    keys = list(dict.fromkeys(key for one in seen for key in one.rows))
    lines = tuple(
        _line(key, seen, first) for key in keys if key in seen[first].rows and sum(key in one.rows for one in seen) > 1
    )
    return Comparison(
        contenders=contenders,
        baseline=first,
        samples=described(held[0].resolution.data),
        lines=lines,
        notes=tuple(_notes(held, seen, contenders, keys, lines)),
    )


@dataclass(frozen=True)
class _Judgement:
    """One model of one job: its rows by what they are of, each with its number."""

    job: Job
    model: str
    verdicts: Verdicts
    rows: Mapping[tuple[Any, ...], tuple[int, ResultRow]]


def _judgements(job: Job, verdicts: Verdicts) -> Iterator[_Judgement]:
    for model in dict.fromkeys(row.model for row in job.result.rows):
        rows: dict[tuple[Any, ...], tuple[int, ResultRow]] = {}
        for number, row in enumerate(job.result.rows):
            if row.model == model:
                rows.setdefault(key_of(row), (number, row))
        yield _Judgement(job, model, verdicts, rows)


def key_of(row: ResultRow) -> tuple[Any, ...]:
    """What a row is of, whatever its model: equal for the same attack with the same parameters at the same radius.

    Worst cases are told apart by norm and radius alone, not by the attacks that they are over.
    """
    if row.attack == CLEAN:
        return (CLEAN,)
    return row.attack, row.norm, row.epsilon, row.curve, row.parameters.SerializeToString(deterministic=True)


def _line(key: tuple[Any, ...], seen: Sequence[_Judgement], first: int) -> Line:
    """Return one line; the samples are those that every contender of it judges."""
    here = {number: (one, *one.rows[key]) for number, one in enumerate(seen) if key in one.rows}
    judged = -1
    for one, row_number, _ in here.values():
        judged &= one.verdicts.judged(row_number)
    held = {number: one.verdicts.held(row_number) & judged for number, (one, row_number, _) in here.items()}
    n, row = judged.bit_count(), here[first][2]
    shares = {number: wilson(bits.bit_count(), n) for number, bits in held.items()}
    apart = {number: difference(pairs(held[first], bits, judged)) for number, bits in held.items() if number != first}
    kind = row.parameters.WhichOneof("kind")
    return Line(
        attack=row.attack,
        epsilon=row.epsilon,
        norm=norm_of(row),
        curve=row.curve,
        parameters={} if kind is None else MessageToDict(row.parameters, preserving_proto_field_name=True),
        n=n,
        shares=tuple(shares.get(number) for number in range(len(seen))),
        differences=tuple(apart.get(number) for number in range(len(seen))),
    )


def norm_of(row: ResultRow) -> str:
    """The norm of a row as flags take it: "linf", or "" for none."""
    return "" if row.norm == 0 else Norm.Name(row.norm).removeprefix(values.prefix(Norm.DESCRIPTOR)).lower()


def _labelled(seen: Sequence[_Judgement]) -> tuple[Contender, ...]:
    bare = [_bare(one.model) for one in seen]
    return tuple(
        Contender(
            label=name if bare.count(name) == 1 else f"{name} ({one.job.name})",
            model=one.model,
            defense=next(row.defense for _, row in one.rows.values()),
            job=one.job.name,
        )
        for name, one in zip(bare, seen, strict=True)
    )


def _find(contenders: Sequence[Contender], baseline: str) -> int:
    if not baseline:
        return 0
    for number, one in enumerate(contenders):
        if baseline in {one.label, one.model, _bare(one.model)}:
            return number
    listed = ", ".join(one.label for one in contenders)
    raise InvalidArgument.of([Violation("baseline", f"there is no {baseline!r} among the models: {listed}")])


def _notes(
    jobs: Sequence[Job],
    seen: Sequence[_Judgement],
    contenders: Sequence[Contender],
    keys: Sequence[tuple[Any, ...]],
    lines: Sequence[Line],
) -> Iterator[str]:
    attacks = {frozenset(key for key in one.rows if key[0] not in {CLEAN, WORST_CASE}) for one in seen}
    if len(attacks) > 1 and any(line.attack == WORST_CASE for line in lines):
        yield "The worst cases are over other attacks in one job than in another: fewer attacks make a milder case."
    for one, contender in zip(seen, contenders, strict=True):
        alone = [
            f"{row.attack} at {row.epsilon:g}"
            for key, (_, row) in one.rows.items()
            if not row.curve and sum(key in other.rows for other in seen) == 1
        ]
        if alone:
            yield f"Only {contender.label} has: {', '.join(alone)}; nothing to compare it with."
    if len(lines) <= 1 < len(keys):
        yield "No attack is the same in all of them, with its parameters; evaluate the models in one job."
    if len({_seed(job) for job in jobs}) > 1:
        yield "The jobs have different seeds, so a part of each difference is chance of the attacks."


def _seed(job: Job) -> int:
    return int(getattr(job, str(job.WhichOneof("spec"))).seed)


def described(data: ResolvedData) -> str:
    """Samples in words."""
    return f"{data.dataset}, split {data.split}, samples {data.offset} to {data.offset + data.count - 1}"


def check_same_samples(one: Job, other: Job) -> None:
    """Raise InvalidArgument, which says what to do, unless both jobs judged the same samples of the same data."""
    a, b = one.resolution.data, other.resolution.data
    models = " ".join(f"--model {_bare(model.name)}" for job in (one, other) for model in job.resolution.models)
    again = (
        f"evaluate the models on the same samples, best in one job: sparring evaluate {models} "
        f"--dataset {a.dataset} --split {a.split} --offset {a.offset} --count {a.count} ..."
    )
    if (a.dataset, a.split, a.offset, a.count) != (b.dataset, b.split, b.offset, b.count):
        raise _refused(f"{one.name} is on {described(a)}, {other.name} on {described(b)}; {again}")
    if (a.images_sha256, a.labels_sha256) != (b.images_sha256, b.labels_sha256):
        raise _refused(f"{one.name} and {other.name} are on different data of the name {a.dataset}; {again}")


def _bare(name: str) -> str:
    return name.rpartition("/")[2]


def _refused(text: str) -> InvalidArgument:
    return InvalidArgument.of([Violation("jobs", text)])
