"""The one training loop: the only place where weights move."""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import torch
from torch import Tensor, nn

from workers import models
from workers.data import Dataset
from workers.engine.checkpoint import State, pack
from workers.engine.feed import Feed
from workers.engine.monitor import TrainingMonitor
from workers.engine.seeds import key, seed_model_noise
from workers.engine.train_schedule import Optimization, learning_rate, make_optimizer, move
from workers.failures import Rejected
from workers.models import Classifier
from workers.recipe import Recipe, Round, Step

# Purposes of random streams; see `seeds.key`.
_CRAFTING: Final = -4
_INITIAL: Final = -7
# Steps between two looks at the loss, each of which makes a GPU wait.
_LOOK: Final = 25


@dataclass
class Training:
    """What stays the same throughout a training, and how it changes a `State`."""

    model: Classifier
    data: Dataset
    defense: Recipe
    optimization: Optimization
    seed: int
    monitor: TrainingMonitor
    save: Callable[[bytes], None] | None
    checkpoint_every_s: float
    rounds: tuple[Round, ...] = field(init=False)
    feed: Feed = field(init=False)
    # All that a checkpoint has to fit to, in words.
    plan: str = field(init=False)

    def __post_init__(self) -> None:
        self.rounds = self.defense.rounds(self.optimization.epochs)
        self.feed = Feed(self.data, self.defense, self.optimization.batch_size, self.seed)
        weights = hashlib.sha256(models.save(self.model)).hexdigest()
        self.plan = repr((self.model.signature, weights, len(self.data), self.defense, self.optimization, self.seed))

    def start(self) -> State:
        """The first round."""
        return self.begin(0, self.networks(0), [])

    def next_round(self, state: State) -> State:
        """The round after that of `state`."""
        number = state.round + 1
        if not self.rounds[number].fresh:
            return self.begin(number, [*state.teachers, state.network], state.history)
        teacher = state.network.eval().requires_grad_(requires_grad=False)
        return self.begin(number, [*state.teachers, teacher, self._fresh(self.rounds[number])], state.history)

    def networks(self, number: int) -> list[Classifier]:
        """The networks of round `number`, with the weights that each began with: the teachers, then its own."""
        *teachers, own = [self._fresh(round_) for round_ in self.rounds[: number + 1] if round_.fresh]
        return [*(teacher.eval().requires_grad_(requires_grad=False) for teacher in teachers), own]

    def begin(self, number: int, networks: list[Classifier], history: list[float]) -> State:
        """Round `number`, before its first step."""
        *teachers, network = networks
        total = torch.zeros((), device=self.data.x.device)
        return State(number, 0, network, tuple(teachers), make_optimizer(self.optimization, network), total, history)

    def _fresh(self, round_: Round) -> Classifier:
        """The network that a round begins with, in training mode."""
        network = self.model
        if round_.architecture or round_.initial:
            signature = self.model.signature
            own = replace(signature, architecture=round_.architecture or signature.architecture)
            network = models.build(own, seed=key(self.seed, round_.initial, _INITIAL)).to(self.data.x.device)
        return copy.deepcopy(network).train().requires_grad_(requires_grad=True)

    def run(self, state: State) -> None:
        """Train the round of `state` to its end."""
        ticking = state.network.register_forward_pre_hook(lambda network, _: self._tick_while_crafting(network, state))
        saved = time.monotonic()
        try:
            while state.step < self._steps(state):
                for samples in self.feed.left(self._steps_before(state)):
                    self._step(state, samples)
                    epoch_ended = state.step % self.feed.steps == 0
                    if epoch_ended:
                        self._close_epoch(state)
                    due = epoch_ended or time.monotonic() - saved >= self.checkpoint_every_s
                    if self.save and (due or self.monitor.checkpoint_wanted()):
                        self.save(pack(state, self.plan))
                        saved = time.monotonic()
        finally:
            ticking.remove()

    def _step(self, state: State, samples: Tensor) -> None:
        """One batch: loss, gradient, step."""
        self._tick(state)
        number = self._steps_before(state)
        seed_model_noise(self.seed, number, samples.device)
        batch = self.feed.batch(samples, number)
        step = Step(
            round=state.round,
            progress=state.step / self._steps(state),
            generator=torch.Generator().manual_seed(key(self.seed, number, _CRAFTING)),
            teachers=state.teachers,
            memory=state.memory,
            unlabelled=batch.unlabelled,
        )
        loss = self.defense.loss(state.network, batch.x, batch.y, step)
        rate = learning_rate(self.optimization, state.step, self._steps(state))
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.defense.after_backward(state.network, step)
        move(state.optimizer, rate, self.optimization.weight_decay)
        state.step += 1
        state.total += loss.detach()
        if state.step % _LOOK == 0:
            self._look(state)

    def _look(self, state: State) -> float:
        """Read the mean loss of this epoch so far, for the next message."""
        steps = (state.step - 1) % self.feed.steps + 1
        state.seen = float(state.total) / steps
        if not math.isfinite(state.seen):
            raise Rejected(
                "TRAINING_DIVERGED",
                f"the loss is {state.seen} in epoch {math.ceil(self._steps_before(state) / self.feed.steps)}; "
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
        epochs = sum(round_.epochs for round_ in self.rounds)
        done = self._steps_before(state)
        loss = "" if state.seen is None else f", loss {state.seen:.3f}"
        message = f"epoch {done // self.feed.steps + 1} of {epochs}{loss}"
        self.monitor.tick(done / (epochs * self.feed.steps), message)

    def _tick_while_crafting(self, network: nn.Module, state: State) -> None:
        """An inner attack puts the network in eval mode; long ones are to stop within."""
        if not network.training:
            self._tick(state)

    def _steps(self, state: State) -> int:
        """Steps of this round."""
        return self.rounds[state.round].epochs * self.feed.steps

    def _steps_before(self, state: State) -> int:
        """Steps done, over all rounds."""
        return sum(round_.epochs for round_ in self.rounds[: state.round]) * self.feed.steps + state.step
