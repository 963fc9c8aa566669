"""Named points at which a fault suite may make this process die, freeze, fail or wait; none does unless asked to.

    SPARRING_FAULTS       rules, joined by commas: POINT:ACTION[:PROBABILITY[:TIMES]]      none
                          ACTION: kill, stop (SIGSTOP), exit, fail (raises OSError), or seconds to wait, e.g. 0.5
    SPARRING_FAULTS_SEED  seed of the probabilities; mixed with the process id's turn in the log   0
    SPARRING_FAULTS_LOG   a file to which every injection is added, before it happens: a line `POINT ACTION PID`

    faultpoints.reach("worker.claimed")

The points, and what has just happened at each, are listed in `POINTS`; a rule for any other name is an error.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

POINTS = {
    "worker.claimed": "the store has given a unit, nothing was done with it",
    "worker.computed": "a unit's result is there, nothing of it was kept",
    "worker.put": "a unit's file is in the store, its commit was not sent",
    "worker.committed": "the commit, the finish or the failure was answered, the worker has not gone on",
    "worker.checkpointed": "a training's checkpoint is in the store, the lease does not know of it",
    "worker.finishing": "the closing unit's files are in the store, the finish was not sent",
    "worker.releasing": "a worker that drains is about to give its unit back",
    "gateway.received": "a mutation has been authenticated and decoded, nothing was done",
    "gateway.answering": "the store has done what was asked, the answer was not sent",
    "gateway.chunk_kept": "a part of an upload is in the store, nobody was told",
    "gateway.event_sent": "an event of a watch was handed over",
    "gateway.chunk_sent": "a part of a download was handed over",
    "artifacts.part_written": "bytes are in the store of bytes outside, the store of jobs does not count them yet",
    "artifacts.written": "a worker's bytes are all written, they are no artifact yet",
    "artifacts.bytes_deleted": "what was discarded is gone from the store of bytes outside, and still on the list",
    "reaper.swept": "lapsed leases were taken back, bells not yet rung",
}


@dataclass
class _Rule:
    """What is to happen at one point."""

    action: str
    probability: float = 1.0
    times: float = float("inf")


@dataclass
class _Plan:
    """The rules of this process."""

    rules: dict[str, _Rule] = field(default_factory=dict)
    log: str = ""
    random: random.Random = field(default_factory=random.Random)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> _Plan:
        text, log = environ.get("SPARRING_FAULTS", ""), environ.get("SPARRING_FAULTS_LOG", "")
        rules = dict(_rule(part) for part in text.split(",") if part)
        # Processes that share a seed and a log differ by how much had happened when each began.
        turn = Path(log).stat().st_size if rules and log and Path(log).exists() else 0
        seed = f"{environ.get('SPARRING_FAULTS_SEED', '0')} {turn}"
        return cls(rules, log, random.Random(seed))  # noqa: S311 - repeatable, not secret


def _rule(text: str) -> tuple[str, _Rule]:
    point, _, rest = text.partition(":")
    if point not in POINTS or not rest:
        raise ValueError(f"SPARRING_FAULTS: {text!r} is not POINT:ACTION[:PROBABILITY[:TIMES]] of a known point")
    action, *numbers = rest.split(":")
    return point, _Rule(action, *map(float, numbers))


_plan = _Plan.from_env(os.environ)


def reach(point: str) -> None:
    """Say that a point was reached; returns at once unless a rule is due there."""
    if _plan.rules and (rule := _plan.rules.get(point)) is not None:
        _perhaps(point, rule)


def configure(environ: Mapping[str, str]) -> None:
    """Take other rules than those this process was started with; `{}` for none."""
    global _plan  # noqa: PLW0603 - one plan for the process is the point of it
    _plan = _Plan.from_env(environ)


def _perhaps(point: str, rule: _Rule) -> None:
    if rule.times <= 0 or _plan.random.random() >= rule.probability:
        return
    rule.times -= 1
    if _plan.log:
        with Path(_plan.log).open("ab", buffering=0) as log:
            log.write(f"{point} {rule.action} {os.getpid()}\n".encode())
    _act(point, rule.action)


def _act(point: str, action: str) -> None:
    if action in {"kill", "stop"}:
        os.kill(os.getpid(), signal.SIGKILL if action == "kill" else signal.SIGSTOP)
    elif action == "exit":
        os._exit(1)
    elif action == "fail":
        _fail(point)
    else:
        time.sleep(float(action))


def _fail(point: str) -> NoReturn:
    raise OSError(f"a fault was asked for at {point}")
