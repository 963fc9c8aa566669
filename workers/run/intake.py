"""The check of an uploaded model or dataset: every tensor, every pixel, every label."""

from __future__ import annotations

from google.rpc.status_pb2 import Status
from sparring.v1 import datasets_pb2, jobs_pb2, models_pb2

from services.errors import NotFound
from services.jobs.record import Registration
from workers.lease import Committed, Finished
from workers.models import count, load
from workers.run import messages
from workers.run.unit import Unit


def check(unit: Unit) -> Committed:
    """Check what was uploaded; raises Rejected where it can't be used."""
    unit.heartbeat.tick(0.0, "checking")
    if unit.job.intake.HasField("model"):
        return _check_model(unit, unit.job.intake.model)
    return _check_dataset(unit, unit.job.intake.dataset)


def close_intake(unit: Unit) -> Finished:
    """Make what was checked known as READY."""
    stats = unit.results()[0].stats
    registration = _model(unit, stats) if unit.job.intake.HasField("model") else _dataset(unit, stats)
    return Finished(jobs_pb2.JobResult().SerializeToString(), registration)


def rejection(unit: Unit, error: Status) -> Registration | None:
    """What is to be known of an upload that can't be used; None for other jobs."""
    if not unit.job.HasField("intake"):
        return None
    if unit.job.intake.HasField("model"):
        model = models_pb2.Model()
        model.CopyFrom(unit.job.intake.model)
        model.state, model.job = models_pb2.Model.STATE_REJECTED, unit.name
        model.error.CopyFrom(error)
        return Registration(kind="model", id=messages.bare(model.name), record=model.SerializeToString())
    dataset = _known(unit)
    dataset.state, dataset.job = datasets_pb2.Dataset.STATE_REJECTED, unit.name
    dataset.error.CopyFrom(error)
    return Registration(kind="dataset", id=messages.bare(dataset.name), record=dataset.SerializeToString())


def _check_model(unit: Unit, model: models_pb2.Model) -> Committed:
    sha256 = messages.bare(model.weights)
    network = load(unit.fetch(sha256, f"the weights of {model.name}"), messages.signature(model.signature))
    return Committed(sha256, {"parameters": count(network)})


def _check_dataset(unit: Unit, arrays: jobs_pb2.DatasetArrays) -> Committed:
    dataset = unit.uploaded(arrays.images_sha256, arrays.labels_sha256, arrays.classes)
    found = {"shape": list(dataset.x.shape), "class_counts": list(dataset.class_counts())}
    return Committed(arrays.images_sha256, found)


def _model(unit: Unit, stats: dict[str, int]) -> Registration:
    model = models_pb2.Model()
    model.CopyFrom(unit.job.intake.model)
    model.state, model.job, model.parameters = models_pb2.Model.STATE_READY, unit.name, stats["parameters"]
    pins = (messages.bare(model.weights),)
    return Registration(kind="model", id=messages.bare(model.name), record=model.SerializeToString(), pins=pins)


def _dataset(unit: Unit, stats: dict[str, list[int]]) -> Registration:
    arrays, dataset = unit.job.intake.dataset, _known(unit)
    count, *shape = stats["shape"]
    dataset.state, dataset.job = datasets_pb2.Dataset.STATE_READY, unit.name
    dataset.input_shape[:] = shape
    dataset.splits.clear()
    dataset.splits.add(name="all", count=count, class_counts=stats["class_counts"])
    pins = tuple(dict.fromkeys((arrays.images_sha256, arrays.labels_sha256)))
    return Registration(kind="dataset", id=messages.bare(dataset.name), record=dataset.SerializeToString(), pins=pins)


def _known(unit: Unit) -> datasets_pb2.Dataset:
    """The dataset as the gateway registered it; as far as the job knows it, where somebody deleted it meanwhile."""
    arrays, store, tenant = unit.job.intake.dataset, unit.context.store, unit.lease.tenant
    try:
        record = unit.heartbeat.insist(lambda: store.lookup(tenant, "dataset", messages.bare(arrays.name)))
    except NotFound:
        return datasets_pb2.Dataset(
            name=arrays.name, source=datasets_pb2.DATASET_SOURCE_UPLOADED, classes=arrays.classes
        )
    return datasets_pb2.Dataset.FromString(record)
