"""The state machine against a model of it: any order of calls, repeated, late or stale, on a real server.

After every step the indices are compared with the model, and the events are read as a client would read them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.errors import AlreadyExists, FailedPrecondition, InvalidArgument, LeaseLost, NotFound
from services.jobs import functions
from services.jobs.record import Lease, NewJob, Verdict
from services.jobs.states import TERMINAL, TRANSITIONS, State
from services.jobs.store import JobStore

ANY = st.integers(0, 3)
LANES = st.sampled_from(["cpu", "gpu"])
KEY = "{sparring}:"
LEASE_MS, IDLE_MS = 15_000, 2_000


@dataclass
class Model:
    """What a job should be."""

    new: NewJob
    place: int
    state: State = State.QUEUED
    open: set[int] = field(default_factory=set)
    leased: dict[int, int] = field(default_factory=dict)
    deadline: dict[int, int] = field(default_factory=dict)
    committed: dict[int, tuple[int, str]] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    idle_since: int | None = None
    # Events that were read, and the last state among them.
    read: int = 0
    told: State | None = None

    def open_rest(self) -> None:
        rest = set(range(self.new.units)) - set(self.committed)
        self.open = rest or {self.new.units}

    def end(self, state: State) -> None:
        self.state, self.open = state, set()
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
            self.state = State.QUEUED


class Machine(RuleBasedStateMachine):
    redis: Any
    clock_type: Any

    def __init__(self) -> None:
        super().__init__()
        self.redis.flushdb()
        self.clock = self.clock_type(self.redis)
        self.store = JobStore(self.redis)
        self.now = 0
        self.jobs: dict[str, Model] = {}
        self.deleted: list[str] = []
        self.requests: list[NewJob] = []
        self.claims: list[tuple[str, Lease]] = []
        self.ended_by: dict[int, str] = {}
        self.places = self.token = 0

    # What clients do

    @initialize(lane=st.sampled_from(["any", "cpu"]), units=st.integers(0, 3))
    def begin(self, lane: str, units: int) -> None:
        self.submit(lane, units, with_request=True)

    @precondition(lambda self: len(self.requests) < 3)
    @rule(lane=st.sampled_from(["any", "cpu", "gpu"]), units=st.integers(0, 3), with_request=st.booleans())
    def submit(self, lane: str, units: int, *, with_request: bool) -> None:
        name = f"j{len(self.requests)}"
        new = NewJob(
            id=name,
            kind="attack",
            lane=lane,
            spec=b"s",
            spec_hash=name,
            units=units,
            request_id=f"r-{name}" if with_request else "",
        )
        self.requests.append(new)
        self.places += 1
        self.jobs[name] = Model(new, self.places)
        self.jobs[name].open_rest()
        assert self.store.submit(new).id == name

    @rule(which=ANY, other_id=st.booleans())
    def submit_again(self, which: int, *, other_id: bool) -> None:
        new = self.requests[which % len(self.requests)]
        if new.id not in self.jobs:
            return
        if other_id and new.request_id:
            assert self.store.submit(NewJob(**{**vars(new), "id": "unused"})).id == new.id
            with pytest.raises(InvalidArgument):
                self.store.submit(NewJob(**{**vars(new), "spec_hash": "other"}))
        else:
            assert self.store.submit(new).state is self.jobs[new.id].state
            with pytest.raises(AlreadyExists):
                self.store.submit(NewJob(**{**vars(new), "spec_hash": "other", "request_id": ""}))

    @rule(which=ANY)
    def cancel(self, which: int) -> None:
        name, job = self.pick(which)
        if job.state in TERMINAL - {State.CANCELLED}:
            with pytest.raises(FailedPrecondition):
                self.store.cancel("default", name)
            return
        if job.state is State.QUEUED or (job.state is State.RUNNING and not job.leased):
            job.end(State.CANCELLED)
        elif job.state is State.RUNNING:
            job.state, job.open = State.CANCELLING, set()
        assert self.store.cancel("default", name).state is job.state

    @rule(which=ANY)
    def retry(self, which: int) -> None:
        name, job = self.pick(which)
        if job.state not in TERMINAL - {State.SUCCEEDED}:
            with pytest.raises(FailedPrecondition):
                self.store.retry("default", name)
            return
        self.places += 1
        job.state, job.place, job.attempts = State.QUEUED, self.places, {}
        job.open_rest()
        assert self.store.retry("default", name).state is State.QUEUED

    @rule(which=ANY)
    def delete(self, which: int) -> None:
        if len(self.jobs) == 1:
            return
        name, job = self.pick(which)
        if job.state not in TERMINAL:
            with pytest.raises(FailedPrecondition):
                self.store.delete("default", name)
            return
        self.store.delete("default", name)
        del self.jobs[name]
        self.deleted.append(name)

    # What workers do

    @rule(lane=LANES)
    def claim(self, lane: str) -> None:
        claim_id = f"c{len(self.claims)}-{self.now}-{lane}"
        ready = [(job.place, name) for name, job in self.jobs.items() if job.open and job.new.lane in {"any", lane}]
        lease = self.store.claim(claim_id, "w", lane, LEASE_MS)
        if not ready:
            assert lease is None
            return
        assert lease is not None
        name = min(ready)[1]
        job = self.jobs[name]
        unit = min(job.open)
        job.attempts[unit] = job.attempts.get(unit, 0) + 1
        assert (lease.job_id, lease.unit, lease.attempt) == (name, unit, job.attempts[unit])
        assert lease.closing == (unit == job.new.units)
        assert lease.token > self.token
        self.token = lease.token
        job.open.discard(unit)
        job.leased[unit], job.deadline[unit] = lease.token, self.now + LEASE_MS
        job.state, job.idle_since = State.RUNNING, None
        self.claims.append((claim_id, lease))

    @precondition(lambda self: self.claims)
    @rule(which=ANY)
    def claim_again(self, which: int) -> None:
        claim_id, lease = self.claims[-1 - which % len(self.claims)]
        again = self.store.claim(claim_id, "w", "cpu", LEASE_MS)
        if lease.job_id not in self.jobs:
            assert again is None
        else:
            assert again is not None
            assert (again.job_id, again.unit, again.token) == (lease.job_id, lease.unit, lease.token)

    @precondition(lambda self: self.claims)
    @rule(which=ANY, fraction=st.sampled_from([None, 0.0, 0.25, 0.251, 1.0]))
    def renew(self, which: int, fraction: float | None) -> None:
        lease, job = self.pick_lease(which)
        progress = None if fraction is None else {"fraction": fraction, "message": "m"}
        verdict = self.store.renew(lease, "w", LEASE_MS, progress=progress)
        if job is None:
            assert verdict is Verdict.LOST
            return
        job.deadline[lease.unit] = self.now + LEASE_MS
        assert verdict is (Verdict.CANCEL if job.state is State.CANCELLING else Verdict.OK)

    @precondition(lambda self: self.claims)
    @rule(which=ANY, digest=st.sampled_from(["a", "b"]))
    def commit(self, which: int, digest: str) -> None:
        lease, job = self.pick_lease(which)
        kept = self.jobs[lease.job_id].committed.get(lease.unit) if lease.job_id in self.jobs else None
        if kept is not None and kept[0] == lease.token:
            if kept[1] == digest:
                assert self.store.commit(lease, "w", digest, {}) is False
            else:
                self.refused(FailedPrecondition, lambda: self.store.commit(lease, "w", digest, {}))
        elif job is None:
            self.refused(LeaseLost, lambda: self.store.commit(lease, "w", digest, {}))
        elif lease.closing:
            self.refused(FailedPrecondition, lambda: self.store.commit(lease, "w", digest, {}))
        else:
            assert self.store.commit(lease, "w", digest, {}) is True
            job.committed[lease.unit] = (lease.token, digest)
            self.ended_by[lease.token] = "commit"
            job.take_back(lease.unit, self.now)
            if job.state is State.RUNNING and len(job.committed) == job.new.units:
                job.open.add(job.new.units)

    @precondition(lambda self: self.claims)
    @rule(which=ANY)
    def finish(self, which: int) -> None:
        lease, job = self.pick_lease(which)
        if job is None:
            self.late(lease, "end", lambda: self.store.finish(lease, "w", b"result", None))
        elif job.state is State.CANCELLING:
            self.store.finish(lease, "w", b"result", None)
            self.ended_by[lease.token] = "end"
            job.take_back(lease.unit, self.now)
        elif not lease.closing:
            self.refused(FailedPrecondition, lambda: self.store.finish(lease, "w", b"result", None))
        else:
            self.store.finish(lease, "w", b"result", None)
            self.ended_by[lease.token] = "end"
            job.committed[lease.unit] = (lease.token, "")
            job.end(State.SUCCEEDED)

    @precondition(lambda self: self.claims)
    @rule(which=ANY)
    def fail(self, which: int) -> None:
        lease, job = self.pick_lease(which)
        if job is None:
            self.late(lease, "end", lambda: self.store.fail(lease, "w", b"error"))
            return
        self.store.fail(lease, "w", b"error")
        self.ended_by[lease.token] = "end"
        if job.state is State.CANCELLING:
            job.take_back(lease.unit, self.now)
        else:
            job.end(State.FAILED)

    @precondition(lambda self: self.claims)
    @rule(which=ANY)
    def release(self, which: int) -> None:
        lease, job = self.pick_lease(which)
        if job is None:
            self.late(lease, "release", lambda: self.store.release(lease, "w"))
            return
        self.store.release(lease, "w")
        self.ended_by[lease.token] = "release"
        job.attempts[lease.unit] -= 1
        job.take_back(lease.unit, self.now)
        if job.state is State.RUNNING:
            job.reopen(lease.unit)

    @precondition(lambda self: self.claims)
    @rule(which=ANY)
    def stopped(self, which: int) -> None:
        lease, job = self.pick_lease(which)
        if job is None:
            self.late(lease, "end", lambda: self.store.stopped(lease, "w"))
        elif job.state is not State.CANCELLING:
            self.refused(FailedPrecondition, lambda: self.store.stopped(lease, "w"))
        else:
            self.store.stopped(lease, "w")
            self.ended_by[lease.token] = "end"
            job.take_back(lease.unit, self.now)

    # What time does

    @rule(seconds=st.sampled_from([1, 10, 20]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds * 1000)
        self.now += seconds * 1000

    @rule(jump=st.booleans())
    def reap(self, *, jump: bool) -> None:
        if jump:
            self.time_passes(20)
        expired = [
            (deadline, name, unit)
            for name, job in self.jobs.items()
            for unit, deadline in job.deadline.items()
            if unit in job.leased and deadline <= self.now
        ]
        assert self.store.reap(100) == len(expired)
        for _, name, unit in sorted(expired):
            job = self.jobs[name]
            if unit not in job.leased:
                continue
            job.take_back(unit, self.now)
            if job.state is State.RUNNING and job.attempts[unit] >= 3:
                job.end(State.QUARANTINED)
            elif job.state is State.RUNNING:
                job.reopen(unit)
        for job in self.jobs.values():
            waited = job.idle_since is not None and self.now - job.idle_since >= IDLE_MS
            if job.state is State.RUNNING and job.open and not job.leased and waited:
                job.state = State.QUEUED

    # What chance seldom puts together

    @rule(lane=LANES)
    def claim_and_fall_silent(self, lane: str) -> None:
        self.claim(lane)
        self.reap(jump=True)

    @precondition(lambda self: self.claims)
    @rule(which=ANY)
    def hold_on(self, which: int) -> None:
        for _ in range(2):
            self.time_passes(10)
            self.renew(which, None)
        self.reap(jump=False)

    # Helpers

    def pick(self, which: int) -> tuple[str, Model]:
        name = sorted(self.jobs)[which % len(self.jobs)]
        return name, self.jobs[name]

    def pick_lease(self, which: int) -> tuple[Lease, Model | None]:
        """One of the latest leases, and its job if it is still held."""
        lease = self.claims[-1 - which % len(self.claims)][1]
        job = self.jobs.get(lease.job_id)
        return lease, job if job is not None and job.leased.get(lease.unit) == lease.token else None

    def late(self, lease: Lease, ending: str, call: Any) -> None:
        """A call on a lease that is over: it succeeds only as the repetition of what ended it."""
        try:
            call()
        except LeaseLost:
            return
        assert self.ended_by[lease.token] == ending

    def refused(self, error: type[Exception], call: Any) -> None:
        with pytest.raises(error):
            call()

    # What always holds

    @invariant()
    def the_indices_are_those_of_the_model(self) -> None:
        pipe = self.redis.pipeline(transaction=False)
        for lane in ("any", "cpu", "gpu"):
            pipe.zrange(f"{KEY}ready:{lane}", 0, -1)
        pipe.zrange(f"{KEY}leases", 0, -1)
        pipe.zrange(f"{KEY}idx:default", 0, -1)
        pipe.zrange(f"{KEY}ended", 0, -1)
        *ready, leases, listed, ended = (names(reply) for reply in pipe.execute())
        for lane, found in zip(("any", "cpu", "gpu"), ready, strict=True):
            assert found == {name for name, job in self.jobs.items() if job.open and job.new.lane == lane}
        assert leases == {f"{name}/{unit}" for name, job in self.jobs.items() for unit in job.leased}
        assert listed == set(self.jobs)
        assert ended == {name for name, job in self.jobs.items() if job.state in TERMINAL}

    @invariant()
    def every_unit_is_in_one_place(self) -> None:
        pipe = self.redis.pipeline(transaction=False)
        for name in self.jobs:
            pipe.hmget(f"{KEY}job:{name}", "state", "last_event")
            pipe.zrange(f"{KEY}open:{name}", 0, -1)
            pipe.hkeys(f"{KEY}running:{name}")
            pipe.hkeys(f"{KEY}results:{name}")
            pipe.xrange(f"{KEY}ev:{name}", f"{self.jobs[name].read + 1}-0")
        replies = pipe.execute()
        for index, job in enumerate(self.jobs.values()):
            (state, last), *sets, events = replies[5 * index : 5 * index + 5]
            assert State(int(state)) is job.state
            assert [{int(unit) for unit in units} for units in sets] == [job.open, set(job.leased), set(job.committed)]
            self.read(job, events)
            assert job.read == int(last)
            assert job.told is job.state

    def read(self, job: Model, events: list[Any]) -> None:
        for number, fields in events:
            job.read += 1
            assert number == f"{job.read}-0".encode()
            if fields[b"t"] == b"state":
                state = State(int(fields[b"p"].partition(b'"state":')[2].partition(b"}")[0].partition(b",")[0]))
                assert job.told is None or state in TRANSITIONS[job.told]
                job.told = state
            else:
                assert job.told not in TERMINAL

    @invariant()
    def nothing_is_left_of_what_was_deleted(self) -> None:
        for name in self.deleted:
            assert not self.redis.exists(*(f"{KEY}{kind}:{name}" for kind in ("job", "units", "open", "ev", "results")))
            with pytest.raises(NotFound):
                self.store.get("default", name)


def names(members: list[bytes]) -> set[str]:
    return {member.decode() for member in members}


@pytest.mark.slow
def test_the_machine_does_what_the_model_says(redis, clock):
    """No order of calls loses a unit, hands it out twice, ends a job twice or lets a stale token write."""
    assert functions.library() != clock.library()
    machine = type("Seeded", (Machine,), {"redis": redis, "clock_type": type(clock)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=200,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
