"""The soak itself: under load and faults nothing grows, nothing is lost, and afterwards nothing is left."""

from __future__ import annotations

import random
import time
from collections import Counter
from time import monotonic

import grpc
import pytest
from sparring.v1 import jobs_pb2, jobs_pb2_grpc

from services.connection import POOL_SIZE
from tests.faults import facts
from tests.faults.invariants import check_facts
from tests.faults.load import references
from tests.faults.net_proxy import Proxy
from tests.faults.stack import FaultStack

from .disturb import Disturber
from .load import SoakLoad
from .sampling import Sampler, judge, kinds
from .slopes import WINDOW_S

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3 * 3600)]
# Short lives, so that what comes and what goes balance within minutes.
JOBS_KEPT_S, ARTIFACTS_KEPT_S = 60, 120
WORKERS = 3
# The share of the soak from which on store, gateway and one worker live on; they are judged in its second half.
CALM_FROM = 0.35
# More calls at once than the gateway has connections to the store: those are opened for peaks, and kept.
PEAK = 4 * POOL_SIZE
LONG_S, MOST_CHECKPOINTS = 3600.0, 20
# Kinds of keys that are there as long as the stack is: counters, workers, the model that is attacked, remembered calls.
STAYING = {
    "fence",
    "places",
    "bells",
    "entries",
    "turn",
    "claim",
    "done",
    "worker",
    "workers",
    "idle",
    "wake",
    "mounts",
}
STAYING |= {"tenant", "tenants", "audit", "bytes", "reg", "req"}
# The audit log keeps about 10,000 entries.
MOST_AUDITED = 10_200
# What a long soak has done to the stack.
LONG_MINUTES = 10
FAULTS = ("kill child", "kill parent", "kill store", "kill gateway", "freeze", "cut")
# One series of each of these has to be long enough to be judged, or the soak has looked at nothing.
WANTED = ("rss gateway", "rss worker-1 parent", "rss worker-1 child", "files store", "files gateway", "keys job")


@pytest.fixture
def stack(fast_folder):
    environment = {
        "SPARRING_EVENT_TTL_S": str(JOBS_KEPT_S),
        "SPARRING_ARTIFACT_TTL_S": str(ARTIFACTS_KEPT_S),
    }
    with FaultStack(fast_folder / "soak", "valkey", workers=WORKERS, environment=environment).running() as running:
        yield running


def test_under_load_and_faults_nothing_grows_and_nothing_is_lost(
    stack, soak_minutes, soak_seed, tell, free_port
) -> None:
    rng, seconds = random.Random(soak_seed), soak_minutes * 60
    with stack.client() as client:
        expected = references(client)
    proxy = Proxy(int(stack.local.target.rpartition(":")[2]), free_port)
    with proxy.running(), Sampler(stack) as sampler:
        load = SoakLoad(stack, f"127.0.0.1:{free_port}", expected, rng)
        with load:
            with Disturber(stack, proxy, random.Random(rng.random()), CALM_FROM * seconds):
                time.sleep(CALM_FROM * seconds + 1)
                peak(stack.local.target)
                time.sleep((1 - CALM_FROM) * seconds - 1)
            until_s = sampler.now_s
    stack.wait_until_whole()
    slopes = judge(sampler.series, until_s / 2, until_s, min(WINDOW_S, seconds / 20))
    left = what_stays(stack)
    tell(
        {
            "minutes": soak_minutes,
            "seed": soak_seed,
            "done": dict(load.done),
            "injected": dict(stack.injected),
            "errors_seen_by_clients": dict(load.errors),
            "violations": len(load.violations),
            "left": left,
        },
        slopes,
    )
    assert load.broken == []
    assert not load.violations, "\n".join(map(str, load.violations[:20]))
    assert check_facts(without_uploads(stack)) == []
    assert left == {}, "keys that should have lapsed"
    assert stack.redis.xlen(facts.P + "audit:default") <= MOST_AUDITED
    judged = {found.name for found in slopes}
    assert all(any(name.startswith(wanted) for name in judged) for wanted in WANTED), sorted(judged)
    assert [found.name for found in slopes if found.grows] == []
    assert stack.injected.total() >= soak_minutes * 3, "a soak without faults proves little"
    if soak_minutes >= LONG_MINUTES:
        assert set(stack.injected) >= set(FAULTS)


def peak(target: str) -> None:
    """Ask the gateway for so much at once that it opens every connection to the store that it ever will."""
    with grpc.insecure_channel(target) as channel:
        stub = jobs_pb2_grpc.JobServiceStub(channel)
        calls = [stub.ListJobs.future(jobs_pb2.ListJobsRequest(), timeout=30) for _ in range(PEAK)]
        assert [call.exception() for call in calls if call.exception() is not None] == []


def what_stays(stack: FaultStack) -> dict[str, int]:
    """Kinds of keys that are still there when all that lapses should have."""
    deadline = monotonic() + JOBS_KEPT_S + ARTIFACTS_KEPT_S + 60
    while (left := remaining(stack)) and monotonic() < deadline:
        time.sleep(1.0)
    return dict(left)


def remaining(stack: FaultStack) -> Counter[str]:
    """What is there beyond the model that is attacked, and what a call whose answer was lost leaves for an hour.

    Checkpoints are kept for a day; those of equal trainings are equal, so there are few however long it lasts.
    """
    found = Counter({kind: count for kind, count in kinds(stack.redis).items() if kind not in STAYING})
    jobs = {key.decode().rpartition(":")[2] for key in stack.redis.scan_iter(match=facts.P + "job:*", count=1000)}
    if not jobs:
        found["ended"] = int(stack.redis.zcard(facts.P + "ended"))
    kept, checkpoints = [], []
    for key in stack.redis.scan_iter(match=facts.P + "a:*:m", count=1000):
        pins, expires_ms = stack.redis.hmget(key, "pins", "expires")
        if pins not in {b"0", None}:
            kept.append(key)
        elif expires_ms is not None and float(expires_ms) > 1000 * (time.time() + LONG_S):
            checkpoints.append(key)
    found["a"] -= sum(1 + chunks(stack, key) for key in kept + checkpoints)
    found["checkpoints"] = max(0, len(checkpoints) - MOST_CHECKPOINTS)
    staged = stack.redis.zcard(facts.P + "uploads")
    if staged <= stack.injected.total():
        found.pop("u", None)
        found.pop("uploads", None)
    found.pop("lapse", None)
    return +found


def chunks(stack: FaultStack, manifest: bytes) -> int:
    """Chunks of the artifact with this manifest."""
    return sum(1 for _ in stack.redis.scan_iter(match=manifest[:-1] + b"[0-9]*", count=1000))


def without_uploads(stack: FaultStack) -> facts.Facts:
    """The facts of the store; an upload whose begin was not answered may be staged for an hour."""
    found = facts.read(stack.redis, processes=stack.orphans())
    left = {what: names for what, names in found.left.items() if what != "staged uploads"}
    counters = {what: pair for what, pair in found.counters.items() if not what.startswith("bytes")}
    return facts.Facts(left=left, jobs=found.jobs, index=found.index, ended=found.ended, counters=counters)


@pytest.fixture
def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
