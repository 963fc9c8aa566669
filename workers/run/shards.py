"""A shard of an attack or an evaluation: one model, some samples, every attack of the job."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from sparring.v1 import attacks_pb2, jobs_pb2
from torch import Tensor

from workers.attacks import ATTACKS
from workers.data import Dataset
from workers.engine.attack import AttackResult, run_attack
from workers.engine.fastest import fastest
from workers.engine.frozen import device_of, frozen
from workers.engine.looking import answers
from workers.engine.memory import Portion
from workers.engine.monitor import Monitor
from workers.engine.plan import look_up
from workers.engine.propagate import Propagator
from workers.engine.seeds import seed_model_noise
from workers.evaluation import Claim, CleanPart, Shard, ShardRun, examine, pack, pictures_in, shard_stats, within
from workers.failures import Rejected
from workers.goals import Model
from workers.lease import Committed
from workers.models import Classifier
from workers.run import messages
from workers.run.unit import Unit

Runs = list[tuple[str, int | None, attacks_pb2.Attack]]

# How much of a batch of each size fits, for each model that this process still holds.
_portions: WeakKeyDictionary[Classifier, dict[int, Portion]] = WeakKeyDictionary()

# How each of them is asked: by a copy, or by graphs, which are made once.
_propagators: WeakKeyDictionary[Classifier, Propagator] = WeakKeyDictionary()


@dataclass(frozen=True)
class Part:
    """A monitor of a part of the work, `span` of the whole from `begin` on."""

    whole: Monitor
    begin: float
    span: float

    def tick(self, fraction: float, message: str = "") -> None:
        """Pass on, in units of the whole."""
        self.whole.tick(self.begin + self.span * fraction, message)

    def metric(self, name: str, value: float, step: int) -> None:
        """Pass on."""
        self.whole.metric(name, value, step)


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


def run_shard(unit: Unit) -> Committed:
    """Attack a shard with every attack of its job, and keep what became of each sample."""
    spec = unit.job.attack if unit.job.HasField("attack") else unit.job.evaluation
    number, start, stop = messages.unit_range(unit.job, unit.lease.unit)
    _check_size(unit)
    selection = unit.job.resolution.data
    samples = take(unit, selection, start, stop, seed=spec.seed, batch_size=spec.execution.batch_size)
    model = unit.model(unit.job.resolution.models[number])
    packed, stats = attack_all(model, samples, messages.runs(unit.job), unit.heartbeat)
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
    )


def attack_all(model: Classifier, samples: Samples, runs: Runs, monitor: Monitor) -> tuple[bytes, dict[str, Any]]:
    """Every attack on every sample: the packed shard and its stats."""
    portion = _portion(model, samples.batch_size)
    done: list[ShardRun] = []
    seconds = {"clean": 0.0}
    clean: tuple[Tensor, Tensor] | None = None
    widest = _widest(runs)
    for part, (key, curve, attack) in zip(_parts(runs, monitor), runs, strict=True):
        if curve in widest and key != widest[curve]:
            continue
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
            propagator=_propagator(model),
        )
        clean = result.clean_prediction, result.clean_confidence
        seconds[key] = result.seconds
        found = _shard_run(key, attack, result, samples)
        narrower = (other for other in runs if curve in widest and other[1] == curve and other[0] != key)
        done += [found, *(_narrowed(found, *other) for other in narrower)]
    seconds |= {key: 0.0 for key, *_ in runs if key not in seconds}
    if clean is None:
        begun = time.perf_counter()
        clean = predict(model, samples, monitor, portion)
        seconds["clean"] = time.perf_counter() - begun
    x = samples.x[: samples.pictures]
    unharmed = CleanPart(index=samples.index, label=samples.y, prediction=clean[0], confidence=clean[1], x=x)
    stats = shard_stats(seconds, asked=portion.asked, fitted=portion.size)
    return pack(Shard(unharmed, tuple(done))), stats


def _widest(runs: Runs) -> dict[int | None, str]:
    """The run of the largest radius, for each curve of an attack that looks for the shortest perturbation.

    What it finds says what it would have found within any smaller radius: it is the only one that is run.
    """
    widest: dict[int | None, tuple[float, str]] = {}
    for key, curve, attack in runs:
        plan = messages.plan(attack)
        if curve is not None and ATTACKS[plan.name].minimum:
            widest[curve] = max(widest.get(curve, (-1.0, "")), (plan.epsilon, key))
    return {curve: key for curve, (_, key) in widest.items()}


def _narrowed(run: ShardRun, key: str, _: int | None, attack: attacks_pb2.Attack) -> ShardRun:
    """The run at a smaller radius; the propagations were all charged to the widest."""
    free = torch.zeros_like(run.forwards)
    found = within(run, messages.plan(attack).epsilon)
    return replace(found, key=key, x_adv=None, forwards=free, backwards=free)


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


def _propagator(model: Classifier) -> Propagator:
    """How the model is asked; networks of the registry do the same whatever they are shown, and stay as they are."""
    if model not in _propagators:
        _propagators[model] = fastest(model)
    return _propagators[model]


def _parts(runs: Runs, monitor: Monitor) -> Iterator[Part]:
    """A monitor for each run, its part of the whole in proportion to the queries that it asks at most."""
    weights = [2 + look_up(messages.plan(attack), survivors_only=True).total_calls for _, _, attack in runs]
    begin = 0.0
    for weight in weights:
        span = weight / sum(weights)
        yield Part(monitor, begin, span)
        begin += span


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
