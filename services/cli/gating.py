"""A gate at work: from what was asked to outcomes. The model is uploaded if it is a file, evaluated, and judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from sparring import requests
from sparring.comparison import check_same_samples, compare
from sparring.errors import FailedPrecondition, InvalidArgument, JobFailed, Violation
from sparring.v1.jobs_pb2 import EvaluationSpec, Job
from sparring.values import fill

from services.cli import criteria, junit, output, progress, sheets, waiting
from services.cli.criteria import Criteria, Outcome

if TYPE_CHECKING:
    from sparring.client import Client


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The flags of `sparring gate`, by their names."""

    model: str
    dataset: str
    suite: str
    norm: str
    epsilon: float
    min_robust: float | None
    min_clean: float | None
    max_drop: float | None
    baseline: str | None
    confident: bool
    allow_flags: bool
    split: str
    offset: int
    samples: int
    seed: int
    architecture: str
    mean: Sequence[float]
    std: Sequence[float]
    component: str | None
    junit: Path | None
    markdown: Path | None
    report: Path | None
    deadline_s: float | None

    def check(self) -> None:
        """Raise UsageError for flags that do not go together."""
        if self.min_robust is None and self.min_clean is None and self.max_drop is None:
            raise click.UsageError(
                "nothing is asked for: give --min-robust, --min-clean, or --max-drop with --baseline"
            )
        if (self.max_drop is None) != (self.baseline is None):
            raise click.UsageError(
                "--max-drop says how far below --baseline JOB the model may be: give both or neither"
            )
        if self.architecture and not Path(self.model).is_file():
            raise click.UsageError(f"--model: with --architecture, a file of weights; there is no file {self.model}")
        if not self.architecture and (self.mean or self.std or self.component):
            raise click.UsageError(
                "--mean, --std and --component are of a file of weights: give its --architecture too"
            )
        if not self.architecture and self.model.endswith(".safetensors"):
            raise click.UsageError(f"--model: for the file {self.model}, give its --architecture too")

    @property
    def criteria(self) -> Criteria:
        """What is asked of the model."""
        return Criteria(
            norm=self.norm,
            epsilon=self.epsilon,
            min_robust=self.min_robust,
            min_clean=self.min_clean,
            max_drop=self.max_drop,
            confident=self.confident,
            allow_flags=self.allow_flags,
        )

    @property
    def about(self) -> dict[str, str]:
        """What a reader of the outcomes may want to know, by name."""
        ball = f"{self.norm} {self.epsilon:g}"
        return {"model": self.model, "dataset": self.dataset, "suite": self.suite, "ball": ball, "seed": str(self.seed)}


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What became of a gate: the evaluation, the model by its name, and the outcomes."""

    job: Job
    model: str
    outcomes: tuple[Outcome, ...]

    @property
    def passed(self) -> bool:
        """Nothing failed."""
        return all(outcome.status != "failed" for outcome in self.outcomes)

    @property
    def sentence(self) -> str:
        """The reason in one sentence: the first that failed, or what was asked for and holds."""
        failed = [outcome.sentence for outcome in self.outcomes if outcome.status == "failed"]
        if failed:
            more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
            return f"The gate fails {self.model}: {failed[0]}{more}."
        first = next(outcome.sentence for outcome in self.outcomes)
        return f"The gate passes {self.model}: {first}."

    def as_dict(self) -> dict[str, Any]:
        """As JSON's types."""
        return {
            "passed": self.passed,
            "reason": self.sentence,
            "job": self.job.name,
            "model": self.model,
            "outcomes": [outcome.as_dict() for outcome in self.outcomes],
        }


def judged(client: Client, asked: Asked) -> Judged | None:
    """Evaluate the model and judge it; None where Ctrl-C came before.

    Raises ServiceError where the service refuses or the job fails, LookupError where the result has no such figure.
    """
    spec = EvaluationSpec(
        models=[_model(client, asked)],
        data=requests.selection(asked.dataset, asked.split, asked.offset, asked.samples),
        seed=asked.seed,
    )
    fill([spec.suite], {"level": asked.suite, "norm": asked.norm, "epsilon": asked.epsilon})
    baseline = None if asked.baseline is None else client.jobs.get(asked.baseline)
    if baseline is not None:
        _check_baseline(client, baseline, spec)
    job = client.jobs.create(spec, display_name=f"gate: {asked.model}"[:200], deadline_s=asked.deadline_s)
    ended = waiting.stay(client, job)
    if ended is None:
        return None
    if ended.state != Job.STATE_SUCCEEDED:
        raise JobFailed(ended)
    drop = None if baseline is None else _drop(client, baseline, ended, asked.criteria)
    name = ended.resolution.models[0].name
    made = Judged(job=ended, model=name, outcomes=tuple(criteria.judge(ended, name, asked.criteria, drop=drop)))
    _write(client, asked, made)
    return made


def _model(client: Client, asked: Asked) -> str:
    """The model's name; a file is uploaded, and fits the dataset's pictures and classes."""
    if not asked.architecture:
        return asked.model
    data = client.datasets.get(asked.dataset)
    with progress.Bytes("Uploading") as shown:
        made = client.models.upload(
            asked.model,
            architecture=asked.architecture,
            input_shape=data.input_shape,
            classes=data.classes,
            mean=asked.mean,
            std=asked.std,
            component=asked.component,
            on_progress=shown.report,
        )
    output.note(f"{asked.model} is {made.name}")
    return made.name


def _check_baseline(client: Client, baseline: Job, spec: EvaluationSpec) -> None:
    """Refuse, before anything is run, a baseline that the evaluation can't be compared with."""
    if baseline.state != Job.STATE_SUCCEEDED:
        state = Job.State.Name(baseline.state).removeprefix("STATE_")
        raise FailedPrecondition(f"the baseline {baseline.name} is {state}: only one that SUCCEEDED has figures")
    resolved = client.jobs.create(spec, validate_only=True)
    resolved.name = "this gate"
    if baseline.evaluation.suite != resolved.evaluation.suite:
        raise InvalidArgument.of(
            [
                Violation(
                    "baseline",
                    f"{baseline.name} was not evaluated with the same suite, norm and epsilon, so that a difference "
                    "would say nothing: gate the baseline's model with the same flags, and take the job of that",
                )
            ]
        )
    check_same_samples(baseline, resolved)


def _drop(client: Client, baseline: Job, ended: Job, asked: Criteria) -> criteria.Drop:
    """The worst case of the baseline's model and of this one, paired."""
    models = [model.name for model in baseline.resolution.models]
    own = ended.resolution.models[0].name
    if len(models) > 1 and own not in models:
        said = f"{baseline.name} is of several models, none of them {own}: {', '.join(models)}; name a job of one model"
        raise InvalidArgument.of([Violation("baseline", said)])
    found = compare(client, [baseline, ended], baseline=own if own in models else models[0])
    return criteria.drop_of(found, asked)


def _write(client: Client, asked: Asked, made: Judged) -> None:
    """Write the files that were asked for."""
    seconds = made.job.end_time.ToNanoseconds() - made.job.create_time.ToNanoseconds()
    if asked.junit is not None:
        about = asked.about | {"job": made.job.name, "reason": made.sentence}
        junit.write(asked.junit, made.outcomes, seconds=seconds / 1e9, about=about)
    if asked.markdown is not None:
        sheets.write(asked.markdown, sheets.markdown(_sheet(made)))
    if asked.report is not None:
        client.artifacts.download(client.jobs.artifact(made.job, "report"), asked.report)


def _sheet(made: Judged) -> sheets.Sheet:
    rows = [(one.status, one.name, ". ".join(filter(None, (one.sentence, one.text)))) for one in made.outcomes]
    table = sheets.Table(title=made.job.name, columns=("Outcome", "What", "Found"), rows=rows)
    return sheets.Sheet(title="Robustness gate", lead=made.sentence, tables=[table])
