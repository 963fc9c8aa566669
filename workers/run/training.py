"""A training: one unit that trains, and a closing unit that judges the model and makes it known."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from functools import partial

from sparring.v1 import jobs_pb2, models_pb2

from services import faultpoints
from services.errors import InvalidArgument, NotFound, ResourceExhausted, SparringError
from services.jobs.record import Registration
from services.telemetry import tracing
from services.telemetry.metrics_worker import MEASURED
from workers.defenses import DEFENSES
from workers.engine.train import UNWATCHED, Optimization, TrainResult, Validation
from workers.engine.train_processes import train
from workers.engine.train_validation import plain
from workers.failures import Rejected
from workers.lease import Committed, Finished
from workers.models import Classifier, Signature, build, count, load, save
from workers.recipe import Recipe
from workers.run import fitting, messages
from workers.run.judging import judge
from workers.run.unit import BINARY, Unit

logger = logging.getLogger(__name__)

CHECKPOINT_TTL_S = 86_400.0
# Seconds between two checkpoints within an epoch. Those of a small model come within the time that a shutdown grants; a
# large model's are 12 bytes a parameter for the store to write.
CHECKPOINT_S, LARGE_CHECKPOINT_S = 10.0, 60.0
LARGE = 1_000_000
# Why a checkpoint is refused that another version of this program wrote.
STALE = {"MALFORMED_CHECKPOINT", "CHECKPOINT_DOES_NOT_FIT"}


def run_training(unit: Unit) -> Committed:
    """Train, from the last checkpoint if there is one, and keep the weights."""
    if fitting.fitted(unit.job.training):
        return fitting.run_fitting(unit, _signature(unit))
    begun, checkpoint, keeper = time.monotonic(), _checkpoint(unit), _Keeper(unit)
    try:
        result = _train(unit, checkpoint, keeper)
    except Rejected as error:
        if error.reason not in STALE:
            raise
        logger.warning("training starts again, as another version wrote its checkpoint: %s", error.message)
        result = _train(unit, None, keeper)
    weights = unit.put(save(result.model))
    figures = {
        "seconds": time.monotonic() - begun,
        "loss": list(result.history),
        "probes": plain(result.probes),
        "selected": result.selected,
        "processes": result.processes,
        "checkpoint": keeper.last,
    }
    return Committed(weights, figures)


def close_training(unit: Unit) -> Finished:
    """Judge the trained model, write the report, and make the model known."""
    trained = unit.results()[0]
    _drop(unit, trained.stats.get("checkpoint"))
    weights = trained.digest
    content = unit.fetch(weights, "the trained weights")
    model = load(content, _signature(unit)).to(unit.context.device)
    own, asked = unit.lease.job_id, unit.job.training.model_id
    name = own if asked == "" or _taken(unit, asked) else asked
    artifact = jobs_pb2.JobArtifact(role="weights", artifact=f"artifacts/{weights}", size_bytes=len(content))
    result = judge(unit, model, f"models/{name}", artifact, trained.stats)
    # Another training may take the name until this one is written down; then the model gets the job's.
    otherwise = _finished(unit, model, result, own) if name != own else None
    return replace(_finished(unit, model, result, name), otherwise=otherwise)


def _finished(unit: Unit, model: Classifier, judged: jobs_pb2.JobResult, name: str) -> Finished:
    """The end of the training with the model under this name."""
    result = jobs_pb2.JobResult()
    result.CopyFrom(judged)
    result.model = f"models/{name}"
    for row in result.rows:
        row.model = result.model
    weights = next(artifact for artifact in result.artifacts if artifact.role == "weights")
    weights.filename = f"{name}.safetensors"
    record = models_pb2.Model(
        name=result.model,
        state=models_pb2.Model.STATE_READY,
        signature=messages.signature_message(model.signature),
        weights=weights.artifact,
        parameters=count(model),
        job=unit.name,
        defense=messages.chosen(unit.job.training.defense)[0],
    )
    record.create_time.GetCurrentTime()
    pins = (messages.bare(weights.artifact),)
    registration = Registration(kind="model", id=name, record=record.SerializeToString(deterministic=True), pins=pins)
    return Finished(result.SerializeToString(deterministic=True), registration)


def _train(unit: Unit, resume: bytes | None, keeper: _Keeper) -> TrainResult:
    spec = unit.job.training
    model = _initial(unit)
    small = sum(parameter.numel() for parameter in model.parameters()) < LARGE
    samples = unit.samples(unit.job.resolution.data)
    with tracing.span("train", {"sparring.samples": len(samples)}):
        return train(
            model,
            samples,
            _defense(unit),
            Optimization(**messages.values(spec.optimization)),
            devices=unit.context.devices or (unit.context.device,),
            seed=spec.seed,
            validation=Validation(**messages.values(spec.validation)) if spec.HasField("validation") else UNWATCHED,
            monitor=unit.heartbeat,
            resume=resume,
            save=keeper,
            checkpoint_every_s=CHECKPOINT_S if small else LARGE_CHECKPOINT_S,
        )


class _Keeper:
    """Keeps the latest checkpoint, and drops the one before."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        # The digest of the latest one, if any.
        self.last = unit.lease.checkpoint

    def __call__(self, checkpoint: bytes) -> None:
        """Put it; a store without room for it costs no more than that a lost worker is followed further back."""
        artifacts, heartbeat = self._unit.context.artifacts, self._unit.heartbeat
        tenant = self._unit.lease.tenant
        put = partial(artifacts.put, tenant, checkpoint, BINARY, CHECKPOINT_TTL_S)
        try:
            digest = heartbeat.insist(put, wait_if_full=False)
        except (ResourceExhausted, InvalidArgument) as error:
            logger.warning("a checkpoint of %d bytes is not kept: %s", len(checkpoint), error.message)
            return
        MEASURED.checkpointed(len(checkpoint))
        faultpoints.reach("worker.checkpointed")
        heartbeat.keep_checkpoint(digest)
        before, self.last = self.last, digest
        if before != digest:
            _drop(self._unit, before)


def _drop(unit: Unit, checkpoint: str | None) -> None:
    """Delete a checkpoint that nobody needs any more; it would lapse in the end."""
    if checkpoint is None:
        return
    try:
        unit.context.artifacts.delete(unit.lease.tenant, checkpoint)
    except SparringError as error:
        logger.info("an old checkpoint is left to lapse: %s", error)


def _checkpoint(unit: Unit) -> bytes | None:
    """Where the training came to before; one that is gone costs time only, as a training from the start is the same."""
    if unit.lease.checkpoint is None:
        return None
    try:
        return unit.fetch(unit.lease.checkpoint, "the checkpoint")
    except Rejected as error:
        logger.warning("training starts again: %s", error.message)
        return None


def _signature(unit: Unit) -> Signature:
    spec, resolution = unit.job.training, unit.job.resolution
    if resolution.models:
        return messages.signature(resolution.models[0].signature)
    channels, height, width = resolution.data.input_shape
    shape = (channels, height, width)
    normalisation = tuple(spec.mean), tuple(spec.std)
    return Signature(spec.architecture, shape, resolution.data.classes, *normalisation, _defense(unit).component())


def _defense(unit: Unit) -> Recipe:
    name, parameters = messages.chosen(unit.job.training.defense)
    return DEFENSES[name](**messages.values(parameters))


def _initial(unit: Unit) -> Classifier:
    if unit.job.resolution.models:
        return unit.model(unit.job.resolution.models[0])
    return build(_signature(unit), seed=unit.job.training.seed).to(unit.context.device)


def _taken(unit: Unit, name: str) -> bool:
    store, tenant = unit.context.store, unit.lease.tenant
    try:
        record = unit.heartbeat.insist(lambda: store.lookup(tenant, "model", name))
    except NotFound:
        return False
    return models_pb2.Model.FromString(record).job != unit.name
