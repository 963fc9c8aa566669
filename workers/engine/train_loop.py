"""The one training loop: the only place where weights move."""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Final

import torch
from torch import Tensor, nn

from workers import models
from workers.data import Dataset
from workers.engine.augment import Augmentation
from workers.engine.checkpoint import State, pack
from workers.engine.feed import Batch, Feed
from workers.engine.monitor import TrainingMonitor
from workers.engine.seeds import key, seed_model_noise
from workers.engine.train_average import average, averaged
from workers.engine.train_precision import in_bfloat16
from workers.engine.train_schedule import Optimization, learning_rate, make_optimizer, move
from workers.engine.train_selection import Keeper, result_of
from workers.engine.train_team import Objective, Team
from workers.engine.train_validation import MOST_ROLLBACKS, Validation, split
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
    validation: Validation
    seed: int
    monitor: TrainingMonitor
    save: Callable[[bytes], None] | None
    checkpoint_every_s: float
    team: Team
    rounds: tuple[Round, ...] = field(init=False)
    feed: Feed = field(init=False)
    keeper: Keeper | None = field(init=False)
    # All that a checkpoint has to fit to, in words.
    plan: str = field(init=False)

    def __post_init__(self) -> None:
        how = self.optimization
        self.rounds = self.defense.rounds(how.epochs)
        learned, held_out = split(self.data, self.validation, self.seed)
        moved = Augmentation(how.crop_padding, how.flip) if how.crop_padding or how.flip else None
        self.feed = Feed(learned, self.defense, how.batch_size, self.seed, moved)
        on = self.validation.on
        self.keeper = Keeper(self.validation, learned, held_out, self.seed, self.monitor) if on else None
        weights = hashlib.sha256(models.save(self.model)).hexdigest()
        made_from = (self.model.signature, weights, len(self.data), self.defense, how, self.validation, self.seed)
        self.plan = repr(made_from)

    def start(self) -> State:
        """The first round."""
        return self.begin(0, self.networks(0), [])

    def next_round(self, state: State) -> State:
        """The round after that of `state`."""
        number = state.round + 1
        if not self.rounds[number].fresh:
            going_on = self.begin(number, [*state.teachers, state.network], state.history)
            return replace(going_on, average=state.average, record=state.record)
        teacher = result_of(state).eval().requires_grad_(requires_grad=False)
        return self.begin(number, [*state.teachers, teacher, self._fresh(self.rounds[number])], state.history)

    def networks(self, number: int) -> list[Classifier]:
        """The networks of round `number`, with the weights that each began with: the teachers, then its own."""
        *teachers, own = [self._fresh(round_) for round_ in self.rounds[: number + 1] if round_.fresh]
        return [*(teacher.eval().requires_grad_(requires_grad=False) for teacher in teachers), own]

    def begin(self, number: int, networks: list[Classifier], history: list[float]) -> State:
        """Round `number`, before its first step."""
        *teachers, network = networks
        total = torch.zeros((), device=self.data.x.device)
        optimizer = make_optimizer(self.optimization, network)
        mean = averaged(network) if self.optimization.average_decay else None
        return State(number, 0, network, tuple(teachers), optimizer, total, history, mean)

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
        objective = self.team.objective(self.defense, state.network)
        saved = time.monotonic()
        with self._ticking(state):
            while state.step < self._steps(state) and state.record.rollbacks <= MOST_ROLLBACKS:
                for samples in self.feed.left(self._steps_before(state)):
                    self._step(state, samples, objective)
                    ended = state.step % self.feed.steps == 0
                    if ended:
                        self._close_epoch(state)
                    if self.team.agreed(wish=self._wants_checkpoint(saved, ended=ended)):
                        self.team.gather(state.total)
                        if self.save:
                            self.save(pack(state, self.plan))
                        saved = time.monotonic()

    def _step(self, state: State, samples: Tensor, objective: Objective) -> None:
        """One batch: loss, gradient, step."""
        self._tick(state)
        number, how = self._steps_before(state), self.optimization
        seed_model_noise(self.team.noise(self.seed), number, samples.device)
        batch = self.feed.batch(samples, number, self.team.part)
        step = self._told(state, number, batch)
        with self._computing(state.network):
            loss = objective(batch.x, batch.y, step)
        rate = learning_rate(how, state.step, self._steps(state))
        state.optimizer.zero_grad(set_to_none=True)
        share = self.team.differentiate(loss, batch)
        self.defense.after_backward(state.network, step)
        move(state.optimizer, rate, how.weight_decay, how.gradient_clip)
        state.step += 1
        state.total += share
        if state.average is not None:
            average(state.average, state.network, how.average_decay, self._steps_of_network(state))
        if state.step % _LOOK == 0:
            self._look(state)

    def _told(self, state: State, number: int, batch: Batch) -> Step:
        """What the loss is told beside the batch."""
        step = Step(
            round=state.round,
            progress=state.step / self._steps(state),
            generator=self.team.stream(key(self.seed, number, _CRAFTING), batch),
            teachers=state.teachers,
            memory=state.memory,
            unlabelled=batch.unlabelled,
            crafting_in_eval=self.optimization.crafting_mode != "train",
            rollbacks=state.record.rollbacks,
        )
        unite = self.team.unite(batch)
        if unite is not None:
            step.unite = unite
        return step

    def _computing(self, network: Classifier) -> AbstractContextManager[None]:
        """The precision that the network computes in while it is trained."""
        return in_bfloat16(network) if self.optimization.precision == "bfloat16" else nullcontext()

    def _wants_checkpoint(self, saved: float, *, ended: bool) -> bool:
        """Whether this process wants one now: at the end of an epoch, when time is up, or when the monitor asks."""
        if self.save is None:
            return False
        return ended or time.monotonic() - saved >= self.checkpoint_every_s or self.monitor.checkpoint_wanted()

    def _look(self, state: State) -> float:
        """Read the mean loss of this epoch so far, for the next message."""
        self.team.gather(state.total)
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
        """Note and report the mean loss of the epoch that ends here, and look at the network if it is time to."""
        state.history.append(self._look(state))
        state.total.zero_()
        epoch = len(state.history)
        self.monitor.metric("loss", state.history[-1], epoch)
        last = state.round == len(self.rounds) - 1 and state.step == self._steps(state)
        due = last or epoch % self.validation.probe_every == 0
        if self.keeper is None or not due or state.round < self._first_of_network(len(self.rounds) - 1):
            return
        if self.keeper.after_epoch(state, epoch, self.team):
            # Its moments were made by the steps that led astray.
            state.optimizer = make_optimizer(self.optimization, state.network)

    @contextmanager
    def _ticking(self, state: State) -> Iterator[None]:
        """Report and ask whether to go on in every forward pass of an inner attack or a probe, as long ones may be.

        Examples are made in eval mode; where they are not, every forward pass is one of an inner attack's.
        """
        always = self.optimization.crafting_mode == "train"

        def tick(network: nn.Module, _: object) -> None:
            if always or not network.training:
                self._tick(state)

        networks = [state.network] if state.average is None else [state.network, state.average]
        hooks = [network.register_forward_pre_hook(tick) for network in networks]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _tick(self, state: State) -> None:
        """Report how far the training has come, over all of its rounds."""
        epochs = sum(round_.epochs for round_ in self.rounds)
        done = self._steps_before(state)
        loss = "" if state.seen is None else f", loss {state.seen:.3f}"
        message = f"epoch {min(done // self.feed.steps + 1, epochs)} of {epochs}{loss}"
        self.monitor.tick(done / (epochs * self.feed.steps), message)

    def _steps(self, state: State) -> int:
        """Steps of this round."""
        return self.rounds[state.round].epochs * self.feed.steps

    def _steps_before(self, state: State) -> int:
        """Steps done, over all rounds."""
        return self._steps_up_to(state.round) + state.step

    def _steps_of_network(self, state: State) -> int:
        """Steps done with this network."""
        return self._steps_before(state) - self._steps_up_to(self._first_of_network(state.round))

    def _steps_up_to(self, number: int) -> int:
        """Steps of all rounds before that one."""
        return sum(round_.epochs for round_ in self.rounds[:number]) * self.feed.steps

    def _first_of_network(self, number: int) -> int:
        """The round in which the network of round `number` began."""
        return max(place for place, round_ in enumerate(self.rounds[: number + 1]) if round_.fresh or place == 0)
