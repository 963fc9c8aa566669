"""Random numbers that belong to a sample, not to a process.

Every stream is keyed by (job seed, sample id, purpose), so a sample meets the same noise and the same random target
whatever the batch, the shard, the worker or the order it is attacked in.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

# Purposes other than a restart, whose numbers are 0, 1, 2, ...
_TARGET: Final = -1
_MODEL: Final = -2


def key(seed: int, sample_id: int, purpose: int) -> int:
    """Hash (seed, sample id, purpose) to 63 bits: BLAKE2b of the three as little-endian 64-bit integers."""
    digest = hashlib.blake2b(struct.pack("<Qqq", seed, sample_id, purpose), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generators(seed: int, sample_ids: Tensor, restarts: Sequence[int]) -> list[torch.Generator]:
    """Return one stream for each sample and the restart that it is in.

    Torch's CPU generator looks at 32 bits of its seed, so two in some 10^9 pairs of streams are the same; no matter.
    The streams live on the CPU whatever the device of the samples: a GPU then gets the same noise.
    """
    return [
        torch.Generator().manual_seed(key(seed, sample_id, restart))
        for sample_id, restart in zip(sample_ids.tolist(), restarts, strict=True)
    ]


def random_targets(seed: int, sample_ids: Tensor, label: Tensor, classes: int) -> Tensor:
    """Return a class drawn uniformly from those that are not the label, (N,) int64."""
    draws = [key(seed, sample_id, _TARGET) % (classes - 1) for sample_id in sample_ids.tolist()]
    drawn = torch.tensor(draws, dtype=torch.int64, device=label.device)
    return drawn + (drawn >= label)


def seed_model_noise(seed: int, sample_id: int, device: torch.device) -> None:
    """Seed the global generators, which only a randomised model draws from; `frozen` puts them back."""
    model_key = key(seed, sample_id, _MODEL)
    torch.default_generator.manual_seed(model_key)
    if device.type == "cuda":
        torch.cuda.manual_seed(model_key)
