"""What holds after every step of the machine: the keys on the server are those that follow from the model."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine, invariant

from services.jobs import measures, registry_calls
from services.jobs.states import TERMINAL, TRANSITIONS, State

from .model import Job, World

KEY = "{sparring}:"
TENANTS = ("a", "b")
LANES = ("any", "cpu", "gpu")


def names(members: Any) -> set[str]:
    return {member.decode() for member in members}


class Invariants(RuleBasedStateMachine):
    redis: Any
    world: World
    deleted: list[str]

    @invariant()
    def the_indices_are_those_of_the_model(self) -> None:
        jobs = self.world.jobs
        pipe = self.redis.pipeline(transaction=False)
        for lane in LANES:
            pipe.smembers(f"{KEY}tenants:{lane}")
            for tenant in TENANTS:
                pipe.zrange(f"{KEY}ready:{lane}:{tenant}", 0, -1)
                pipe.zrange(f"{KEY}going:{lane}:{tenant}", 0, -1)
        for key in ("leases", "due", "ended", *(f"idx:{tenant}" for tenant in TENANTS)):
            pipe.zrange(f"{KEY}{key}", 0, -1)
        replies = iter([names(reply) for reply in pipe.execute()])
        for lane in LANES:
            ready = {name: job for name, job in jobs.items() if job.open and job.new.lane == lane}
            assert next(replies) == {job.new.tenant for job in ready.values()}
            for tenant in TENANTS:
                listed = {name: job for name, job in ready.items() if job.new.tenant == tenant}
                assert next(replies) == set(listed)
                assert next(replies) == {name for name, job in listed.items() if job.state is State.RUNNING}
        assert next(replies) == {f"{name}/{unit}" for name, job in jobs.items() for unit in job.leased}
        assert next(replies) == {f"{name}/{what}" for name, job in jobs.items() for what in job.due}
        assert next(replies) == {name for name, job in jobs.items() if job.state in TERMINAL}
        for tenant in TENANTS:
            assert next(replies) == {job.new.id for job in self.world.of(tenant)}

    @invariant()
    def the_usage_of_each_tenant_is_what_its_jobs_add_up_to(self) -> None:
        pipe = self.redis.pipeline(transaction=False)
        for tenant in TENANTS:
            for call in (registry_calls.usage(tenant), registry_calls.quota(tenant)):
                pipe.execute_command(*call.command)
            pipe.hget(f"{KEY}tenant:{tenant}", "leased")
        replies = iter(pipe.execute())
        for tenant in TENANTS:
            assert registry_calls.usage(tenant).parse(next(replies)) == self.world.usage(tenant)
            assert registry_calls.quota(tenant).parse(next(replies)) == self.world.quota(tenant)
            assert int(next(replies) or 0) == self.world.leased(tenant)

    @invariant()
    def the_counts_are_those_of_the_model(self) -> None:
        found = measures.read(self.redis)
        jobs = self.world.jobs.values()
        states, open_units = Counter(job.state for job in jobs), Counter[str]()
        for job in jobs:
            open_units[job.new.lane] += len(job.open)
        told = Counter[State]()
        for (state, _), number in found.by("jobs").items():
            told[State(int(state))] += number
        assert +told == states
        assert +Counter({lane: number for (lane,), number in found.by("ready").items()}) == +open_units
        assert sum(found.by("running").values()) == sum(len(job.leased) for job in jobs)
        waiting = Counter(job.new.lane for job in jobs if job.state is State.QUEUED and job.open)
        assert +Counter({lane.lane: lane.queued_jobs for lane in found.lanes}) == waiting

    @invariant()
    def every_unit_is_in_one_place(self) -> None:
        jobs = self.world.jobs
        pipe = self.redis.pipeline(transaction=False)
        for name, job in jobs.items():
            pipe.hmget(f"{KEY}job:{name}", "state", "last_event")
            pipe.zrange(f"{KEY}open:{name}", 0, -1)
            pipe.hkeys(f"{KEY}running:{name}")
            pipe.hkeys(f"{KEY}results:{name}")
            pipe.xrange(f"{KEY}ev:{name}", f"{job.read + 1}-0")
        replies = pipe.execute()
        for index, job in enumerate(jobs.values()):
            (state, last), *sets, events = replies[5 * index : 5 * index + 5]
            assert State(int(state)) is job.state
            assert [{int(unit) for unit in units} for units in sets] == [job.open, set(job.leased), set(job.committed)]
            read(job, events)
            assert job.read == int(last)
            assert job.told is job.state

    @invariant()
    def who_waits_for_whom_is_as_in_the_model(self) -> None:
        waiting = {name: job.after for name, job in self.world.jobs.items() if job.waits()}
        pipe = self.redis.pipeline(transaction=False)
        for name in self.world.jobs:
            pipe.smembers(f"{KEY}waiters:{name}")
        for name, members in zip(self.world.jobs, pipe.execute(), strict=True):
            assert names(members) == {one for one, after in waiting.items() if name in after}

    @invariant()
    def nothing_is_left_of_what_was_deleted(self) -> None:
        if self.deleted:
            kinds = ("job", "units", "open", "running", "ev", "results", "wait", "waiters")
            assert not self.redis.exists(*(f"{KEY}{kind}:{name}" for name in self.deleted for kind in kinds))


def read(job: Job, events: list[Any]) -> None:
    """Read events as a client would."""
    for number, fields in events:
        job.read += 1
        assert number == f"{job.read}-0".encode()
        if fields[b"t"] == b"state":
            state = State(int(fields[b"p"].partition(b'"state":')[2].partition(b"}")[0].partition(b",")[0]))
            assert job.told is None or state in TRANSITIONS[job.told]
            job.told = state
        else:
            assert job.told not in TERMINAL
