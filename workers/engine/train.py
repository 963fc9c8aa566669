"""Train any defense: order of samples, rounds, checkpoints, progress and stopping live here and in `train_loop`.

What a caller can count on, whatever the defense:

* The model that is given stays as it is; torch's global random state too.
* Everything random is keyed by the seed and the number of the epoch or step: the order of an epoch, the noise of an
  inner attack, dropout. So a checkpoint needs no random state, and a training that is stopped anywhere and resumed from
  its last checkpoint ends with the same bytes as one that was left alone, on the same kind of device.
* `save` gets a checkpoint after every epoch, and within one whenever `checkpoint_every_s` have passed or the monitor
  wants one.
* `monitor.tick` is called before every step and before every forward pass of an inner attack, `monitor.metric` with the
  mean loss after every epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch

from workers.data import Dataset
from workers.engine.checkpoint import unpack
from workers.engine.frozen import device_of
from workers.engine.monitor import NullMonitor, TrainingMonitor
from workers.engine.train_loop import Training
from workers.engine.train_schedule import Optimization
from workers.failures import Rejected
from workers.models import Classifier
from workers.recipe import Recipe

_SILENCE: Final = NullMonitor()

__all__ = ["Optimization", "TrainResult", "train"]


@dataclass(frozen=True)
class TrainResult:
    """The trained model, in eval mode, and the mean loss of every epoch of every round."""

    model: Classifier
    history: tuple[float, ...]


def train(
    model: Classifier,
    dataset: Dataset,
    defense: Recipe,
    optimization: Optimization,
    *,
    seed: int,
    monitor: TrainingMonitor = _SILENCE,
    resume: bytes | None = None,
    save: Callable[[bytes], None] | None = None,
    checkpoint_every_s: float = 60.0,
) -> TrainResult:
    """Train a copy of `model`, on its device, starting from its weights.

    0 <= `seed` < 2^64. `resume` is a checkpoint that `save` got in a training with the same arguments. Raises
    `failures.Rejected` for data that the model can't take, for a checkpoint of another training, and where the loss is
    no longer a number; lets `failures.Interrupted` out of the monitor pass.
    """
    _check(model, dataset)
    device = device_of(model)
    training = Training(model, dataset.to(device), defense, optimization, seed, monitor, save, checkpoint_every_s)
    state = training.start() if resume is None else unpack(resume, training.plan, training.networks, training.begin)
    # Dropout draws from torch's global generators, which are seeded before every step and put back here.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        training.run(state)
        while state.round + 1 < len(training.rounds):
            state = training.next_round(state)
            training.run(state)
    return TrainResult(state.network.eval(), tuple(state.history))


def _check(model: Classifier, dataset: Dataset) -> None:
    """The data are such as the model takes."""
    if dataset.input_shape != model.signature.input_shape:
        raise Rejected(
            "SHAPE_MISMATCH",
            f"the model takes {list(model.signature.input_shape)}, the data have {list(dataset.input_shape)}",
        )
    if dataset.classes > model.signature.classes:
        raise Rejected(
            "CLASS_MISMATCH", f"the model has {model.signature.classes} classes, the data have {dataset.classes}"
        )
