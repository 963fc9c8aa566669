"""Train on several devices of one host: one process for each, and this one, which starts them and speaks for them.

What `workers.engine.train` promises holds here too. Beside it:

* The processes take the same batches apart that one would take whole, so they give what one gives but for the order in
  which floats are added (docs/training.md has figures). Dropout draws other masks, and where a defense mixes means over
  several sets of pictures, with labels and without, parts that do not divide evenly weigh a little differently.
* Checkpoints are those of one process: a training may be resumed with any number of them.
* Only this process meets `monitor` and `save`; where one of them raises, the others are killed and the error passes. A
  process that dies ends the training with an error that says how, and none of them outlives this one.
"""

from __future__ import annotations

import copy
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch

from workers.data import Dataset
from workers.engine import train as alone
from workers.engine.feed import Feed
from workers.engine.monitor import TrainingMonitor
from workers.engine.train import SILENCE, UNWATCHED, Optimization, TrainResult, Validation
from workers.engine.train_validation import split
from workers.models import Classifier
from workers.recipe import Recipe

# Seconds that the cause of a failure has to show itself, where the first word is of a consequence.
_GRACE_S: Final = 2.0
_WAIT_S: Final = 0.2
# What such a process runs.
MEMBER: Final = "workers.engine.train_member"


class ProcessLost(RuntimeError):
    """Raised when a process of a training died; the training can be taken up again at its last checkpoint."""


@dataclass
class _Member:
    """A process, and what it says."""

    rank: int
    process: subprocess.Popen[bytes]
    told: Connection[Any, Any]
    ended: bool = False


def train(
    model: Classifier,
    dataset: Dataset,
    defense: Recipe,
    optimization: Optimization,
    *,
    devices: Sequence[torch.device],
    seed: int,
    validation: Validation = UNWATCHED,
    monitor: TrainingMonitor = SILENCE,
    resume: bytes | None = None,
    save: Callable[[bytes], None] | None = None,
    checkpoint_every_s: float = 60.0,
) -> TrainResult:
    """Train a copy of `model` on these devices, all of one kind; the result is where `model` is.

    Arguments and errors are those of `workers.engine.train.train`, and `ProcessLost`. One device is used where the
    defense can't share a batch out; never more devices than the smallest batch has samples.
    """
    alone.check(model, dataset, defense)
    given: dict[str, Any] = {
        "defense": defense,
        "optimization": optimization,
        "seed": seed,
        "validation": validation,
        "resume": resume,
        "checkpoint_every_s": checkpoint_every_s,
    }
    learned, _ = split(dataset, validation, seed)
    smallest = Feed(learned, defense, optimization.batch_size, seed).smallest
    chosen = tuple(devices[: smallest if defense.divisible else 1])
    if len(chosen) <= 1:
        return alone.train(model, dataset, monitor=monitor, save=save, **given)
    # Only the selected samples, and not the memory that they are a view of.
    samples = replace(dataset, x=dataset.x.cpu().clone(), y=dataset.y.cpu().clone())
    with tempfile.TemporaryDirectory(prefix="sparring-training-") as folder:
        made = {**given, "model": copy.deepcopy(model).cpu(), "dataset": samples}
        settings = {
            "devices": tuple(map(str, chosen)),
            "threads": torch.get_num_threads(),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "warn_only": torch.is_deterministic_algorithms_warn_only_enabled(),
            "keeps": save is not None,
        }
        Path(folder, "training").write_bytes(pickle.dumps((settings, made)))
        with _started(chosen, folder) as members:
            weights, history, probes, selected = _follow(members, monitor, save)
    trained = copy.deepcopy(model)
    trained.network.load_state_dict(safetensors.torch.load(weights))
    return TrainResult(trained.eval(), history, probes, selected, len(chosen))


@contextmanager
def _started(devices: Sequence[torch.device], folder: str) -> Iterator[list[_Member]]:
    """A process for each device; none is left when the block ends, however it ends."""
    members: list[_Member] = []
    try:
        for rank in range(len(devices)):
            here, there = Pipe()
            with there:
                # Of a session of its own, so that no signal to this process's group comes between.
                process = subprocess.Popen(
                    [sys.executable, "-m", MEMBER, folder, str(rank), str(there.fileno())],
                    pass_fds=[there.fileno()],
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                    start_new_session=True,
                )
            members.append(_Member(rank, process, here))
        yield members
    finally:
        for member in members:
            member.process.kill()
        for member in members:
            member.process.wait()
            member.told.close()


def _follow(
    members: Sequence[_Member], monitor: TrainingMonitor, save: Callable[[bytes], None] | None
) -> tuple[Any, ...]:
    """Hand on what the processes say until the first one is done; its last words."""
    asked = False
    while True:
        talking = [member for member in members if not member.ended]
        wait([member.told for member in talking], timeout=_WAIT_S)
        if not asked and monitor.checkpoint_wanted():
            asked = _ask_for_checkpoint(members[0])
        for member in talking:
            while (said := _next(member)) is not None:
                match said:
                    case ("tick", fraction, message):
                        monitor.tick(fraction, message)
                    case ("metric", name, value, epoch):
                        monitor.metric(name, value, epoch)
                    case ("save", checkpoint):
                        assert save is not None
                        asked = False
                        save(checkpoint)
                    case ("done", *result):
                        return tuple(result)
                    case ("failed", error, consequence):
                        raise _cause(members, member, None if consequence else error) from error
            if member.ended and member.process.poll() != 0:
                raise _cause(members, member, None)


def _ask_for_checkpoint(first: _Member) -> bool:
    """Ask the first process for one; whether it could be asked."""
    try:
        first.told.send(True)
    except OSError:
        return False
    return True


def _next(member: _Member) -> tuple[Any, ...] | None:
    """What a process says next; None where it says nothing now. Notes its end."""
    try:
        if not member.told.poll():
            return None
        said: tuple[Any, ...] = member.told.recv()
    except (EOFError, OSError):
        member.ended = True
        with suppress(subprocess.TimeoutExpired):
            member.process.wait(_GRACE_S)
        return None
    return said


def _cause(members: Sequence[_Member], first: _Member, error: BaseException | None) -> BaseException:
    """The error of a training that failed, `first` having said so: a process that was killed comes before all else."""
    until = time.monotonic() + _GRACE_S
    while error is None and time.monotonic() < until:
        killed = next((one for one in members if (one.process.poll() or 0) < 0), None)
        if killed is not None:
            return ProcessLost(_lost(killed, len(members)))
        for member in members:
            said = None if member.ended else _next(member)
            if said is not None and said[0] == "failed" and not said[2]:
                return _raisable(said[1])
        time.sleep(0.05)
    return ProcessLost(_lost(first, len(members))) if error is None else _raisable(error)


def _raisable(error: BaseException) -> BaseException:
    """The error of another process; what would end this one is put into words."""
    return error if isinstance(error, Exception) else RuntimeError(repr(error))


def _lost(member: _Member, size: int) -> str:
    """How a process ended, in words."""
    code = member.process.poll()
    how = "lost its connection" if code is None else f"ended with exit code {code}"
    if code is not None and code < 0:
        how = f"was killed by {signal.Signals(-code).name}"
    return f"process {member.rank + 1} of the {size} that trained together {how}; try again from the last checkpoint"
