"""Jobs that build on each other as one graph, which is checked whole and then given to the service: there they wait.

    lines = sparring.Pipeline()
    plain = lines.train("plain", "digits", architecture="mlp", epochs=5)
    lines.attack("broken", plain, "digits", "bim", epsilon=0.2)
    run = lines.submit(client)
    jobs = run.wait()                           # {"plain": Job, "broken": Job}

A step is named by `${name}` where a model or a job to come after is asked for. Each step asks for reuse, so a pipeline
that has run is over at once when it is submitted again, and of one that broke off only the rest is made.
`sparring.pipeline_document` reads the same from nested mappings, such as a YAML file.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from sparring import requests, submit
from sparring.client import Client
from sparring.errors import InvalidArgument, JobFailed, ServiceError, Violation
from sparring.v1.jobs_pb2 import CreateJobRequest, Job

if TYPE_CHECKING:
    from sparring.comparison import Comparison

BUILDERS: Mapping[str, Callable[..., CreateJobRequest]] = {
    "train": submit.train,
    "attack": submit.attack,
    "evaluate": submit.evaluate,
    "poison": submit.poison,
}
COMPARE = "compare"
COMPARED = ("attack", "evaluate")
REFERENCE = re.compile(r"(?:jobs/)?\$\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}")
# The file of a result that says best what came of the job, by the kind of its spec.
_MAIN = {"training": "weights", "attack": "adversarial"}


@dataclass(frozen=True, kw_only=True)
class Step:
    """A part of a pipeline: a request whose models and `after` may name other steps, or a comparison `of` some."""

    name: str
    kind: str
    request: CreateJobRequest | None = None
    of: tuple[str, ...] = ()

    def references(self) -> Iterator[tuple[str, str]]:
        """Yield each field that names another step, and which."""
        yield from ((COMPARE, name) for name in self.of)
        if self.request is not None:
            named = [*_models(self.request), *(("after", name) for name in self.request.after)]
            for field, text in named:
                found = REFERENCE.fullmatch(text)
                if found:
                    yield field, found[1]


class Pipeline:
    """Steps by name. Nothing is sent before `submit`; `reuse=False` makes every job anew."""

    def __init__(self, *, reuse: bool = True) -> None:
        self.steps: dict[str, Step] = {}
        self.reuse = reuse

    def train(self, name: str, *args: Any, **kwargs: Any) -> str:
        """Add a training, of the arguments of `client.train`; the answer stands for its model."""
        return self.add(name, "train", submit.train(*args, **{"reuse": self.reuse, **kwargs}))

    def attack(self, name: str, *args: Any, **kwargs: Any) -> str:
        """Add an attack, of the arguments of `client.attack`."""
        return self.add(name, "attack", submit.attack(*args, **{"reuse": self.reuse, **kwargs}))

    def evaluate(self, name: str, *args: Any, **kwargs: Any) -> str:
        """Add an evaluation, of the arguments of `client.evaluate`."""
        return self.add(name, "evaluate", submit.evaluate(*args, **{"reuse": self.reuse, **kwargs}))

    def poison(self, name: str, *args: Any, **kwargs: Any) -> str:
        """Add a poisoning, of the arguments of `client.poison`."""
        return self.add(name, "poison", submit.poison(*args, **{"reuse": self.reuse, **kwargs}))

    def compare(self, name: str, steps: Iterable[str]) -> str:
        """Add a comparison of attacks and evaluations on the same samples, made by the client at the end."""
        return self._keep(Step(name=name, kind=COMPARE, of=tuple(REFERENCE.sub(r"\1", step) for step in steps)))

    def add(self, name: str, kind: str, request: CreateJobRequest) -> str:
        """Add a step of a request that is made already."""
        return self._keep(Step(name=name, kind=kind, request=request))

    def _keep(self, step: Step) -> str:
        if not _NAME.fullmatch(step.name):
            raise requests.bad(f"steps.{step.name}", "a step is named by letters, digits, '-' and '_', at most 63")
        if step.name in self.steps:
            raise requests.bad(f"steps.{step.name}", "there are two steps of this name; rename one")
        self.steps[step.name] = step
        return f"${{{step.name}}}"

    def check(self) -> None:
        """Raise everything that is wrong with the graph at once: steps that are not there, or of no use, and cycles."""
        violations = [problem for step in self.steps.values() for problem in self._problems(step)]
        if not violations:
            try:
                self.order()
            except CycleError as error:
                ring = " -> ".join(reversed(error.args[1]))
                violations.append(Violation(f"steps.{error.args[1][-1]}", f"waits for itself: {ring}; break the ring"))
        if violations:
            raise InvalidArgument.of(violations, reason="BAD_PIPELINE")

    def order(self) -> list[str]:
        """Names such that each step comes after those that it names. CycleError."""
        graph = {name: [other for _, other in step.references()] for name, step in self.steps.items()}
        return list(TopologicalSorter(graph).static_order())

    def _problems(self, step: Step) -> Iterator[Violation]:
        for field, name in step.references():
            path = f"steps.{step.name}.{field}"
            other = self.steps.get(name)
            if other is None:
                near = difflib.get_close_matches(name, self.steps, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(self.steps)}"
                yield Violation(path, f"there is no step {name!r}; {hint}")
            elif field == COMPARE and other.kind not in COMPARED:
                yield Violation(path, f"{name!r} is of kind {other.kind}; compared are {' and '.join(COMPARED)} steps")
            elif field == "after" and other.kind == COMPARE:
                yield Violation(path, f"{name!r} is made by the client at the end, and nothing comes after it")
            elif field not in {COMPARE, "after"} and other.kind != "train":
                yield Violation(path, f"{name!r} makes no model; name a step that trains")

    def submit(self, client: Client) -> PipelineRun:
        """Check the graph, and everything else as far as the service can without the models; then send all of it.

        Where the service refuses a step in spite of that, the jobs that were sent are cancelled, so that all of the
        pipeline is under way or nothing. InvalidArgument with `steps.NAME.FIELD` for each bad field; ServiceError.
        """
        self.check()
        for step in self.steps.values():
            if step.request is not None and not any(step.references()):
                _sent(client, step, step.request, validate_only=True)
        jobs: dict[str, Job] = {}
        try:
            for name in self.order():
                step = self.steps[name]
                if step.request is not None:
                    jobs[name] = _sent(client, step, _resolved(step.request, jobs))
        except ServiceError:
            for job in reversed(jobs.values()):
                if job.state == Job.STATE_QUEUED:
                    with suppress(ServiceError):
                        client.jobs.cancel(job)
            raise
        return PipelineRun(client, self, jobs)


class PipelineRun:
    """What became of a pipeline: `jobs` by step, as they stood when they were sent, and since `wait` as they ended."""

    def __init__(self, client: Client, pipeline: Pipeline, jobs: Mapping[str, Job]) -> None:
        self.pipeline, self.jobs = pipeline, dict(jobs)
        # Steps whose jobs were there already.
        self.reused = frozenset(name for name, job in jobs.items() if job.state == Job.STATE_SUCCEEDED)
        self._client = client

    def wait(
        self,
        *,
        on_end: Callable[[str, Job], None] | None = None,
        timeout_s: float | None = None,
        check: bool = False,
    ) -> Mapping[str, Job]:
        """Wait for every job, in order; `on_end` is told of each. `timeout_s`: for each of them. `check`: JobFailed."""
        for name, job in self.jobs.items():
            self.jobs[name] = self._client.jobs.wait(job, timeout_s=timeout_s)
            if on_end is not None:
                on_end(name, self.jobs[name])
        failed = [job for job in self.jobs.values() if job.state != Job.STATE_SUCCEEDED]
        if check and failed:
            raise JobFailed(failed[0])
        return self.jobs

    def comparisons(self) -> Mapping[str, Comparison]:
        """Make the comparisons, by step; those that lack a job that SUCCEEDED are left out."""
        from sparring.comparison import compare

        made = {}
        for name, step in self.pipeline.steps.items():
            jobs = [self.jobs[other] for other in step.of]
            if step.kind == COMPARE and all(job.state == Job.STATE_SUCCEEDED for job in jobs):
                made[name] = compare(self._client, jobs)
        return made


def main_digest(job: Job) -> str:
    """SHA-256 of the file that says best what came of a job: its weights, its examples, its figures; empty for none."""
    wanted = _MAIN.get(str(job.WhichOneof("spec")), "metrics")
    held = [item.artifact for item in job.result.artifacts if item.role == wanted]
    return held[0].removeprefix("artifacts/") if held else ""


def _models(request: CreateJobRequest) -> Sequence[tuple[str, str]]:
    """Each model that a request names, and by which field."""
    if request.WhichOneof("spec") == "evaluation":
        return [("models", name) for name in request.evaluation.models]
    return [("model", request.attack.model), ("initial_model", request.training.initial_model)]


def _resolved(request: CreateJobRequest, jobs: Mapping[str, Job]) -> CreateJobRequest:
    """The request with jobs in place of steps."""

    def named(text: str) -> str:
        found = REFERENCE.fullmatch(text)
        return jobs[found[1]].name if found else text

    sent = CreateJobRequest()
    sent.CopyFrom(request)
    sent.after[:] = [named(name) for name in request.after]
    if request.WhichOneof("spec") == "attack":
        sent.attack.model = named(request.attack.model)
    elif request.WhichOneof("spec") == "evaluation":
        sent.evaluation.models[:] = [named(name) for name in request.evaluation.models]
    elif request.training.initial_model:
        sent.training.initial_model = named(request.training.initial_model)
    return sent


def _sent(client: Client, step: Step, request: CreateJobRequest, *, validate_only: bool = False) -> Job:
    """Send a step; what is wrong with it names the step."""
    try:
        return client.jobs.create(request, validate_only=validate_only)
    except InvalidArgument as error:
        raise InvalidArgument.of(
            [Violation(f"steps.{step.name}.{problem.field}", problem.description) for problem in error.violations],
            reason=error.reason,
        ) from error
