"""The trainings of one side, in a process of their own; see benchmarks/attacks/side.py."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from typing import Any

import torch

from benchmarks.attacks.counting import Counted, Tally
from benchmarks.attacks.metering import Measured, peak_bytes, timed
from benchmarks.attacks.side import SideName, seed_everything, set_up
from benchmarks.training.cases import Case
from benchmarks.training.nets import net
from workers.data import builtin
from workers.models import save

CPU = torch.device("cpu")
COUNTED = 2  # batches


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How a side's process is set up."""

    side: SideName
    threads: int


@dataclass(frozen=True)
class Count:
    """What an epoch of some batches asked of the net, and the memory that it took."""

    samples: int
    tally: Tally
    peak_bytes: int | None


class Bench:
    """Trainers under way, by their name and case."""

    def __init__(self, setup: Setup) -> None:
        set_up(setup.side, setup.threads, CPU)
        self.side = setup.side
        self.trainers: dict[tuple[str, str], Any] = {}

    def count(self, trainer: str, case: Case) -> Count:
        """The passes of two batches; their network counts, and so does every copy that a trainer makes of it.

        The same is done once before, so that what a library loads when it is first used is nobody's peak.
        """
        few = replace(case, digits=COUNTED * case.batch_size, epochs=1)
        self._trainer(trainer, net(case.net), few).epoch()
        model = net(case.net)
        counted = model.network = Counted(model.network)
        under_way = self._trainer(trainer, model, few)
        peak = peak_bytes(under_way.epoch, CPU)
        return Count(few.digits, counted.tally, peak)

    def begin(self, trainer: str, case: Case) -> None:
        """Make ready what `epoch` goes on with."""
        self.trainers[trainer, case.key] = self._trainer(trainer, net(case.net), case)

    def epoch(self, trainer: str, case: Case) -> Measured[None]:
        """One more epoch."""
        return timed(self.trainers[trainer, case.key].epoch, CPU)

    def trained(self, trainer: str, case: Case) -> bytes:
        """The weights after the last epoch."""
        return save(self.trainers.pop((trainer, case.key)).trained())

    def _trainer(self, trainer: str, model: Any, case: Case) -> Any:
        if self.side != "peers":
            model.to(memory_format=torch.channels_last)
        seed_everything()
        made = importlib.import_module(f"benchmarks.training.{trainer}")
        return made.Trainer(model, builtin("mnist10k", "train").select(0, case.digits), case)
