"""What the store and the processes hold once every job has ended, read beside the contract.

Keys are those documented at the head of the first file of `services/jobs/functions`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from services.connection import Redis
from services.jobs.states import State

P = "{sparring}:"
LEFT_OVERS = {
    "running units": "running:",
    "open units": "open:",
    "ready jobs": "ready:",
    "staged uploads": "u:",
}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a store at rest holds.

    `left`: by kind, what must not be there. `jobs`: tenant and state of each. `counters`: what is held, what is right.
    """

    left: Mapping[str, Iterable[str]] = field(default_factory=dict)
    jobs: Mapping[str, tuple[str, State]] = field(default_factory=dict)
    index: Mapping[str, Iterable[str]] = field(default_factory=dict)
    ended: Iterable[str] = ()
    counters: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def read(redis: Redis, *, processes: Iterable[str] = ()) -> Facts:
    """The facts of a store at rest; `processes` are those that should not be there."""
    names = [key.decode().removeprefix(P) for key in redis.scan_iter(match=P + "*", count=1000)]
    jobs = {name.removeprefix("job:"): _job(redis, name) for name in names if name.startswith("job:")}
    left = {what: [name for name in names if name.startswith(prefix)] for what, prefix in LEFT_OVERS.items()}
    # What a worker that was killed in the middle of a put has staged lapses by itself.
    left["staged uploads"] = [name for name in left["staged uploads"] if redis.pttl(P + name) < 0]
    left["leases"] = _members(redis, "leases")
    left["tokens of units"] = [
        f"{name}/{key.decode()}"
        for name in names
        if name.startswith("units:")
        for key in redis.hkeys(P + name)
        if key.startswith((b"t:", b"w:"))
    ]
    left["processes"] = list(processes)
    return Facts(
        left=left,
        jobs=jobs,
        index={name.removeprefix("idx:"): _members(redis, name) for name in names if name.startswith("idx:")},
        ended=_members(redis, "ended"),
        counters=_counters(redis, names, jobs),
    )


def _job(redis: Redis, name: str) -> tuple[str, State]:
    tenant, state = redis.hmget(P + name, "tenant", "state")
    return tenant.decode(), State(int(state))


def _members(redis: Redis, name: str) -> list[str]:
    return [member.decode() for member in redis.zrange(P + name, 0, -1)]


def _counters(redis: Redis, names: list[str], jobs: Mapping[str, tuple[str, State]]) -> dict[str, tuple[float, float]]:
    """What each tenant is charged for, and what there is of it; nothing of a job that has ended counts."""
    bytes_of: defaultdict[str, float] = defaultdict(float)
    for name in names:
        if name.startswith("a:") and name.endswith(":m"):
            bytes_of[name.split(":")[1]] += float(redis.hget(P + name, "size"))
    counters = {}
    for tenant in sorted({tenant for tenant, _ in jobs.values()}):
        held = {key.decode(): value for key, value in redis.hgetall(f"{P}tenant:{tenant}").items()}
        waiting = _count(jobs, tenant, lambda state: state is State.QUEUED)
        running = _count(jobs, tenant, lambda state: state in {State.RUNNING, State.CANCELLING})
        for field_name, right in (("queued", waiting), ("running", running), ("leased", 0), ("mega_ops", 0)):
            counters[f"{field_name} of {tenant}"] = (float(held.get(field_name, 0)), float(right))
        counters[f"bytes of {tenant}"] = (float(redis.get(f"{P}bytes:{tenant}") or 0), bytes_of[tenant])
    return counters


def _count(jobs: Mapping[str, tuple[str, State]], tenant: str, counts: Callable[[State], bool]) -> int:
    return sum(owner == tenant and counts(state) for owner, state in jobs.values())


def tokens(redis: Redis, job: str) -> dict[int, int]:
    """The token under which each unit of a job was committed."""
    results = redis.hgetall(f"{P}results:{job}")
    return {int(unit): int(json.loads(result)[0]) for unit, result in results.items()}


def holding(redis: Redis, pid: int) -> tuple[str, int, int] | None:
    """The job, the unit and the attempt that the worker process holds a lease of; None for none."""
    for member in _members(redis, "leases"):
        job, _, unit = member.rpartition("/")
        worker, attempt = redis.hmget(f"{P}units:{job}", f"w:{unit}", f"a:{unit}")
        if worker is not None and f"-{pid}-" in worker.decode():
            return job, int(unit), int(attempt)
    return None
