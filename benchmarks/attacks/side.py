"""A process of its own for each side, so that nobody runs under another's allocator, caches or global state.

    ours       as a worker: its allocator settings, its deterministic algorithms, the net in channels_last, CUDA graphs
    peers      the other libraries as they come: torch's memory layout, the C library's allocator
    favoured   the other libraries again, with our memory layout and our allocator's settings given to them

On a GPU everybody computes in float32: TF32, which torch allows convolutions by default, is off.

The parent lets one side run at a time. What a side answers has been measured inside it: no start, no transfer.
"""

from __future__ import annotations

import gc
import importlib
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.attacks import nets, ours
from benchmarks.attacks.cases import Case
from benchmarks.attacks.counting import Counted, Tally
from benchmarks.attacks.metering import Measured, peak_bytes, timed
from workers.engine.memory import keep_memory
from workers.engine.propagate import Eager, Graphed
from workers.models.torchvision_compat import torchvision_models

PEERS = ("torchattacks", "foolbox", "art", "pyautoattack")
OURS = ("ours", "ours, survivors")
SideName = Literal["ours", "peers", "favoured"]
SIDES: tuple[SideName, ...] = ("ours", "peers", "favoured")


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How a side's process is set up."""

    folder: Path  # of the trained nets
    device: str
    threads: int
    side: SideName


def samples_of(case: Case, *, quick: bool) -> tuple[Tensor, Tensor]:
    """The samples of a case, on the CPU: the first of the test split, without those of the target class."""
    count = case.quick_count if quick else case.count
    x, y = nets.samples(case.net, 2 * count if case.target is not None else count)
    if case.target is not None:
        keep = (y != case.target).nonzero().squeeze(1)[:count]
        x, y = x[keep], y[keep]
    return x, y


@dataclass(frozen=True)
class Once:
    """One call of an attack on a counted net."""

    tally: Tally
    measured: Measured[Tensor]
    peak_bytes: int | None


class Bench:
    """The attacks of one side, made ready as they are asked for."""

    def __init__(self, setup: Setup) -> None:
        self.setup, self.device = setup, torch.device(setup.device)
        set_up(setup.side, setup.threads, self.device)
        self.nets: dict[str, nn.Module] = {}
        self.propagators: dict[nn.Module, Graphed] = {}  # as a worker has one for each of its models on a GPU

    def supports(self, library: str, case: Case) -> bool:
        """Whether the library has the attack."""
        return self._attack(library, self._net(case.net), case) is not None

    def once(self, library: str, case: Case, *, quick: bool) -> Once:
        """One call with everything about it: what the net was asked for, what came out, seconds and memory."""
        counted = Counted(self._net(case.net)).eval()
        measured: list[Measured[Tensor]] = []
        attack = self._ready(library, counted, case, quick=quick)
        peak = peak_bytes(lambda: measured.append(timed(attack, self.device)), self.device)
        return Once(counted.tally, measured[0], peak)

    def time(self, library: str, case: Case, *, quick: bool) -> Measured[Tensor]:
        """One call of the bare net, measured."""
        return timed(self._ready(library, self._net(case.net), case, quick=quick), self.device)

    def looking(self, case: Case, *, quick: bool) -> Measured[Tensor]:
        """The two forwards that say what came of an attack: the clean samples and the results."""
        model, (x, _) = self._net(case.net), samples_of(case, quick=quick)
        x = x.to(self.device)

        def look() -> Tensor:
            with torch.no_grad():
                return torch.stack([model(x).argmax(dim=1) for _ in range(2)]).cpu()

        return timed(look, self.device)

    def _ready(self, library: str, model: nn.Module, case: Case, *, quick: bool) -> Callable[[], Tensor]:
        x, y = (part.to(self.device) for part in samples_of(case, quick=quick))
        attack = self._attack(library, model, case)
        assert attack is not None, f"{library} has no {case.key}"
        seed_everything()
        gc.collect()
        return lambda: attack(x, y).detach().cpu()

    def _net(self, name: str) -> nn.Module:
        if name not in self.nets:
            self.nets[name] = nets.net(name, self.setup.folder, self.device)
            if self.setup.side != "peers":
                self.nets[name].to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            if self.setup.side == "ours" and self.device.type == "cuda":
                self.propagators[self.nets[name]] = Graphed(self.nets[name])
        model = self.nets[name]
        model.eval().zero_grad(set_to_none=True)  # some leave it otherwise
        return model.requires_grad_(True)

    def _attack(self, library: str, model: nn.Module, case: Case) -> ours.Attack | None:
        if library in OURS:
            propagator = self.propagators.get(model, Eager())
            return ours.attack(model, case, propagator, survivors_only=library == OURS[1])
        found: ours.Attack | None = importlib.import_module(f"benchmarks.attacks.with_{library}").attack(model, case)
        return found


def set_up(side: SideName, threads: int, device: torch.device) -> None:
    """Make this process what its side has; ours is set up as `workers.run.device` sets up a worker."""
    torch.set_num_threads(threads)
    torchvision_models()  # some libraries import torchvision themselves, and fail where ours does not
    torch.backends.cudnn.allow_tf32 = False
    if side != "peers":
        keep_memory()
    if side == "ours":
        torch.use_deterministic_algorithms(mode=True, warn_only=device.type == "cuda")
        torch.utils.deterministic.fill_uninitialized_memory = False


def seed_everything() -> None:
    """Put the global random states, which the other libraries draw from, at a known place."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - it is this old state that they draw from
    random.seed(0)


def serve(pipe: Connection, make: Callable[[Any], object], setup: object) -> None:
    """Answer calls of what `make` makes of the setup until the pipe closes; an exception is an answer too."""
    bench = make(setup)
    while True:
        try:
            name, arguments, keywords = pipe.recv()
        except EOFError:
            return
        try:
            answer: Any = getattr(bench, name)(*arguments, **keywords)
        except Exception as error:  # noqa: BLE001 - a library that fails is a result, not the end of the benchmark
            answer = error if isinstance(error, RuntimeError) else RuntimeError(f"{type(error).__name__}: {error}")
        pipe.send(answer)


class Side:
    """A `Bench`, or what else is made of a setup, in another process."""

    def __init__(self, setup: object, make: Callable[[Any], object] = Bench) -> None:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, make, setup), daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        """Call a method of the bench; raises what it raised."""
        self._pipe.send((name, arguments, keywords))
        answer = self._pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(timeout=30)
