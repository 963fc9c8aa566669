"""Train any defense: order of samples, epochs, checkpoints, progress and stopping live here; so does the only descent.

What a caller can count on, whatever the defense:

* The model that is given stays as it is; torch's global random state too.
* Everything random is keyed by the seed and the number of the epoch or step: the order of an epoch, the noise of an
  inner attack, dropout. So a checkpoint needs no random state, and a training that is stopped anywhere and resumed from
  its last checkpoint ends with the same bytes as one that was left alone, on the same kind of device.
* `save` gets a checkpoint after every epoch, and within one whenever `checkpoint_every_s` have passed.
* `monitor.tick` is called before every step and before every forward pass of an inner attack, `monitor.metric` with the
  mean loss after every epoch.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import torch
from torch import Tensor, nn

from workers.data import Dataset
from workers.engine.checkpoint import State, pack, unpack
from workers.engine.frozen import device_of
from workers.engine.monitor import Monitor, NullMonitor
from workers.engine.seeds import key, seed_model_noise
from workers.engine.train_schedule import Optimization, descend, learning_rate, make_optimizer
from workers.failures import Rejected
from workers.models import Classifier

_SILENCE: Final = NullMonitor()
# Purposes of random streams; see `seeds.key`.
_ORDER: Final = -3
_CRAFTING: Final = -4
# Steps between two looks at the loss, each of which makes a GPU wait.
_LOOK: Final = 25

__all__ = ["Defense", "Optimization", "TrainResult", "train"]


class Defense(Protocol):
    """What is minimised; see `workers.defenses`."""

    def rounds(self, epochs: int) -> tuple[int, ...]:
        """Return the epochs of each network that is trained, one after the other."""

    def loss(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        *,
        teacher: nn.Module | None,
        epoch: int,
        progress: float,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the loss of one batch, a scalar."""


@dataclass(frozen=True)
class TrainResult:
    """The trained model, in eval mode, and the mean loss of each epoch of each network, one after the other."""

    model: Classifier
    history: tuple[float, ...]


def train(
    model: Classifier,
    dataset: Dataset,
    defense: Defense,
    optimization: Optimization,
    *,
    seed: int,
    monitor: Monitor = _SILENCE,
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
    training = _Training(model, dataset.to(device), defense, optimization, seed, monitor, save, checkpoint_every_s)
    state = training.begin(0, None, []) if resume is None else unpack(resume, training.plan, training.begin)
    # Dropout draws from torch's global generators, which are seeded before every step and put back here.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        training.run(state)
        while state.round + 1 < len(training.rounds):
            teacher = state.network.eval().requires_grad_(requires_grad=False)
            state = training.begin(state.round + 1, teacher, state.history)
            training.run(state)
    return TrainResult(state.network.eval(), tuple(state.history))


@dataclass
class _Training:
    """What stays the same throughout a training, and how it changes a `State`."""

    model: Classifier
    data: Dataset
    defense: Defense
    optimization: Optimization
    seed: int
    monitor: Monitor
    save: Callable[[bytes], None] | None
    checkpoint_every_s: float
    rounds: tuple[int, ...] = field(init=False)
    batches: int = field(init=False)
    # All that a checkpoint has to fit to, in words.
    plan: str = field(init=False)

    def __post_init__(self) -> None:
        self.rounds = self.defense.rounds(self.optimization.epochs)
        self.batches = math.ceil(len(self.data) / self.optimization.batch_size)
        self.plan = repr((self.model.signature, len(self.data), self.defense, self.optimization, self.seed))

    def begin(self, number: int, teacher: Classifier | None, history: list[float]) -> State:
        """Network `number` with the initial weights."""
        network = copy.deepcopy(self.model).train().requires_grad_(requires_grad=True)
        total = torch.zeros((), device=self.data.x.device)
        return State(number, 0, network, teacher, make_optimizer(self.optimization, network), total, history)

    def run(self, state: State) -> None:
        """Train the network of `state` to its end."""
        ticking = state.network.register_forward_pre_hook(lambda network, _: self._tick_while_crafting(network, state))
        saved = time.monotonic()
        try:
            while state.step < self._steps(state):
                for batch in self._batches_left(state):
                    self._step(state, batch)
                    epoch_ended = state.step % self.batches == 0
                    if epoch_ended:
                        self._close_epoch(state)
                    if self.save and (epoch_ended or time.monotonic() - saved >= self.checkpoint_every_s):
                        self.save(pack(state, self.plan))
                        saved = time.monotonic()
        finally:
            ticking.remove()

    def _batches_left(self, state: State) -> tuple[Tensor, ...]:
        """The samples of each step that is left of this epoch.

        An epoch is cut into parts that differ by one sample at most: no sample is left out, and there is no small last
        batch, whose statistics batch normalisation would take for good.
        """
        generator = torch.Generator().manual_seed(key(self.seed, self._epochs_before(state), _ORDER))
        order = torch.randperm(len(self.data), generator=generator).to(self.data.x.device)
        return order.tensor_split(self.batches)[state.step % self.batches :]

    def _step(self, state: State, batch: Tensor) -> None:
        """One batch: loss, gradient, step."""
        self._tick(state)
        number = self._steps_before(state)
        seed_model_noise(self.seed, number, batch.device)
        progress = state.step / self._steps(state)
        loss = self.defense.loss(
            state.network,
            self.data.pixels(batch),
            self.data.y[batch],
            teacher=state.teacher,
            epoch=state.step // self.batches,
            progress=progress,
            generator=torch.Generator().manual_seed(key(self.seed, number, _CRAFTING)),
        )
        rate = learning_rate(self.optimization, state.step, self._steps(state))
        descend(state.optimizer, loss, rate, self.optimization.weight_decay)
        state.step += 1
        state.total += loss.detach()
        if state.step % _LOOK == 0:
            self._look(state)

    def _look(self, state: State) -> float:
        """Read the mean loss of this epoch so far, for the next message."""
        steps = (state.step - 1) % self.batches + 1
        state.seen = float(state.total) / steps
        if not math.isfinite(state.seen):
            raise Rejected(
                "TRAINING_DIVERGED",
                f"the loss is {state.seen} in epoch {math.ceil(self._steps_before(state) / self.batches)}; "
                "a smaller learning_rate may help",
            )
        return state.seen

    def _close_epoch(self, state: State) -> None:
        """Note and report the mean loss of the epoch that ends here."""
        state.history.append(self._look(state))
        state.total.zero_()
        self.monitor.metric("loss", state.history[-1], len(state.history))

    def _tick(self, state: State) -> None:
        """Report how far the training has come, over all of its networks."""
        epochs = sum(self.rounds)
        done = self._steps_before(state)
        loss = "" if state.seen is None else f", loss {state.seen:.3f}"
        message = f"epoch {done // self.batches + 1} of {epochs}{loss}"
        self.monitor.tick(done / (epochs * self.batches), message)

    def _tick_while_crafting(self, network: nn.Module, state: State) -> None:
        """An inner attack puts the network in eval mode; long ones are to stop within."""
        if not network.training:
            self._tick(state)

    def _steps(self, state: State) -> int:
        """Steps of the network that is being trained."""
        return self.rounds[state.round] * self.batches

    def _epochs_before(self, state: State) -> int:
        """Whole epochs done, over all networks."""
        return sum(self.rounds[: state.round]) + state.step // self.batches

    def _steps_before(self, state: State) -> int:
        """Steps done, over all networks."""
        return sum(self.rounds[: state.round]) * self.batches + state.step


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
