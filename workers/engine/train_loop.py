"""The one training loop: the only place where weights move."""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import torch
from torch import Tensor, nn

from workers import models
from workers.data import Dataset
from workers.engine.checkpoint import State, pack
from workers.engine.monitor import TrainingMonitor
from workers.engine.seeds import key, seed_model_noise
from workers.engine.train_schedule import Optimization, descend, learning_rate, make_optimizer
from workers.failures import Rejected
from workers.models import Classifier

# Purposes of random streams; see `seeds.key`.
_ORDER: Final = -3
_CRAFTING: Final = -4
# Steps between two looks at the loss, each of which makes a GPU wait.
_LOOK: Final = 25


class Defense(Protocol):
    """What is minimised; see `workers.defenses`."""

    def rounds(self, epochs: int) -> tuple[tuple[int, bool], ...]:
        """Return the epochs of each round, and whether it begins a network."""

    def loss(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        *,
        teacher: nn.Module | None,
        round_: int,
        progress: float,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the loss of one batch, a scalar."""


@dataclass
class Training:
    """What stays the same throughout a training, and how it changes a `State`."""

    model: Classifier
    data: Dataset
    defense: Defense
    optimization: Optimization
    seed: int
    monitor: TrainingMonitor
    save: Callable[[bytes], None] | None
    checkpoint_every_s: float
    rounds: tuple[tuple[int, bool], ...] = field(init=False)
    batches: int = field(init=False)
    # All that a checkpoint has to fit to, in words.
    plan: str = field(init=False)

    def __post_init__(self) -> None:
        self.rounds = self.defense.rounds(self.optimization.epochs)
        self.batches = math.ceil(len(self.data) / self.optimization.batch_size)
        weights = hashlib.sha256(models.save(self.model)).hexdigest()
        self.plan = repr((self.model.signature, weights, len(self.data), self.defense, self.optimization, self.seed))

    def start(self) -> State:
        """The first round."""
        return self.begin(0, self.fresh(), None, [])

    def next_round(self, state: State) -> State:
        """The round after that of `state`."""
        _, fresh = self.rounds[state.round + 1]
        if not fresh:
            return self.begin(state.round + 1, state.network, state.teacher, state.history)
        teacher = state.network.eval().requires_grad_(requires_grad=False)
        return self.begin(state.round + 1, self.fresh(), teacher, state.history)

    def fresh(self) -> Classifier:
        """A network with the initial weights."""
        return copy.deepcopy(self.model).train().requires_grad_(requires_grad=True)

    def begin(self, number: int, network: Classifier, teacher: Classifier | None, history: list[float]) -> State:
        """Round `number`, before its first step."""
        total = torch.zeros((), device=self.data.x.device)
        return State(number, 0, network, teacher, make_optimizer(self.optimization, network), total, history)

    def run(self, state: State) -> None:
        """Train the round of `state` to its end."""
        ticking = state.network.register_forward_pre_hook(lambda network, _: self._tick_while_crafting(network, state))
        saved = time.monotonic()
        try:
            while state.step < self._steps(state):
                for batch in self._batches_left(state):
                    self._step(state, batch)
                    epoch_ended = state.step % self.batches == 0
                    if epoch_ended:
                        self._close_epoch(state)
                    due = epoch_ended or time.monotonic() - saved >= self.checkpoint_every_s
                    if self.save and (due or self.monitor.checkpoint_wanted()):
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
            round_=state.round,
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
        """Report how far the training has come, over all of its rounds."""
        epochs = sum(epochs for epochs, _ in self.rounds)
        done = self._steps_before(state)
        loss = "" if state.seen is None else f", loss {state.seen:.3f}"
        message = f"epoch {done // self.batches + 1} of {epochs}{loss}"
        self.monitor.tick(done / (epochs * self.batches), message)

    def _tick_while_crafting(self, network: nn.Module, state: State) -> None:
        """An inner attack puts the network in eval mode; long ones are to stop within."""
        if not network.training:
            self._tick(state)

    def _steps(self, state: State) -> int:
        """Steps of this round."""
        return self.rounds[state.round][0] * self.batches

    def _epochs_before(self, state: State) -> int:
        """Whole epochs done, over all rounds."""
        return self._steps_before(state) // self.batches

    def _steps_before(self, state: State) -> int:
        """Steps done, over all rounds."""
        return sum(epochs for epochs, _ in self.rounds[: state.round]) * self.batches + state.step
