"""A clean-label feature collision: pictures that look like one class and have the features of one target of another."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from workers.data import Dataset
from workers.engine.frozen import device_of, frozen
from workers.engine.monitor import TrainingMonitor
from workers.failures import Rejected
from workers.models import Classifier
from workers.poisoning.backdoor import check_label, others
from workers.poisoning.learner import AT_ONCE, LastLayerLearner, Learner, feature_pass, scores_of
from workers.poisoning.poison import Poison, Poisoned, Scenario, first_of, shuffled_of, taken, unharmed


@dataclass(frozen=True, kw_only=True)
class FeatureCollision(Poison):
    """Samples of a base class are moved, a little, until their features are those of a target; their labels stay right.

        p = argmin_x  |f(x) - f(t)|^2 / |f(b) - f(t)|^2 + beta |x - b|^2,   f the features below the last layer

    by forward-backward splitting: a step along the gradient of the first term, then the closed form of the second,

        x' = x - lambda grad_x |f(x) - f(t)|^2 / |f(b) - f(t)|^2,   x <- clip((x' + lambda beta b) / (1 + lambda beta))

    Whoever fits a last layer to them, below which nothing changes, reads the target t as the base class. Each of
    `targets` held-out samples, all of other classes and read rightly at first, is attacked for itself; beta is
    `closeness`, lambda begins at `collision_step_size` and is halved for a sample whose objective would rise.
    Source: arXiv:1804.00792, section 2.2, algorithm 1; transfer learning as in section 3.
    Differs from the paper in: the features' distance is divided by what it was at first, so that beta means the same
    for every network; lambda is halved where it is too large; the last layer is fitted to its minimum; a poison takes
    the place of its base; many poisons share one target.
    """

    base_label: int = 0
    targets: int = 5
    collision_steps: int = 100
    collision_step_size: float = 10.0
    closeness: float = 0.003

    @property
    def attempts(self) -> int:
        """One for each target."""
        return self.targets

    def scenario(self, train: Dataset, held_out: Dataset, *, seed: int) -> Scenario:
        """The data as they are; raises Rejected for a class that they do not have."""
        check_label(self.base_label, train, "base_label")
        return super().scenario(train, held_out, seed=seed)

    def victim(self, learner: Learner, scenario: Scenario, *, seed: int, monitor: TrainingMonitor) -> Learner:
        """Somebody who fits a new last layer to a network that was trained on the clean samples."""
        return LastLayerLearner(network=learner.fit(scenario.train, seed=seed, monitor=monitor))

    def craft(
        self,
        scenario: Scenario,
        count: int,
        victim: Learner,
        *,
        seed: int,
        monitor: TrainingMonitor,
        attempt: int = 0,
    ) -> Poisoned:
        """Collide `count` samples of the base class with the target of this attempt."""
        assert isinstance(victim, LastLayerLearner)
        data = scenario.train
        target = self.target(victim.network, scenario, seed=seed, attempt=attempt)
        index = first_of(shuffled_of(data, (self.base_label,), seed), count, data, f"of class {self.base_label}")
        if count == 0:
            return replace(unharmed(data), target=target)
        before = data.pixels(index)
        x = data.pixels(slice(None)).clone()
        x[index] = self.collide(victim.network, before, target, monitor)
        return Poisoned(data=replace(data, x=x), index=index, before=before, target=target)

    def target(self, network: Classifier, scenario: Scenario, *, seed: int, attempt: int) -> Tensor:
        """The picture (1, C, H, W) that is to be misread: held out, of another class, and read rightly at first."""
        held_out = scenario.held_out
        places = shuffled_of(held_out, others(held_out, self.base_label), seed)
        some = taken(held_out, places)
        right = places[scores_of(network, some).argmax(1) == some.y.cpu()]
        if attempt >= len(right):
            message = f"{self.targets} targets are asked for, only {len(right)} held-out samples are read rightly"
            raise Rejected("TOO_FEW_SAMPLES", message)
        return held_out.pixels(right[attempt : attempt + 1])

    def fired(self, model: Classifier, scenario: Scenario, poisoned: Poisoned) -> tuple[int, int]:
        """Whether the target is read as the base class, of one chance."""
        del scenario
        assert poisoned.target is not None
        with frozen(model), torch.no_grad():
            answer = model(poisoned.target.to(device_of(model))).argmax(1)
        return int((answer == self.base_label).sum()), 1

    def collide(self, network: Classifier, base: Tensor, target: Tensor, monitor: TrainingMonitor) -> Tensor:
        """Pictures (M, C, H, W) near `base` with the features of `target` (1, C, H, W), on the CPU, in [0, 1]."""
        device = device_of(network)
        with frozen(network):
            with torch.no_grad():
                wanted = feature_pass(network, target.to(device))
            batches = [base[begin : begin + AT_ONCE].to(device) for begin in range(0, len(base), AT_ONCE)]
            return torch.cat([self._split(network, b, wanted, monitor).cpu() for b in batches])

    def _split(self, network: Classifier, b: Tensor, wanted: Tensor, monitor: TrainingMonitor) -> Tensor:
        """The splitting for one batch."""

        def distance(x: Tensor) -> Tensor:
            return (feature_pass(network, x) - wanted).square().sum(1)

        steps, β = self.collision_steps, self.closeness
        with torch.no_grad():
            first = distance(b).clamp(min=1e-12)
        x = b.clone()
        λ = torch.full_like(first, self.collision_step_size).view(-1, 1, 1, 1)
        for step in range(steps):
            monitor.tick(step / steps, "colliding features")
            x.requires_grad_()
            collision = distance(x) / first
            (slope,) = torch.autograd.grad(collision.sum(), x)
            x = x.detach()
            moved = ((x - λ * slope + λ * β * b) / (1 + λ * β)).clamp(0, 1)
            with torch.no_grad():
                before = collision.detach() + β * (x - b).square().flatten(1).sum(1)
                after = distance(moved) / first + β * (moved - b).square().flatten(1).sum(1)
            better = (after <= before).view(-1, 1, 1, 1)
            x = torch.where(better, moved, x)
            λ = torch.where(better, λ, λ / 2)
        return x
