"""How a job is cut up: the batch, the shard, the number of units. Decided once, so any number of workers agrees.

A batch is small enough that one attack step (forward and backward) of it stays well below a second on one CPU core,
since a worker hears of a cancel once per step. Measured on one core of a server: 12 billion multiply-adds a second for
networks of depthwise convolutions, 45 to 67 for the others (torch 2.13, float32, one thread).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

MAX_BATCH_SIZE = 256
MAX_SHARD_SIZE = 1_000_000
MAX_UNITS = 10_000
# Billions of multiply-adds of one forward pass of one batch.
CPU_BUDGET = 4.0
GPU_BUDGET = 400.0


def choose_batch_size(giga_ops: Sequence[float], *, gpu: bool) -> int:
    """Return the samples of one batch, a power of two up to 256, from what one input costs in each of the networks."""
    affordable = (GPU_BUDGET if gpu else CPU_BUDGET) / max(giga_ops)
    return min(MAX_BATCH_SIZE, 1 << max(0, math.floor(math.log2(affordable))))


def choose_shard_size(count: int, models: int, batch_size: int) -> int:
    """Return the samples of one shard: one batch, or as many whole ones as keep the job below `MAX_UNITS`."""
    batches = math.ceil(count / batch_size)
    return batch_size * math.ceil(batches / (MAX_UNITS // models))


def round_shard_size(asked: int, batch_size: int) -> int:
    """Return the samples asked for, rounded up to whole batches; down where up would leave the allowed range."""
    up = batch_size * math.ceil(asked / batch_size)
    return up if up <= MAX_SHARD_SIZE else MAX_SHARD_SIZE // batch_size * batch_size


def shards(count: int, shard_size: int) -> int:
    """Return how many shards a selection of `count` samples makes."""
    return math.ceil(count / shard_size)
