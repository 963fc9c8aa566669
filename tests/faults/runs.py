"""One run: load, injections, and afterwards the invariants, the recovery times and a row of the table."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from . import facts
from .history import Event, History, worker_pid
from .invariants import Violation, check
from .load import Load, references
from .results import Row, p99
from .stack import LEASE_S, FaultStack

# How long after the injection a lost unit may be taken again: what the lease lasts, the sweep, and somebody free.
RECOVERY_S = LEASE_S + 3.0
KILLS = ("kill",)


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """A unit that was taken away from a process, and then taken by another, `seconds` later.

    `told_s` is when the store knew, by the worker's parent or by the end of the lease, and `cause` what it was told.
    """

    job: str
    unit: int
    seconds: float
    told_s: float
    cause: str


@dataclass
class Run:
    """What a run has done so far; `lost_at` says when a computing process was taken away, by its pid."""

    stack: FaultStack
    load: Load
    lost_at: dict[int, float] = field(default_factory=dict)
    recoveries_s: list[float] = field(default_factory=list)
    recoveries: list[Recovery] = field(default_factory=list)
    histories: list[History] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)

    def lost_units(self) -> int:
        """How many leases were taken back."""
        return self.lost_causes().total()

    def lost_causes(self) -> Counter[str]:
        """Why leases were taken back."""
        events = [event for history in self.histories for event in history.events]
        return Counter(event.cause for event in events if event.change == "lost")

    def slowest(self) -> str:
        """The recoveries that took longest, for people."""
        worst = sorted(self.recoveries, key=lambda recovery: -recovery.seconds)[:5]
        return "; ".join(
            f"{one.job}/{one.unit} after {one.seconds:.2f} s (known after {one.told_s:.2f} s: {one.cause})"
            for one in worst
        )

    def claims(self) -> int:
        """How many units were taken."""
        return sum(event.change == "claimed" for history in self.histories for event in history.events)


@dataclass
class Bench:
    """A stack, and what the jobs of the load come to on it when nothing happens."""

    stack: FaultStack
    expected: Mapping[str, str]

    @classmethod
    def prepare(cls, stack: FaultStack) -> Bench:
        """Train, compute the references, and look at what the processes hold."""
        with stack.client() as client:
            bench = cls(stack, references(client))
        stack.note_files()
        return bench

    @contextmanager
    def run(
        self,
        fault: str,
        rng: random.Random,
        report: Callable[[Row], None],
        *,
        recovery_s: float | None = RECOVERY_S,
        **load: object,
    ) -> Iterator[Run]:
        """Load while the body injects; leaving waits for every job's end and fails where an invariant does."""
        stack = self.stack
        stack.wait_until_whole()
        before = Counter(stack.injected)
        run = Run(stack, Load(stack, self.expected, rng, **load))
        try:
            with run.load:
                yield run
            self._judge(run)
        finally:
            report(self._row(fault, run, stack.injected - before))
        assert stack.injected - before, "a run that injected nothing proves nothing"
        assert run.load.accepted, "a run without load proves nothing"
        assert not run.violations, "\n".join(map(str, run.violations[:20]))
        worst = p99(run.recoveries_s)
        assert worst is None or recovery_s is None or worst <= recovery_s, f"p99 {worst:.2f} s; {run.slowest()}"

    def _judge(self, run: Run) -> None:
        stack = self.stack
        stack.wait_until_whole()
        stack.wait_for(lambda: not stack.orphans(), "processes of killed workers end")
        run.histories = run.load.histories()
        left = [*stack.orphans(), *stack.leaked_files()]
        found = facts.read(stack.redis, processes=left)
        assert len(found.jobs) >= len(run.histories), "the keys are not where they are looked for"
        assert found.counters["bytes of default"][1] > 0, "the keys are not where they are looked for"
        run.violations = check(run.histories, found)
        run.recoveries = recoveries(run.histories, run.lost_at)
        run.recoveries_s += [recovery.seconds for recovery in run.recoveries]

    def _row(self, fault: str, run: Run, injected: Counter[str]) -> Row:
        found = Counter(violation.invariant for violation in run.violations)
        return Row(
            fault=fault,
            store=self.stack.store,
            runs=1,
            injections=injected.total(),
            kills=sum(count for name, count in injected.items() if name.startswith(KILLS)),
            jobs=len(run.load.accepted),
            lost=found["I1"],
            double_commits=found["I2"],
            wrong_digests=found["I3"],
            recovery_p99_s=p99(run.recoveries_s),
        )


def recoveries(histories: Iterable[History], lost_at: Mapping[int, float]) -> list[Recovery]:
    """From the moment that a worker was taken away to the next claim of the unit that it held."""
    found = []
    for history in histories:
        lost: dict[int, Event] = {}
        for event in history.events:
            if event.unit is None:
                continue
            if event.change == "lost" and worker_pid(event.worker) in lost_at:
                lost[event.unit] = event
            elif event.change == "claimed" and event.unit in lost:
                told = lost.pop(event.unit)
                began_s = lost_at[worker_pid(told.worker)]
                found.append(
                    Recovery(
                        job=history.job,
                        unit=event.unit,
                        seconds=event.time_s - began_s,
                        told_s=told.time_s - began_s,
                        cause=told.cause,
                    )
                )
    return found
