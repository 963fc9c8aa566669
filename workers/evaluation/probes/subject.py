"""The model that is probed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from workers.engine.frozen import device_of
from workers.engine.looking import look
from workers.engine.memory import Portion
from workers.engine.seeds import key, seed_model_noise
from workers.goals import Ascent, Untargeted
from workers.losses import Loss


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model, asked in batches that fit into memory; use it inside `engine.frozen`.

    Inputs and answers lie on the CPU, whatever the device of the model. `seed` is the job's, `first` the id of the
    shard's first sample: random numbers are keyed by both. `tick` is called before every batch, and may end it all.
    """

    model: nn.Module
    portion: Portion
    seed: int
    first: int
    tick: Callable[[], None]

    @property
    def batch_size(self) -> int:
        """Samples of one batch."""
        return self.portion.asked

    def reseed(self) -> None:
        """Let a model that draws its answers begin anew."""
        seed_model_noise(self.seed, self.first, device_of(self.model))

    def generator(self, purpose: int) -> torch.Generator:
        """Return a stream of random numbers; purposes below -2 are the probes' own (`engine.seeds` has the others)."""
        return torch.Generator().manual_seed(key(self.seed, self.first, purpose))

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits (N, K) of N samples (N, C, H, W)."""
        network, device, parts = self.portion.through(self.model), device_of(self.model), []
        for begin in range(0, len(x), self.batch_size):
            self.tick()
            batch = x[begin : begin + self.batch_size].to(device)
            parts.append(self.portion.fit(partial(look, network, batch), len(batch)).cpu())
        return torch.cat(parts)

    def slope(self, x: Tensor, y: Tensor, loss: Loss) -> Ascent:
        """Return gradient (N, C, H, W), logits (N, K) and value (N,) of a loss of the labels `y` (N,)."""
        network, device, parts = self.portion.through(self.model), device_of(self.model), []
        for begin in range(0, len(x), self.batch_size):
            self.tick()
            batch = x[begin : begin + self.batch_size].to(device)
            aim = Untargeted(y[begin : begin + self.batch_size].to(device), loss)
            found = self.portion.fit(partial(aim.ascent, network, batch), len(batch))
            parts.append(Ascent(found.gradient.cpu(), found.logits.cpu(), found.objective.cpu()))
        return Ascent(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def spread(logits: Tensor) -> Tensor:
    """Return how far the logits of each sample are apart, (N,): the scale by which their changes are judged."""
    return (logits.amax(dim=1) - logits.amin(dim=1)).clamp_min(1e-30)
