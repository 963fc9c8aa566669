"""What clients ask of the machine: see `test_machine`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from services.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, QuotaExceeded
from services.jobs.record import Lease, NewJob, Quota
from services.jobs.states import TERMINAL, State
from services.jobs.store import JobStore

from .invariants import TENANTS, Invariants
from .model import Job, World

ANY = st.integers(0, 4)
TENANT = st.sampled_from(TENANTS)


class Clients(Invariants):
    clock_type: Any

    def __init__(self) -> None:
        super().__init__()
        self.redis.flushdb()
        self.clock = self.clock_type(self.redis)
        self.store = JobStore(self.redis)
        self.world = World()
        self.deleted: list[str] = []
        self.requests: list[NewJob] = []
        self.claims: list[tuple[str, Lease]] = []
        self.ended_by: dict[int, str] = {}
        self.token = 0

    # What clients do

    @initialize(lane=st.sampled_from(["any", "cpu"]), units=st.integers(0, 3), tenant=TENANT)
    def begin(self, lane: str, units: int, tenant: str) -> None:
        self.submit(lane, units, tenant, with_request=True, before=[], deadline_ms=0, queue_ms=0, giga_ops=0.5)

    @precondition(lambda self: len(self.requests) < 5)
    @rule(
        lane=st.sampled_from(["any", "cpu", "gpu"]),
        units=st.integers(0, 3),
        tenant=TENANT,
        with_request=st.booleans(),
        deadline_ms=st.sampled_from([0, 0, 5_000, 30_000]),
        queue_ms=st.sampled_from([0, 0, 5_000]),
        giga_ops=st.sampled_from([0, 0.5, 1.001]),
        before=st.lists(ANY, max_size=2),
    )
    def submit(
        self, lane: str, units: int, tenant: str, *, with_request: bool, before: list[int], **limits: Any
    ) -> None:
        name = f"j{len(self.requests)}"
        picked = (self.pick(which) for which in before)
        after = {other for other, job in picked if job.new.tenant == tenant}
        request = f"r-{name}" if with_request else ""
        what: dict[str, Any] = {"kind": "attack", "lane": lane, "spec": b"s", "spec_hash": name, "units": units}
        new = NewJob(id=name, tenant=tenant, request_id=request, after=tuple(after), **what, **limits)
        if self.world.in_vain(after):
            self.refused(FailedPrecondition, lambda: self.store.submit(new))
            return
        limit = self.world.refused(tenant, new.giga_ops)
        if limit is not None:
            self.over_quota(limit, lambda: self.store.submit(new))
            return
        self.requests.append(new)
        assert self.store.submit(new).id == name
        self.world.jobs[name] = Job(new, 0, after=after)
        self.world.queue(self.world.jobs[name])

    @rule(which=ANY, other_id=st.booleans())
    def submit_again(self, which: int, *, other_id: bool) -> None:
        """Never refused for a quota, and never charged."""
        new = self.requests[which % len(self.requests)]
        if new.id not in self.world.jobs:
            return
        if other_id and new.request_id:
            assert self.store.submit(replace(new, id="unused")).id == new.id
            self.refused(InvalidArgument, lambda: self.store.submit(replace(new, spec_hash="other")))
        else:
            assert self.store.submit(new).state is self.world.jobs[new.id].state
            other = replace(new, spec_hash="other", request_id="")
            self.refused(AlreadyExists, lambda: self.store.submit(other))

    @rule(
        tenant=TENANT,
        queued=st.sampled_from([0, 1, 2]),
        running=st.sampled_from([0, 1, 2]),
        giga_ops=st.sampled_from([0, 1.001, 2.5]),
        weight=st.sampled_from([0.5, 1, 2]),
    )
    def set_quota(self, tenant: str, queued: int, running: int, giga_ops: float, weight: float) -> None:
        quota = Quota(max_queued_jobs=queued, max_running_jobs=running, max_giga_ops=giga_ops, weight=weight)
        self.store.set_quota(tenant, quota)
        self.world.quotas[tenant] = quota

    @rule(which=ANY)
    def cancel(self, which: int) -> None:
        name, job = self.pick(which)
        if job.state in TERMINAL - {State.CANCELLED}:
            self.refused(FailedPrecondition, lambda: self.store.cancel(job.new.tenant, name))
            return
        if job.state is State.QUEUED or (job.state is State.RUNNING and not job.leased):
            job.end(State.CANCELLED)
        elif job.state is State.RUNNING:
            job.become(State.CANCELLING)
            job.open = set()
        assert self.store.cancel(job.new.tenant, name).state is job.state
        self.world.settle()

    @rule(which=ANY)
    def retry(self, which: int) -> None:
        name, job = self.pick(which)
        tenant = job.new.tenant
        limit = self.world.refused(tenant, job.new.giga_ops)
        if job.state not in TERMINAL - {State.SUCCEEDED} or self.world.in_vain(job.after):
            self.refused(FailedPrecondition, lambda: self.store.retry(tenant, name))
        elif limit is not None:
            self.over_quota(limit, lambda: self.store.retry(tenant, name))
        else:
            assert self.store.retry(tenant, name).state is State.QUEUED
            self.world.queue(job)

    @rule(which=ANY)
    def delete(self, which: int) -> None:
        if len(self.world.jobs) == 1:
            return
        name, job = self.pick(which)
        awaited = any(name in other.after for other in self.world.jobs.values() if other.waits())
        if job.state not in TERMINAL or awaited:
            self.refused(FailedPrecondition, lambda: self.store.delete(job.new.tenant, name))
            return
        self.store.delete(job.new.tenant, name)
        del self.world.jobs[name]
        self.deleted.append(name)
        self.refused(NotFound, lambda: self.store.get(job.new.tenant, name))

    # Helpers

    def pick(self, which: int) -> tuple[str, Job]:
        name = sorted(self.world.jobs)[which % len(self.world.jobs)]
        return name, self.world.jobs[name]

    def refused(self, error: type[Exception], call: Any) -> None:
        with pytest.raises(error):
            call()

    def over_quota(self, limit: str, call: Any) -> None:
        with pytest.raises(QuotaExceeded) as refused:
            call()
        assert refused.value.limit == limit
