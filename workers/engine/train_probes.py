"""The look at a network after an epoch: how much it gets right, clean and under PGD."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from workers.attacks import pgd
from workers.data import Dataset
from workers.engine.frozen import frozen
from workers.engine.seeds import key, seed_model_noise
from workers.engine.train_validation import Probe, Validation, probed
from workers.goals import Untargeted
from workers.models import Classifier
from workers.threats import Linf

# Purpose of a random stream; see `seeds.key`.
_PROBING: Final = -11

# Samples of one forward pass.
_AT_ONCE: Final = 250


@dataclass
class Record:
    """What has been seen of the network that is the result, and what was kept of it; a part of every checkpoint."""

    probes: list[Probe] = field(default_factory=list)
    rollbacks: int = 0
    # Weights and buffers by name: of the epoch that is selected, and of the one that the training would go back to,
    # there with those of the running average beside them. Empty where they are not needed.
    best: dict[str, Tensor] = field(default_factory=dict)
    steady: dict[str, Tensor] = field(default_factory=dict)


class Watch:
    """Looks at networks. What it draws is keyed by the seed and the epoch, so that a look disturbs no training."""

    def __init__(self, validation: Validation, learned: Dataset, held_out: Dataset | None, seed: int) -> None:
        """`learned` are the samples that are learned from; on the device of the networks, as `held_out` is."""
        self._validation, self._seed = validation, seed
        self._learned = probed(learned, validation, seed)
        self._held_out = None if held_out is None else probed(held_out, validation, seed)

    def look(self, network: Classifier, epoch: int) -> Probe:
        """Count what the network gets right after this epoch; it comes back as it was."""
        with frozen(network):
            clean, robust = self._accuracies(network, self._learned, epoch)
            held_out = None if self._held_out is None else self._accuracies(network, self._held_out, epoch)
        return Probe(
            epoch=epoch,
            held_out_clean=None if held_out is None else held_out[0],
            held_out_robust=None if held_out is None else held_out[1],
            probe_clean=clean,
            probe_robust=robust,
        )

    def _accuracies(self, network: Classifier, data: Dataset, epoch: int) -> tuple[float, float]:
        """The shares that are right clean and under PGD from a random start (arXiv:1706.06083, eq. 2.1), in float32."""
        epsilon, steps = self._validation.probe_epsilon, self._validation.probe_steps
        generator = torch.Generator().manual_seed(key(self._seed, epoch, _PROBING))
        seed_model_noise(key(self._seed, epoch, _PROBING), 0, data.x.device)
        right = torch.zeros(2, dtype=torch.int64, device=data.x.device)
        for start in range(0, len(data), _AT_ONCE):
            samples = slice(start, start + _AT_ONCE)
            x, y = data.pixels(samples), data.y[samples]
            x_adv = pgd(
                network,
                x,
                Untargeted(y),
                Linf(epsilon),
                steps=steps,
                step_size=2.5 * epsilon / steps,
                random_start=True,
                generator=generator,
            )
            with torch.no_grad():
                right += torch.stack([(network(point).argmax(dim=1) == y).sum() for point in (x, x_adv)])
        clean, robust = (right.double() / len(data)).tolist()
        return clean, robust
