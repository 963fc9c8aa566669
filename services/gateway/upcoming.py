"""Models that trainings under way are to make: jobs that name one are planned by what it will be, and wait.

What the network is follows from the training's spec, so the job is checked, planned and estimated at once. The weights
are not there yet, so their digest and the model's name are left out; the store's functions put them in when the last
training has succeeded (docs/adr/0016-jobs-that-wait.md).
"""

from __future__ import annotations

from sparring.v1 import jobs_pb2, models_pb2

from services.gateway import estimate
from services.jobs.record import JobRecord, ModelPart


def model(training: JobRecord) -> models_pb2.Model:
    """Return the model that a training is to make: under the training's name, without weights."""
    job = jobs_pb2.Job.FromString(training.spec)
    name = f"jobs/{training.id}"
    return models_pb2.Model(
        name=name,
        state=models_pb2.Model.STATE_READY,
        signature=estimate.made(job),
        job=name,
        defense=str(job.training.defense.WhichOneof("kind")),
    )


def trainings(job: jobs_pb2.Job) -> list[str]:
    """Return the ids of the trainings that a resolved job waits for to make its models, each once."""
    awaited = (model.name.removeprefix("jobs/") for model in job.resolution.models if not model.weights_sha256)
    return list(dict.fromkeys(awaited))


def split(job: jobs_pb2.Job) -> tuple[bytes, tuple[ModelPart, ...]]:
    """Return a job that waits for trainings without its models, and these; nothing where it waits for none."""
    if not trainings(job):
        return b"", ()
    rest = jobs_pb2.Job()
    rest.CopyFrom(job)
    rest.resolution.ClearField("models")
    return rest.SerializeToString(deterministic=True), tuple(map(_part, job.resolution.models))


def pins(job: jobs_pb2.Job) -> str:
    """Return the models of a resolved job by name and digest, as the store compares them."""
    return " ".join(map(_pin, job.resolution.models))


def _part(model: jobs_pb2.ResolvedModel) -> ModelPart:
    if model.weights_sha256:
        return ModelPart(message=model.SerializeToString(deterministic=True), pin=_pin(model))
    unnamed = jobs_pb2.ResolvedModel(signature=model.signature, defense=model.defense)
    return ModelPart(message=unnamed.SerializeToString(deterministic=True), made_by=model.name.removeprefix("jobs/"))


def _pin(model: jobs_pb2.ResolvedModel) -> str:
    return f"{model.name}={model.weights_sha256}"
