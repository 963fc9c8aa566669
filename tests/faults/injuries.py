"""What is done to the processes: when, to whom and in which order follows from random numbers with a seed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Sequence
from time import monotonic

from redis.exceptions import RedisError

from . import facts
from .runs import Run
from .stack import alive

# A unit that was lost twice is spared: the third time would quarantine its job, as it should.
SPARED_ATTEMPT = 3
# So many workers must be there before the next one is killed, or nothing would be left to recover.
LEFT_READY = 2
# A worker takes this long to be back, at the very worst.
LONGEST_S = 20.0


class ChildKiller:
    """Kills computing processes: `count` of them at random moments, and one at each of the points."""

    def __init__(self, run: Run, rng: random.Random, count: int, points: Sequence[str]) -> None:
        self._run, self._rng, self._left = run, rng, count
        self.pending = list(points)
        self._log_at = 0
        self._next_at = monotonic()

    def work(self) -> None:
        """Return when all of them were killed."""
        deadline = monotonic() + LONGEST_S * (self._left + len(self.pending))
        self._log_at = self._run.stack.points.stat().st_size
        while self._left > 0 or self.pending:
            assert monotonic() < deadline, f"{self._left} kills and the points {self.pending} are left"
            self._at_points()
            if self._left > 0 and monotonic() >= self._next_at:
                self._at_random()
            time.sleep(0.01)

    def _at_points(self) -> None:
        """Read the points that were reached since the last look; a process pauses at each, and may be killed there."""
        with self._run.stack.points.open("rb") as log:
            log.seek(self._log_at)
            reached = log.read()
        complete = reached[: reached.rfind(b"\n") + 1]
        self._log_at += len(complete)
        for line in complete.decode().splitlines():
            point, _, pid = line.split()
            if point in self.pending and self._kill(int(pid)):
                self.pending.remove(point)

    def _at_random(self) -> None:
        holders = sorted(self._run.stack.holders())
        if holders and self._kill(self._rng.choice(holders)):
            self._left -= 1
            self._next_at = monotonic() + self._rng.uniform(0.0, 0.6)

    def _kill(self, pid: int) -> bool:
        stack = self._run.stack
        if len(left(self._run) - {pid}) < LEFT_READY or spared(self._run, pid):
            return False
        self._run.lost_at[pid] = time.time()
        return stack.send(pid, signal.SIGKILL, "kill child")


def left(run: Run) -> set[int]:
    """The computing processes that nothing was done to yet; a busy machine takes a while to bury the others."""
    return run.stack.ready() - run.lost_at.keys()


def spared(run: Run, pid: int) -> bool:
    """Whether the unit that the process holds may not be lost once more."""
    held = facts.holding(run.stack.redis, pid)
    return held is not None and held[2] >= SPARED_ATTEMPT


def kill_parents(run: Run, rng: random.Random, count: int) -> None:
    """Kill Celery's parents, every other time with their whole group, while their children hold a unit."""
    stack, deadline = run.stack, monotonic() + LONGEST_S * count
    done = 0
    while done < count:
        assert monotonic() < deadline, f"{done} of {count} parents were killed"
        parents = {name: pid for name, pid in stack.parents().items() if stack.child(name) in stack.holders()}
        if len(left(run)) <= LEFT_READY or not parents:
            time.sleep(0.02)
            continue
        name = rng.choice(sorted(parents))
        child = stack.child(name)
        if not spared(run, child):
            run.lost_at[child] = time.time()
            group = done % 2 == 1
            done += stack.send(parents[name], signal.SIGKILL, "kill group" if group else "kill parent", group=group)
        time.sleep(rng.uniform(0.0, 0.4))


def kill_store(run: Run, rng: random.Random, count: int) -> list[float]:
    """Kill the store, each time after it has answered for a while; seconds until it answered again."""
    stack, back_s = run.stack, []
    for _ in range(count):
        time.sleep(rng.uniform(0.2, 1.0))
        pid = stack.local.pid("store")
        assert stack.send(pid, signal.SIGKILL, "kill store")
        began = monotonic()
        while stack.local.pid("store") == pid or not answers(run):
            assert monotonic() - began < 30, "the store does not come back"
            time.sleep(0.02)
        back_s.append(monotonic() - began)
    return back_s


def answers(run: Run) -> bool:
    """Whether the store answers and has loaded everything."""
    try:
        return not run.stack.redis.info("persistence")["loading"]
    except (RedisError, OSError):
        return False


def freeze(run: Run, pids: Sequence[int], seconds: float) -> None:
    """Stop processes for so long, and let them go on: what a long pause of a machine looks like."""
    stopped = [pid for pid in pids if run.stack.send(pid, signal.SIGSTOP, "freeze")]
    for pid in stopped:
        run.lost_at[pid] = time.time()
    try:
        time.sleep(seconds)
    finally:
        for pid in stopped:
            if alive(pid):
                os.kill(pid, signal.SIGCONT)
