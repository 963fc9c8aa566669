"""Train any defense: order of samples, rounds, checkpoints, progress and stopping live here and in `train_loop`.

What a caller can count on, whatever the defense:

* The model that is given stays as it is; torch's global random state too.
* Everything random is keyed by the seed and the number of the epoch or step: the order of an epoch, the noise of an
  inner attack, shifts and mirrorings, the PGD of a probe, dropout. So a checkpoint needs no random state, and a
  training that is stopped anywhere and resumed from its last checkpoint ends with the same bytes as one that was left
  alone, on the same kind of device and in the same number of processes.
* `save` gets a checkpoint after every epoch, and within one whenever `checkpoint_every_s` have passed or the monitor
  wants one.
* `monitor.tick` is called before every step and before every forward pass of an inner attack or a probe,
  `monitor.metric` with the mean "loss" after every epoch, and with "held_out_clean", "held_out_robust", "probe_clean"
  and "probe_robust", as far as they are measured, after every epoch that is probed.
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
from workers.engine.train_selection import result_of
from workers.engine.train_team import Team
from workers.engine.train_validation import Probe, Validation, best
from workers.failures import Rejected
from workers.models import Classifier
from workers.recipe import Recipe

SILENCE: Final = NullMonitor()
UNWATCHED: Final = Validation()

__all__ = ["Optimization", "Probe", "TrainResult", "Validation", "train"]


@dataclass(frozen=True)
class TrainResult:
    """The trained model, in eval mode, and how it came to be.

    `history`: the mean loss of every epoch of every round. `probes`: what was seen after epochs of the last network, in
    their order. `selected`: the epoch whose weights the model has, where the validation selects one; else None.
    `processes`: how many made it.
    """

    model: Classifier
    history: tuple[float, ...]
    probes: tuple[Probe, ...] = ()
    selected: int | None = None
    processes: int = 1


def train(
    model: Classifier,
    dataset: Dataset,
    defense: Recipe,
    optimization: Optimization,
    *,
    seed: int,
    validation: Validation = UNWATCHED,
    monitor: TrainingMonitor = SILENCE,
    resume: bytes | None = None,
    save: Callable[[bytes], None] | None = None,
    checkpoint_every_s: float = 60.0,
    team: Team | None = None,
) -> TrainResult:
    """Train a copy of `model`, on its device, starting from its weights.

    0 <= `seed` < 2^64. `resume` is a checkpoint that `save` got in a training with the same arguments, in however many
    processes. `team` is for those of `workers.engine.train_processes`. Raises `failures.Rejected` for data that the
    model can't take, for a checkpoint of another training, and where the loss is no longer a number; lets
    `failures.Interrupted` out of the monitor pass.
    """
    check(model, dataset, defense)
    device = device_of(model)
    alone = Team() if team is None else team
    training = Training(
        model,
        dataset.to(device),
        defense,
        optimization,
        validation,
        seed,
        monitor,
        save,
        checkpoint_every_s,
        alone,
    )
    state = training.start() if resume is None else unpack(resume, training.plan, training.networks, training.begin)
    if alone.part.rank > 0:
        state.total.zero_()
    # Dropout draws from torch's global generators, which are seeded before every step and put back here.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        training.run(state)
        while state.round + 1 < len(training.rounds):
            state = training.next_round(state)
            training.run(state)
    selected = best(validation, state.record.probes)
    return TrainResult(
        result_of(state).eval(),
        tuple(state.history),
        tuple(state.record.probes),
        None if selected is None else selected.epoch,
    )


def check(model: Classifier, dataset: Dataset, defense: Recipe) -> None:
    """The data are such as the model takes, and the model is one that the defense can train."""
    if dataset.input_shape != model.signature.input_shape:
        raise Rejected(
            "SHAPE_MISMATCH",
            f"the model takes {list(model.signature.input_shape)}, the data have {list(dataset.input_shape)}",
        )
    if dataset.classes > model.signature.classes:
        raise Rejected(
            "CLASS_MISMATCH", f"the model has {model.signature.classes} classes, the data have {dataset.classes}"
        )
    wanted = defense.component()
    if wanted is not None and wanted != model.signature.component:
        raise Rejected(
            "COMPONENT_MISMATCH",
            f"the defense needs a model with {wanted} around it, this one has {model.signature.component}",
        )
