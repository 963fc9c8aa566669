"""Resource names: what takes a job, a model or a dataset takes its name, its bare id, or its message."""

from __future__ import annotations

from sparring.errors import InvalidArgument, Violation
from sparring.v1.artifacts_pb2 import Artifact
from sparring.v1.datasets_pb2 import Dataset
from sparring.v1.jobs_pb2 import Job, JobArtifact
from sparring.v1.models_pb2 import Model

JobLike = str | Job
ModelLike = str | Model | Job
DatasetLike = str | Dataset
ArtifactLike = str | Artifact | JobArtifact


def _full(collection: str, identifier: str) -> str:
    if not identifier:
        raise InvalidArgument.of([Violation(collection.removesuffix("s"), "a name is needed, and this is empty")])
    return identifier if identifier.startswith(f"{collection}/") else f"{collection}/{identifier}"


def job(thing: JobLike) -> str:
    """`jobs/{job}`."""
    return _full("jobs", thing if isinstance(thing, str) else thing.name)


def model(thing: str | Model) -> str:
    """`models/{model}`."""
    return _full("models", thing if isinstance(thing, str) else thing.name)


def dataset(thing: DatasetLike) -> str:
    """`datasets/{dataset}`."""
    return _full("datasets", thing if isinstance(thing, str) else thing.name)


def artifact(thing: ArtifactLike) -> str:
    """`artifacts/{sha256}`."""
    if isinstance(thing, JobArtifact):
        return thing.artifact
    return _full("artifacts", thing if isinstance(thing, str) else thing.name)


def attacked(thing: ModelLike) -> str:
    """A model as a job names it: a model's name or bare id, or the training job that makes it."""
    return thing if isinstance(thing, str) else thing.name


def find_artifact(done: Job, role: str) -> JobArtifact:
    """The file of a job's result that has a role: "adversarial", "report", "metrics", "verdicts", ..."""
    held = {item.role: item for item in done.result.artifacts}
    if role in held:
        return held[role]
    state = Job.State.Name(done.state).removeprefix("STATE_")
    listed = ", ".join(held) if held else f"none ({done.name} is {state})"
    raise InvalidArgument.of([Violation("role", f"{done.name} has no {role!r}; it has: {listed}")])
