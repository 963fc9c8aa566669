"""One of several processes that train a network together, by torch's DistributedDataParallel.

Each has the whole network and all samples, and takes its part of every batch: the gradients are added up, and then
every process makes the same step. What is drawn for a batch is drawn for the whole of it, and each takes its rows.
"""

from __future__ import annotations

import os
import pickle
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from workers.engine.feed import Batch, Part
from workers.engine.monitor import NullMonitor
from workers.engine.seeds import key
from workers.engine.train import train
from workers.engine.train_norm import share_statistics
from workers.engine.train_team import Objective, Team
from workers.failures import words
from workers.models import Classifier, save
from workers.recipe import Recipe, Step
from workers.threats import PartStream

# Purpose of a random stream; see `seeds.key`.
_RANK: Final = -12
# Nobody waits in vain: whoever starts the processes ends them all when one is lost.
_PATIENCE: Final = timedelta(days=1)
# Seconds between two words of progress.
_TELL_S: Final = 0.05


def main(folder: str, rank: int, told: Connection[Any, Any]) -> None:
    """Train as process number `rank` what the file "training" in `folder` says; what there is to say goes into `told`.

    ("tick", fraction, message), ("metric", name, value, epoch) and ("save", checkpoint) come from the first process,
    and at last ("done", weights, history, probes, selected); from any, ("failed", error, whether another's end caused
    it). Whatever comes out of `told` asks the first process for a checkpoint; its end ends this process.
    """
    wanted = threading.Event()
    threading.Thread(target=_listen, args=(folder, told, wanted), daemon=True).start()
    try:
        _train(folder, rank, told, wanted)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
        told.send(("failed", _sendable(error), _consequence(error)))
        sys.exit(1)
    dist.destroy_process_group()


def _listen(folder: str, told: Connection[Any, Any], wanted: threading.Event) -> None:
    """Hear what is wanted; leave with the process that started this one, and clean up after it if it could not."""
    with suppress(EOFError, OSError):
        while True:
            told.recv()
            wanted.set()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _train(folder: str, rank: int, told: Connection[Any, Any], wanted: threading.Event) -> None:
    settings, given = pickle.loads(Path(folder, "training").read_bytes())  # noqa: S301 - our own file
    device = torch.device(settings["devices"][rank])
    torch.set_num_threads(settings["threads"])
    torch.use_deterministic_algorithms(settings["deterministic"], warn_only=settings["warn_only"])
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    if device.type == "cuda":
        torch.cuda.set_device(device)
    team = _Processes(rank, len(settings["devices"]), device, folder)
    leads = rank == 0
    result = train(
        given.pop("model").to(device),
        **given,
        monitor=_Teller(told, wanted) if leads else NullMonitor(),
        save=partial(_send_checkpoint, told) if leads and settings["keeps"] else None,
        team=team,
    )
    if leads:
        told.send(("done", save(result.model), result.history, result.probes, result.selected))


def _send_checkpoint(told: Connection[Any, Any], checkpoint: bytes) -> None:
    told.send(("save", checkpoint))


class _Teller(NullMonitor):
    """The monitor of the first process: what it hears, whoever started the processes hears."""

    def __init__(self, told: Connection[Any, Any], wanted: threading.Event) -> None:
        self._told, self._wanted, self._last = told, wanted, 0.0

    def tick(self, fraction: float, message: str = "") -> None:
        now = time.monotonic()
        if now - self._last >= _TELL_S:
            self._last = now
            self._told.send(("tick", fraction, message))

    def metric(self, name: str, value: float, step: int) -> None:
        self._told.send(("metric", name, value, step))

    def checkpoint_wanted(self) -> bool:
        wanted = self._wanted.is_set()
        self._wanted.clear()
        return wanted


class _Loss(nn.Module):
    """A defense's loss as a module, so that DistributedDataParallel sees one forward pass for each step."""

    def __init__(self, defense: Recipe, network: Classifier) -> None:
        super().__init__()
        self.network = network
        self._defense = defense

    def forward(self, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """The mean loss of this process's part of a batch."""
        return self._defense.loss(self.network, x, y, step)


class _Processes(Team):
    """Processes of one host, each with a device of its own."""

    def __init__(self, rank: int, size: int, device: torch.device, folder: str) -> None:
        self.part = Part(rank, size)
        cuda = device.type == "cuda"
        # One host: nothing leaves it.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        os.environ.setdefault("NCCL_SOCKET_IFNAME", "lo")
        dist.init_process_group(
            "nccl" if cuda else "gloo",
            init_method=f"file://{folder}/meeting",
            rank=rank,
            world_size=size,
            timeout=_PATIENCE,
        )
        # Small words between processes, for which no GPU has to be waited for.
        self._words = dist.new_group(backend="gloo", timeout=_PATIENCE) if cuda else dist.group.WORLD

    def objective(self, defense: Recipe, network: Classifier) -> Objective:
        share_statistics(network)
        # A defense need not use every weight in every step.
        return DistributedDataParallel(_Loss(defense, network), forward_sync_buffers=False, find_unused_parameters=True)

    def differentiate(self, loss: Tensor, batch: Batch) -> Tensor:
        share = loss * self._share(batch)
        # DistributedDataParallel takes the mean over the processes; the sum is wanted.
        (share * self.part.size).backward()  # type: ignore[no-untyped-call]
        return share.detach()

    def stream(self, seed: int, batch: Batch) -> torch.Generator:
        stream = PartStream()
        stream.manual_seed(seed)
        parts: Mapping[int, tuple[int, int]] = {}
        if batch.unlabelled is not None:
            parts = self._rows(len(batch.unlabelled), batch.count_unlabelled)
        stream.parts = {**parts, **self._rows(len(batch.y), batch.count)}
        return stream

    def noise(self, seed: int) -> int:
        return seed if self.part.rank == 0 else key(seed, self.part.rank, _RANK)

    def unite(self, batch: Batch) -> Callable[[Sequence[Tensor]], None]:
        share = self._share(batch)

        def unite(gradients: Sequence[Tensor]) -> None:
            for gradient in gradients:
                whole = gradient.detach().contiguous() * share
                dist.all_reduce(whole)
                gradient.copy_(whole)

        return unite

    def agreed(self, *, wish: bool) -> bool:
        word = torch.tensor(wish, dtype=torch.uint8)
        dist.broadcast(word, 0, group=self._words)
        return bool(word)

    def gather(self, total: Tensor) -> None:
        dist.reduce(total, 0)
        if self.part.rank > 0:
            total.zero_()

    def spread(self, tensors: Sequence[Tensor]) -> None:
        for tensor in tensors:
            whole = tensor.contiguous()
            dist.broadcast(whole, 0)
            tensor.copy_(whole)

    def _share(self, batch: Batch) -> float:
        return len(batch.y) / batch.count

    def _rows(self, here: int, count: int) -> dict[int, tuple[int, int]]:
        return {here: (self.part.rows(count).start, count)}


def _consequence(error: BaseException) -> bool:
    """Whether an error says no more than that another process has gone."""
    return isinstance(error, dist.DistError) or "gloo" in str(error).lower()


def _sendable(error: BaseException) -> BaseException:
    """The error, or its words where it can't be sent."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    except Exception:  # noqa: BLE001 - many errors can't be pickled, in many ways
        return RuntimeError(words(error))
    return error


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Connection(int(sys.argv[3])))
