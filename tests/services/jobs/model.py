"""What the store should be after any calls: jobs, tenants and a clock in plain Python, without a server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from services.jobs.record import NewJob, Quota, Usage
from services.jobs.states import TERMINAL, State

LEASE_MS, IDLE_MS = 15_000, 2_000
IN_USE = {State.RUNNING, State.CANCELLING}
LOST = TERMINAL - {State.SUCCEEDED}


@dataclass
class Job:
    """What a job should be."""

    new: NewJob
    place: int
    state: State = State.QUEUED
    open: set[int] = field(default_factory=set)
    leased: dict[int, int] = field(default_factory=dict)
    deadline: dict[int, int] = field(default_factory=dict)
    committed: dict[int, tuple[int, str]] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    # When its limits are over.
    due: dict[str, int] = field(default_factory=dict)
    idle_since: int | None = None
    # What it waits for; nothing once it has gone on.
    after: set[str] = field(default_factory=set)
    # Events that were read, and the last state among them.
    read: int = 0
    told: State | None = None

    def queue(self, place: int, now: int) -> None:
        self.place, self.state, self.attempts = place, State.QUEUED, {}
        self.due = {"deadline": now + self.new.deadline_ms} if self.new.deadline_ms else {}

    def waits(self) -> bool:
        return self.state is State.QUEUED and bool(self.after)

    def set_off(self, now: int) -> None:
        self.after = set()
        if self.new.queue_ms:
            self.due["queue"] = now + self.new.queue_ms
        rest = set(range(self.new.units)) - set(self.committed)
        self.open = rest or {self.new.units}

    def become(self, state: State) -> None:
        self.state = state
        if state is not State.QUEUED:
            self.due.pop("queue", None)

    def end(self, state: State) -> None:
        self.become(state)
        self.due, self.open = {}, set()
        self.leased.clear()

    def take_back(self, unit: int, now: int) -> None:
        del self.leased[unit], self.deadline[unit]
        if not self.leased:
            self.idle_since = now
            if self.state is State.CANCELLING:
                self.end(State.CANCELLED)

    def reopen(self, unit: int) -> None:
        self.open.add(unit)
        if not self.leased:
            self.become(State.QUEUED)

    def lose(self, unit: int, now: int) -> None:
        self.take_back(unit, now)
        if self.state is State.RUNNING and self.attempts[unit] >= 3:
            self.end(State.QUARANTINED)
        elif self.state is State.RUNNING:
            self.reopen(unit)


@dataclass
class World:
    """What the store should be."""

    now: int = 0
    places: int = 0
    turn: float = 0.0
    jobs: dict[str, Job] = field(default_factory=dict)
    quotas: dict[str, Quota] = field(default_factory=dict)
    turns: dict[str, float] = field(default_factory=dict)

    def of(self, tenant: str) -> Iterator[Job]:
        return (job for job in self.jobs.values() if job.new.tenant == tenant)

    def queue(self, job: Job) -> None:
        """Queue a job at the end, and let it go on unless it waits."""
        self.places += 1
        job.queue(self.places, self.now)
        if all(self.jobs[name].state is State.SUCCEEDED for name in job.after):
            job.set_off(self.now)

    def in_vain(self, after: set[str]) -> bool:
        return any(name not in self.jobs or self.jobs[name].state in LOST for name in after)

    def settle(self) -> None:
        """After jobs have ended: who waited for them goes on, or fails in turn."""
        waiting = [job for job in self.jobs.values() if job.waits()]
        for job in waiting:
            states = {self.jobs[name].state for name in job.after}
            if states & LOST:
                job.end(State.FAILED)
                self.settle()
                return
            if states == {State.SUCCEEDED}:
                job.set_off(self.now)

    def quota(self, tenant: str) -> Quota:
        return self.quotas.get(tenant, Quota())

    def usage(self, tenant: str) -> Usage:
        jobs = list(self.of(tenant))
        return Usage(
            queued_jobs=sum(job.state is State.QUEUED for job in jobs),
            running_jobs=sum(job.state in IN_USE for job in jobs),
            artifact_bytes=0,
            giga_ops=round(sum(job.new.giga_ops for job in jobs if job.state not in TERMINAL), 3),
        )

    def refused(self, tenant: str, giga_ops: float) -> str | None:
        """The limit that refuses the tenant such a job."""
        usage, quota = self.usage(tenant), self.quota(tenant)
        if quota.max_queued_jobs and usage.queued_jobs >= quota.max_queued_jobs:
            return "max_queued_jobs"
        if quota.max_giga_ops and round(usage.giga_ops + giga_ops, 3) > quota.max_giga_ops:
            return "max_giga_ops"
        return None

    def leased(self, tenant: str) -> int:
        return sum(len(job.leased) for job in self.of(tenant))

    def take(self, lane: str) -> tuple[Job, int] | None:
        """Whose unit is next on a lane; takes it."""
        offers = []
        for job in self.jobs.values():
            tenant = job.new.tenant
            quota, running = self.quota(tenant), self.usage(tenant).running_jobs
            limited = quota.max_running_jobs and running >= quota.max_running_jobs
            if job.open and job.new.lane in {"any", lane} and not (limited and job.state is State.QUEUED):
                share = self.leased(tenant) / quota.weight
                offers.append((share, max(self.turns.get(tenant, 0.0), self.turn), job.place, job.new.id))
        if not offers:
            return None
        _, self.turn, _, name = min(offers)
        job = self.jobs[name]
        self.turns[job.new.tenant] = self.turn + 1 / self.quota(job.new.tenant).weight
        unit = min(job.open)
        job.open.discard(unit)
        job.attempts[unit] = job.attempts.get(unit, 0) + 1
        return job, unit

    def lease(self, job: Job, unit: int, token: int) -> None:
        job.leased[unit], job.deadline[unit] = token, self.now + LEASE_MS
        job.become(State.RUNNING)
        job.idle_since = None

    def reap(self) -> tuple[int, int]:
        """Leases that were taken back, and jobs that were ended for their limits."""
        overdue = sorted((time, f"{name}/{what}") for name, job in self.jobs.items() for what, time in job.due.items())
        ended = 0
        for time, member in overdue:
            name, _, what = member.partition("/")
            job = self.jobs[name]
            if time <= self.now and what in job.due:
                job.end(State.CANCELLED if job.state is State.CANCELLING else State.FAILED)
                self.settle()
                ended += 1
        expired = sorted(
            (job.deadline[unit], name, unit)
            for name, job in self.jobs.items()
            for unit in job.leased
            if job.deadline[unit] <= self.now
        )
        for _, name, unit in expired:
            if unit in self.jobs[name].leased:
                self.jobs[name].lose(unit, self.now)
                self.settle()
        for job in self.jobs.values():
            waited = job.idle_since is not None and self.now - job.idle_since >= IDLE_MS
            if job.state is State.RUNNING and job.open and not job.leased and waited:
                job.become(State.QUEUED)
        return len(expired), ended
