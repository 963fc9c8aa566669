"""The state machine against a model of it: any order of calls, repeated, late or stale, on a real server.

After every step the indices are compared with the model, and the events are read as a client would read them.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from services.errors import FailedPrecondition, LeaseLost
from services.jobs import functions
from services.jobs.record import Lease, Verdict
from services.jobs.states import State

from .clients import ANY, Clients
from .model import LEASE_MS, Job

LANES = st.sampled_from(["cpu", "gpu"])


class Machine(Clients):
    # What workers do

    @rule(lane=LANES)
    def claim(self, lane: str) -> None:
        claim_id = f"c{len(self.claims)}-{self.world.now}-{lane}"
        lease = self.store.claim(claim_id, "w", lane, LEASE_MS)
        taken = self.world.take(lane)
        if taken is None:
            assert lease is None
            return
        assert lease is not None
        job, unit = taken
        expected = (job.new.id, job.new.tenant, unit, job.attempts[unit])
        assert (lease.job_id, lease.tenant, lease.unit, lease.attempt) == expected
        assert lease.closing == (unit == job.new.units)
        assert lease.token > self.token
        self.token = lease.token
        self.world.lease(job, unit, lease.token)
        self.claims.append((claim_id, lease))

    @precondition(lambda self: self.claims)
    @rule(which=ANY)
    def claim_again(self, which: int) -> None:
        claim_id, lease = self.claims[-1 - which % len(self.claims)]
        again = self.store.claim(claim_id, "w", "cpu", LEASE_MS)
        if lease.job_id not in self.world.jobs:
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
        job.deadline[lease.unit] = self.world.now + LEASE_MS
        assert verdict is (Verdict.CANCEL if job.state is State.CANCELLING else Verdict.OK)

    @precondition(lambda self: self.claims)
    @rule(which=ANY, digest=st.sampled_from(["a", "b"]))
    def commit(self, which: int, digest: str) -> None:
        lease, job = self.pick_lease(which)
        known = self.world.jobs.get(lease.job_id)
        kept = known.committed.get(lease.unit) if known is not None else None
        if kept == (lease.token, digest):
            assert self.store.commit(lease, "w", digest, {}) is False
        elif job is None and (kept is None or kept[0] != lease.token):
            self.refused(LeaseLost, lambda: self.store.commit(lease, "w", digest, {}))
        elif job is None or lease.closing:
            self.refused(FailedPrecondition, lambda: self.store.commit(lease, "w", digest, {}))
        else:
            assert self.store.commit(lease, "w", digest, {}) is True
            job.committed[lease.unit] = (lease.token, digest)
            self.ended_by[lease.token] = "commit"
            job.take_back(lease.unit, self.world.now)
            if job.state is State.RUNNING and len(job.committed) == job.new.units:
                job.open.add(job.new.units)
            self.world.settle()

    @precondition(lambda self: self.claims)
    @rule(which=ANY, ending=st.sampled_from(["finish", "fail", "stopped"]))
    def end(self, which: int, ending: str) -> None:
        lease, job = self.pick_lease(which)
        calls = {"finish": (b"result", None), "fail": (b"error",), "stopped": ()}
        last_units = job is not None and lease.closing

        def call() -> None:
            getattr(self.store, ending)(lease, "w", *calls[ending])

        if job is None:
            self.late(lease, "end", call)
        elif job.state is State.CANCELLING:
            call()
            self.ended_by[lease.token] = "end"
            job.take_back(lease.unit, self.world.now)
        elif ending == "stopped" or (ending == "finish" and not last_units):
            self.refused(FailedPrecondition, call)
        else:
            call()
            self.ended_by[lease.token] = "end"
            if ending == "finish":
                job.committed[lease.unit] = (lease.token, "")
            job.end(State.SUCCEEDED if ending == "finish" else State.FAILED)
        self.world.settle()

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
        job.take_back(lease.unit, self.world.now)
        if job.state is State.RUNNING:
            job.reopen(lease.unit)
        self.world.settle()

    @precondition(lambda self: self.claims)
    @rule(which=ANY)
    def lose(self, which: int) -> None:
        lease, job = self.pick_lease(which)
        told = self.store.lose(lease.job_id, lease.unit, lease.token, "killed by SIGKILL")
        if job is None:
            assert not told or self.ended_by[lease.token] == "told"
            return
        assert told
        self.ended_by[lease.token] = "told"
        job.lose(lease.unit, self.world.now)
        self.world.settle()

    # What time does

    @rule(seconds=st.sampled_from([1, 10, 20]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds * 1000)
        self.world.now += seconds * 1000

    @rule(jump=st.sampled_from([0, 5, 20, 40]))
    def expire_and_reap(self, jump: int) -> None:
        if jump:
            self.time_passes(jump)
        leases, ended = self.world.reap()
        reaped = self.store.reap(100)
        assert (reaped, reaped.overdue_jobs) == (leases, ended)

    # What chance seldom puts together

    @rule(lane=LANES)
    def claim_and_fall_silent(self, lane: str) -> None:
        self.claim(lane)
        self.expire_and_reap(20)

    @precondition(lambda self: self.claims)
    @rule(which=ANY)
    def hold_on(self, which: int) -> None:
        for _ in range(2):
            self.time_passes(10)
            self.renew(which, None)
        self.expire_and_reap(0)

    # Helpers

    def pick_lease(self, which: int) -> tuple[Lease, Job | None]:
        """One of the latest leases, and its job if it is still held."""
        lease = self.claims[-1 - which % len(self.claims)][1]
        job = self.world.jobs.get(lease.job_id)
        return lease, job if job is not None and job.leased.get(lease.unit) == lease.token else None

    def late(self, lease: Lease, ending: str, call: Any) -> None:
        """A call on a lease that is over: it succeeds only as the repetition of what ended it."""
        try:
            call()
        except LeaseLost:
            return
        assert self.ended_by[lease.token] == ending


@pytest.mark.slow
@pytest.mark.timeout(600)  # half a minute where nothing else runs
def test_the_machine_does_what_the_model_says(redis, clock):
    """No order of calls loses a unit, hands it out twice, ends a job twice, lets a stale token write or miscounts."""
    assert functions.library() != clock.library()
    machine = type("Seeded", (Machine,), {"redis": redis, "clock_type": type(clock)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=400,
            stateful_step_count=30,
            deadline=None,
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )
