"""A shard of an attack or an evaluation: one model, some samples, every attack of the job."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from sparring.v1 import attacks_pb2, jobs_pb2
from torch import Tensor

from services.telemetry import tracing
from services.telemetry.metrics_worker import MEASURED
from workers.data import Dataset
from workers.engine.attack import AttackResult, run_attack
from workers.engine.fastest import fastest
from workers.engine.frozen import device_of, frozen
from workers.engine.looking import answers
from workers.engine.memory import Portion
from workers.engine.monitor import Monitor
from workers.engine.propagate import Propagator
from workers.engine.seeds import seed_model_noise
from workers.evaluation import (
    Claim,
    CleanPart,
    ProbePlan,
    Shard,
    ShardRun,
    examine,
    pack,
    pictures_in,
    shard_stats,
)
from workers.evaluation.features import FOLLOWED
from workers.evaluation.following import Followed, follow
from workers.evaluation.probes import Subject
from workers.failures import Rejected
from workers.goals import Model
from workers.lease import Committed
from workers.models import Classifier
from workers.run import messages
from workers.run.probing import Probing, plan_of
from workers.run.runs import Runs, narrowed, parts, widest
from workers.run.unit import Unit

# The job's other models, by their numbers.
Others = Mapping[str, Callable[[], Classifier]]

# How much of a batch of each size fits, for each model that this process still holds.
_portions: WeakKeyDictionary[Classifier, dict[int, Portion]] = WeakKeyDictionary()

# How each of them is asked: by a copy, or by graphs, which are made once.
_propagators: WeakKeyDictionary[Classifier, Propagator] = WeakKeyDictionary()


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The N samples of a shard, and how they are worked on."""

    x: Tensor  # (N, C, H, W) float32 in [0, 1], a copy
    y: Tensor  # (N,) int64, a copy
    index: Tensor  # (N,) int64, in the split
    data: Dataset  # the same N samples untouched, for the check
    first: int  # index of the first of them in the split
    seed: int
    batch_size: int
    pictures: int  # samples whose pictures the report shows
    keep_all: bool  # every adversarial example is kept, not only those of the pictures
    followed: int = 0  # samples that are followed to their features


def run_shard(unit: Unit) -> Committed:
    """Attack a shard with every attack of its job, and keep what became of each sample."""
    spec = unit.job.attack if unit.job.HasField("attack") else unit.job.evaluation
    number, start, stop = messages.unit_range(unit.job, unit.lease.unit)
    _check_size(unit)
    selection = unit.job.resolution.data
    samples = take(unit, selection, start, stop, seed=spec.seed, batch_size=spec.execution.batch_size)
    models = unit.job.resolution.models
    others = {str(i): partial(unit.model, other) for i, other in enumerate(models) if i != number}
    plan = plan_of(unit.job)
    packed, stats = attack_all(
        unit.model(models[number]), samples, messages.runs(unit.job), unit.heartbeat, plan=plan, others=others
    )
    return Committed(unit.put(packed), stats)


def take(unit: Unit, selection: jobs_pb2.ResolvedData, start: int, stop: int, *, seed: int, batch_size: int) -> Samples:
    """The samples [start, stop) of a selection."""
    chosen = unit.samples(selection, start, stop)
    x = chosen.pixels(slice(None))
    return Samples(
        x=x.clone() if x.data_ptr() == chosen.x.data_ptr() else x,
        y=chosen.y.clone(),
        index=torch.arange(selection.offset + start, selection.offset + stop),
        data=chosen,
        first=selection.offset + start,
        seed=seed,
        batch_size=batch_size,
        pictures=pictures_in(start, stop - start),
        keep_all=unit.job.HasField("attack"),
        # The page of a training is about the training.
        followed=0 if unit.job.HasField("training") else pictures_in(start, stop - start, FOLLOWED),
    )


def attack_all(
    model: Classifier,
    samples: Samples,
    runs: Runs,
    monitor: Monitor,
    *,
    plan: ProbePlan | None = None,
    others: Others = MappingProxyType({}),
) -> tuple[bytes, dict[str, Any]]:
    """Every attack on every sample: the packed shard and its stats.

    With a `plan` the model is probed as well, also by what is made for the `others`.
    """
    portion, probing = _portion(model, samples.batch_size), Probing(monitor)
    fitted = portion.size
    if plan is not None:
        subject = Subject(model=model, portion=portion, seed=samples.seed, first=samples.first, tick=_nothing)
        probing.begin(subject, samples.x, samples.y, plan)
    done: list[ShardRun] = []
    followed = Followed(samples.followed, [messages.run_info(*run) for run in runs])
    seconds = {"clean": 0.0}
    clean: tuple[Tensor, Tensor] | None = None
    largest = widest(runs)
    for part, (key, curve, attack) in zip(parts(runs, probing), runs, strict=True):
        if curve in largest and key != largest[curve]:
            continue
        with tracing.span("attack", {"sparring.attack": messages.plan(attack).name}) as span:
            span.set({"sparring.samples": len(samples.x)})
            result = run_attack(
                model,
                samples.x,
                samples.y,
                messages.plan(attack),
                sample_ids=samples.index,
                seed=samples.seed,
                batch_size=samples.batch_size,
                monitor=part,
                portion=portion,
                propagator=propagator_of(model),
            )
        MEASURED.attacked(messages.plan(attack).name, int(result.forwards.sum()), int(result.backwards.sum()))
        clean = result.clean_prediction, result.clean_confidence
        seconds[key] = result.seconds
        found = replace(_shard_run(key, attack, result, samples), **probing.saw(messages.plan(attack), result))
        narrower = (other for other in runs if curve in largest and other[1] == curve and other[0] != key)
        done += [found, *(narrowed(found, *other) for other in narrower)]
        followed.see(found, result.x_adv)
    seconds |= {key: 0.0 for key, *_ in runs if key not in seconds}
    if clean is None:
        begun = time.perf_counter()
        clean = predict(model, samples, monitor, portion)
        seconds["clean"] = time.perf_counter() - begun
    x = samples.x[: samples.pictures]
    unharmed = CleanPart(index=samples.index, label=samples.y, prediction=clean[0], confidence=clean[1], x=x)
    asked = probing.finish(others)
    seconds |= {} if plan is None else {"probes": probing.seconds}
    stats = shard_stats(seconds, asked=portion.asked, fitted=portion.size)
    if portion.size < fitted:
        MEASURED.out_of_memory.labels("smaller").inc()
    features = follow(model, samples.x, followed, portion)
    return pack(Shard(unharmed, tuple(done), **asked, features=features)), stats


def _nothing() -> None:
    """Until the probes have begun, nobody asks."""


def predict(model: Classifier, samples: Samples, monitor: Monitor, portion: Portion) -> tuple[Tensor, Tensor]:
    """Prediction (N,) int64 and its probability (N,) float32 on the clean samples."""
    predictions, confidences, device = [], [], device_of(model)
    with frozen(model), torch.no_grad():
        for begin in range(0, len(samples.x), samples.batch_size):
            monitor.tick(begin / len(samples.x), "clean")
            x = samples.x[begin : begin + samples.batch_size]
            seed_model_noise(samples.seed, int(samples.index[begin]), device)
            prediction, confidence = portion.fit(partial(_ask, portion.through(model), x, device), len(x))
            predictions.append(prediction)
            confidences.append(confidence)
    return torch.cat(predictions), torch.cat(confidences)


def _ask(network: Model, x: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    prediction, confidence = answers(network(x.to(device)).float())
    return prediction.cpu(), confidence.cpu()


def _portion(model: Classifier, batch_size: int) -> Portion:
    """What is known of how much of such a batch goes through the model at once, from the shards before."""
    return _portions.setdefault(model, {}).setdefault(batch_size, Portion(batch_size))


def propagator_of(model: Classifier) -> Propagator:
    """How the model is asked; networks of the registry do the same whatever they are shown, and stay as they are."""
    if model not in _propagators:
        _propagators[model] = fastest(model)
    return _propagators[model]


def _shard_run(key: str, attack: attacks_pb2.Attack, result: AttackResult, samples: Samples) -> ShardRun:
    """The result as it is kept, after a check of every sample that does not rely on the engine's own."""
    plan = messages.plan(attack)
    claim = Claim(x_adv=result.x_adv, label=samples.y, index=samples.index, norm=plan.norm, epsilon=plan.epsilon)
    violations, failed = examine(claim, samples.data, samples.first)
    return ShardRun(
        key=key,
        prediction=result.prediction,
        confidence=result.confidence,
        success=result.success & ~failed,
        attacked=result.attacked,
        distance=result.distance,
        target=result.target,
        forwards=result.forwards,
        backwards=result.backwards,
        zero_gradient=result.zero_gradient,
        violations=violations,
        stage=result.stage.masked_fill(failed, -1),
        x_adv=result.x_adv if samples.keep_all else result.x_adv[: samples.pictures],
    )


def _check_size(unit: Unit) -> None:
    """Refuse, before any work is done, an attack whose adversarial examples would not fit into one artifact."""
    selection = unit.job.resolution.data
    size = 4 * selection.count * math.prod(selection.input_shape)
    if unit.job.HasField("attack") and size > unit.context.max_artifact_bytes:
        message = (
            f"the adversarial examples of {selection.count} samples take {size} bytes, the server's cap is "
            f"{unit.context.max_artifact_bytes}; attack fewer samples, or take an evaluation, which keeps figures only"
        )
        raise Rejected("RESULT_TOO_LARGE", message)
