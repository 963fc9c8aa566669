"""A shard of an attack or an evaluation: one model, some samples, every attack of the job."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from sparring.v1 import attacks_pb2, jobs_pb2
from torch import Tensor

from workers.engine.attack import AttackResult, run_attack
from workers.engine.frozen import frozen
from workers.engine.monitor import Monitor
from workers.evaluation import CleanPart, Shard, ShardRun, pack, pictures_in, shard_stats
from workers.failures import Rejected
from workers.lease import Committed
from workers.models import Classifier
from workers.run import messages
from workers.run.unit import Unit

Runs = list[tuple[str, int | None, attacks_pb2.Attack]]


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

    x: Tensor  # (N, C, H, W) float32 in [0, 1]
    y: Tensor  # (N,) int64
    index: Tensor  # (N,) int64, in the split
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
    packed, seconds = attack_all(model, samples, messages.runs(unit.job), unit.heartbeat)
    return Committed(unit.put(packed), shard_stats(seconds))


def take(unit: Unit, selection: jobs_pb2.ResolvedData, start: int, stop: int, *, seed: int, batch_size: int) -> Samples:
    """The samples [start, stop) of a selection."""
    chosen = unit.samples(selection, start, stop)
    return Samples(
        x=chosen.pixels(slice(None)),
        y=chosen.y,
        index=torch.arange(selection.offset + start, selection.offset + stop),
        seed=seed,
        batch_size=batch_size,
        pictures=pictures_in(start, stop - start),
        keep_all=unit.job.HasField("attack"),
    )


def attack_all(model: Classifier, samples: Samples, runs: Runs, monitor: Monitor) -> tuple[bytes, dict[str, float]]:
    """Every attack on every sample: the packed shard, and the seconds of each run."""
    done: list[ShardRun] = []
    seconds = {"clean": 0.0}
    clean: tuple[Tensor, Tensor] | None = None
    for part, (key, _, attack) in zip(_parts(runs, monitor), runs, strict=True):
        result = run_attack(
            model,
            samples.x,
            samples.y,
            messages.plan(attack),
            sample_ids=samples.index,
            seed=samples.seed,
            batch_size=samples.batch_size,
            monitor=part,
        )
        clean = result.clean_prediction, result.clean_confidence
        seconds[key] = result.seconds
        done.append(_shard_run(key, result, samples))
    if clean is None:
        begun = time.perf_counter()
        clean = predict(model, samples, monitor)
        seconds["clean"] = time.perf_counter() - begun
    x = samples.x[: samples.pictures]
    unharmed = CleanPart(index=samples.index, label=samples.y, prediction=clean[0], confidence=clean[1], x=x)
    return pack(Shard(unharmed, tuple(done))), seconds


@torch.no_grad()
def predict(model: Classifier, samples: Samples, monitor: Monitor) -> tuple[Tensor, Tensor]:
    """Prediction (N,) int64 and its probability (N,) float32 on the clean samples."""
    predictions, confidences = [], []
    device = next(model.parameters()).device
    with frozen(model):
        for begin in range(0, len(samples.x), samples.batch_size):
            monitor.tick(begin / len(samples.x), "clean")
            x = samples.x[begin : begin + samples.batch_size].to(device)
            confidence, prediction = model(x).float().softmax(dim=1).max(dim=1)
            predictions.append(prediction.cpu())
            confidences.append(confidence.cpu())
    return torch.cat(predictions), torch.cat(confidences)


def _parts(runs: Runs, monitor: Monitor) -> Iterator[Part]:
    """A monitor for each run, its part of the whole in proportion to the gradients that it asks for."""
    weights = []
    for _, _, attack in runs:
        parameters = messages.plan(attack).parameters
        weights.append(2 + int(parameters.get("steps", 1)) * int(parameters.get("restarts", 1)))
    begin = 0.0
    for weight in weights:
        span = weight / sum(weights)
        yield Part(monitor, begin, span)
        begin += span


def _shard_run(key: str, result: AttackResult, samples: Samples) -> ShardRun:
    return ShardRun(
        key=key,
        prediction=result.prediction,
        confidence=result.confidence,
        success=result.success,
        attacked=result.attacked,
        distance=result.distance,
        target=result.target,
        forwards=result.forwards,
        backwards=result.backwards,
        zero_gradient=result.zero_gradient,
        violations=result.violations,
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
