"""A training: one unit that trains, and a closing unit that judges the model and makes it known."""

from __future__ import annotations

import logging
import time

from sparring.v1 import attacks_pb2, jobs_pb2, models_pb2

from services.errors import NotFound, SparringError
from services.jobs.record import Registration
from workers.defenses import DEFENSES
from workers.engine.train import Optimization, train
from workers.evaluation import ModelInfo, SummaryInput, shard_stats, summarize
from workers.failures import Rejected
from workers.lease import Committed, Finished
from workers.models import Classifier, Signature, build, load, save
from workers.run import messages
from workers.run.closing import describe, provenance, result_of
from workers.run.shards import Runs, attack_all, take
from workers.run.unit import BINARY, Unit

logger = logging.getLogger(__name__)

CHECKPOINT_TTL_S = 86_400.0
# An adversarially trained model is judged under attack on so many samples; evaluations judge on more.
JUDGED = 2000
JUDGED_AT_ONCE = 256
PGD_STEPS = 10


def run_training(unit: Unit) -> Committed:
    """Train, from the last checkpoint if there is one, and keep the weights."""
    spec, begun = unit.job.training, time.monotonic()
    name, parameters = messages.chosen(spec.defense)
    result = train(
        _initial(unit),
        unit.samples(unit.job.resolution.data),
        DEFENSES[name](**messages.values(parameters)),
        Optimization(**messages.values(spec.optimization)),
        seed=spec.seed,
        monitor=unit.heartbeat,
        resume=_checkpoint(unit),
        save=_Keeper(unit),
    )
    weights = unit.put(save(result.model))
    return Committed(weights, {"seconds": time.monotonic() - begun, "loss": list(result.history)})


def close_training(unit: Unit) -> Finished:
    """Judge the trained model, write the report, and make the model known."""
    weights = unit.results()[0].digest
    content = unit.fetch(weights, "the trained weights")
    model = load(content, _signature(unit)).to(unit.context.device)
    registration = _registration(unit, model, weights)
    name = models_pb2.Model.FromString(registration.record).name
    result = _judge(unit, model, name, weights)
    result.model = name
    file = f"{messages.bare(name)}.safetensors"
    result.artifacts.add(role="weights", artifact=f"artifacts/{weights}", size_bytes=len(content), filename=file)
    return Finished(result.SerializeToString(deterministic=True), registration)


class _Keeper:
    """Keeps the latest checkpoint, and drops the one before."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._last = unit.lease.checkpoint

    def __call__(self, checkpoint: bytes) -> None:
        digest = self._unit.put(checkpoint, BINARY, CHECKPOINT_TTL_S)
        self._unit.heartbeat.keep_checkpoint(digest)
        before, self._last = self._last, digest
        if before is None or before == digest:
            return
        try:
            self._unit.context.artifacts.delete(before)
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
    return Signature(spec.architecture, shape, resolution.data.classes, tuple(spec.mean), tuple(spec.std))


def _initial(unit: Unit) -> Classifier:
    if unit.job.resolution.models:
        return unit.model(unit.job.resolution.models[0])
    return build(_signature(unit), seed=unit.job.training.seed).to(unit.context.device)


def _registration(unit: Unit, model: Classifier, weights: str) -> Registration:
    """The model under the name that was asked for, or under the job's where that is taken by now."""
    record = models_pb2.Model(
        state=models_pb2.Model.STATE_READY,
        signature=messages.signature_message(model.signature),
        weights=f"artifacts/{weights}",
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        job=unit.name,
        defense=messages.chosen(unit.job.training.defense)[0],
    )
    record.create_time.GetCurrentTime()
    asked, own = unit.job.training.model_id, unit.lease.job_id
    names = [own] if asked == "" or _taken(unit, asked) else [asked, own]
    records = []
    for name in names:
        record.name = f"models/{name}"
        records.append(record.SerializeToString(deterministic=True))
    return Registration(
        kind="model",
        id=names[0],
        record=records[0],
        fallback_id=names[1] if len(names) > 1 else None,
        fallback_record=records[1] if len(names) > 1 else None,
        pins=(weights,),
    )


def _taken(unit: Unit, name: str) -> bool:
    store, tenant = unit.context.store, unit.lease.tenant
    try:
        record = unit.heartbeat.insist(lambda: store.lookup(tenant, "model", name))
    except NotFound:
        return False
    return models_pb2.Model.FromString(record).job != unit.name


def _judge(unit: Unit, model: Classifier, name: str, weights: str) -> jobs_pb2.JobResult:
    """Table and report of the trained model on the evaluation data."""
    if not unit.job.resolution.HasField("evaluation_data"):
        warning = "The model was not judged: the dataset has no test split, and no evaluation_data was given."
        return jobs_pb2.JobResult(warnings=[warning], provenance=provenance(unit))
    runs = _runs(unit.job.training)
    selection = jobs_pb2.ResolvedData()
    selection.CopyFrom(unit.job.resolution.evaluation_data)
    if runs:
        selection.count = min(selection.count, JUDGED)
    batch_size = min(unit.job.training.optimization.batch_size, JUDGED_AT_ONCE)
    samples = take(unit, selection, 0, selection.count, seed=unit.job.training.seed, batch_size=batch_size)
    packed, seconds = attack_all(model, samples, runs, unit.heartbeat)
    given = SummaryInput(
        kind="training",
        models=[_info(unit, model, name, weights)],
        data=describe(selection),
        runs=[messages.run_info(*run) for run in runs],
        shards=[packed],
        stats=[shard_stats(seconds)],
        seed=unit.job.training.seed,
        job=unit.name,
        title=unit.job.display_name,
        provenance=provenance(unit),
    )
    attacks = {key: attack for key, _, attack in runs}
    return result_of(unit, summarize(given), attacks, provenance=given.provenance)


def _runs(spec: jobs_pb2.TrainingSpec) -> Runs:
    """FGSM and a short PGD at the radius that the model was trained for; none for a defense without one."""
    _, parameters = messages.chosen(spec.defense)
    epsilon = float(messages.values(parameters).get("epsilon", 0.0))
    if epsilon == 0:
        return []
    linf = attacks_pb2.NORM_LINF
    fgsm = attacks_pb2.Fgsm(epsilon=epsilon, norm=linf)
    pgd = attacks_pb2.Pgd(
        epsilon=epsilon,
        steps=PGD_STEPS,
        step_size=2.5 * epsilon / PGD_STEPS,
        restarts=1,
        random_start=True,
        loss=attacks_pb2.LOSS_CROSS_ENTROPY,
        norm=linf,
    )
    untargeted = attacks_pb2.Goal(untargeted=attacks_pb2.Untargeted())
    return [
        ("a0", None, attacks_pb2.Attack(fgsm=fgsm, goal=untargeted)),
        ("a1", None, attacks_pb2.Attack(pgd=pgd, goal=untargeted)),
    ]


def _info(unit: Unit, model: Classifier, name: str, weights: str) -> ModelInfo:
    resolved = jobs_pb2.ResolvedModel(
        name=name,
        weights_sha256=weights,
        signature=messages.signature_message(model.signature),
        defense=messages.chosen(unit.job.training.defense)[0],
    )
    return messages.model_info(resolved)
