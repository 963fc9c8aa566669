"""Jobs that ask for a class of device or for memory, and workers that have it or not."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any

import pytest

from services.jobs.needs import Need, Offer
from services.jobs.record import Quota, WorkerRecord
from services.jobs.states import State

GIB = 1 << 30
H100 = {"device_class": "h100", "memory_bytes": 79 * GIB + 5}
SMALL = {"device_class": "", "memory_bytes": 24 * GIB}
LARGE = Need(memory_gib=40)


def claim(store: Any, lane: str = "gpu", **device: Any) -> Any:
    """What a worker with this device is given."""
    return store.claim(uuid.uuid4().hex, "w1", lane, 15_000, **device)


def announce(store: Any, name: str, lane: str = "gpu", unit: str | None = None, **device: Any) -> None:
    record = WorkerRecord(id=name, lane=lane, device_name="Device", unit=unit, last_seen_ms=0, **device)
    store.announce(record, 15.0)


@pytest.mark.parametrize(
    ("need", "fits"),
    [
        (Need(), ["nothing", "small", "h100"]),
        (Need(memory_gib=24), ["small", "h100"]),
        (Need(memory_gib=25), ["h100"]),
        (Need(memory_gib=79), ["h100"]),
        (Need(memory_gib=80), []),
        (Need(device_class="h100"), ["h100"]),
        (Need(device_class="h10"), []),
        (Need(device_class="h100", memory_gib=80), []),
    ],
    ids=str,
)
@pytest.mark.parametrize("lane", ["gpu", "any"])
def test_a_worker_is_handed_only_units_that_its_device_fits(store, jobs, lane, need, fits):
    job = jobs.submit(lane=lane, units=3, need=need)
    workers = {"nothing": {}, "small": SMALL, "h100": H100}
    took = [name for name, device in workers.items() if claim(store, **device) is not None]
    assert took == fits
    assert store.get("default", job).need == need


def test_a_job_that_fits_no_worker_here_holds_up_none_of_its_tenant_and_is_not_lost(store, jobs):
    stuck = jobs.submit(lane="gpu", units=1, need=LARGE)
    others = [jobs.submit(lane="gpu", units=1) for _ in range(3)]
    assert [claim(store, **SMALL).job_id for _ in others] == others
    assert claim(store, **SMALL) is None
    assert store.ready_units("default") == 1
    assert claim(store, **H100).job_id == stuck
    assert store.ready_units("default") == 0


def test_a_worker_that_fits_several_takes_the_oldest_whatever_they_ask(store, jobs):
    needs = (Need(device_class="h100"), Need(), LARGE, Need(memory_gib=30), Need(device_class="h100", memory_gib=1))
    asked = [jobs.submit(lane=lane, units=1, need=need) for need, lane in zip(needs, ["gpu", "any"] * 3, strict=False)]
    assert [claim(store, **H100).job_id for _ in asked] == asked


def test_shares_are_fair_whatever_tenants_ask_of_devices(store, jobs):
    for need in (LARGE, Need(device_class="h100"), Need()):
        jobs.submit(tenant="a", lane="gpu", units=30, need=need)
    jobs.submit(tenant="b", lane="gpu", units=60, need=LARGE)
    held, served = [], Counter()
    for _ in range(40):
        if len(held) == 3:
            store.release(held.pop(0), "w1")
        held.append(claim(store, **H100))
        served[held[-1].tenant] += 1
    assert abs(served["a"] - served["b"]) <= 2


def test_a_unit_that_was_lost_waits_for_a_device_that_fits_again(store, jobs):
    job = jobs.submit(lane="gpu", units=1, need=LARGE)
    lease = claim(store, **H100)
    assert store.lose(job, 0, lease.token, "killed by SIGKILL")
    assert claim(store, **SMALL) is None
    assert claim(store, **H100).attempt == 2


def test_a_limit_of_running_jobs_holds_for_jobs_with_needs_too(store, jobs):
    store.set_quota("default", Quota(max_running_jobs=1))
    first, second = (jobs.submit(lane="gpu", units=2, need=LARGE) for _ in range(2))
    assert [claim(store, **H100).job_id for _ in range(2)] == [first, first]
    assert claim(store, **H100) is None
    store.cancel("default", second)
    assert store.get("default", second).state is State.CANCELLED


def test_what_is_kept_for_a_need_goes_with_the_last_job_that_has_it(job_store, redis, jobs):
    before = set(redis.keys("{sparring}:*"))
    kept = {b"{sparring}:needs:gpu:", b"{sparring}:pools", b"{sparring}:pools:default", b"{sparring}:tenants:gpu//40"}
    ids = [jobs.submit(lane="gpu", units=1, need=LARGE) for _ in range(2)]
    assert kept <= set(redis.keys("{sparring}:*"))
    job_store.cancel("default", ids[0])
    assert claim(job_store, **H100).job_id == ids[1]
    assert not kept & (set(redis.keys("{sparring}:*")) - before)


def test_a_claim_asks_for_no_need_of_another_class(job_store, redis):
    """A thousand classes that nobody has cost a claim nothing: it looks up two keys of each of its lanes."""
    for number in range(1_000):
        redis.zadd(f"{{sparring}}:needs:gpu:made-up-{number}", {"8": 8})
        redis.sadd("{sparring}:pools", f"gpu/made-up-{number}/8")
    redis.config_resetstat()
    assert claim(job_store, **H100) is None
    calls = redis.info("commandstats")
    assert calls["cmdstat_zrangebyscore"]["calls"] == 4
    assert calls["cmdstat_smembers"]["calls"] == 2


def test_a_bell_rings_for_every_idle_worker_where_only_some_of_them_fit(job_store, redis, jobs):
    for name in ("a", "b", "c"):
        announce(job_store, name, **SMALL)
    jobs.submit(lane="gpu", units=1, need=LARGE)
    assert redis.llen("sparring:cel:gpu") == 0
    announce(job_store, "d", **H100)
    jobs.submit(lane="any", units=1, need=LARGE)
    assert (redis.llen("sparring:cel:gpu"), redis.llen("sparring:cel:cpu")) == (4, 0)


def test_the_reaper_rings_again_only_while_an_idle_worker_fits(job_store, redis, jobs):
    jobs.submit(lane="gpu", units=1, need=LARGE)
    redis.delete("sparring:cel:gpu")
    announce(job_store, "small", **SMALL)
    assert job_store.ring("gpu") == 0
    announce(job_store, "h100", unit="job/0", **H100)
    assert job_store.ring("gpu") == 0
    announce(job_store, "h100", **H100)
    assert job_store.ring("gpu") == 2
    assert job_store.ring("gpu") == 0
    job_store.forget_worker("h100")
    redis.delete("sparring:cel:gpu")
    assert job_store.ring("gpu") == 0


def test_a_queued_job_says_what_there_is_where_nothing_fits(store, jobs):
    job = store.get("default", jobs.submit(lane="gpu", units=1, need=LARGE))
    announce(store, "a", **SMALL)
    announce(store, "b", **SMALL)
    announce(store, "old")
    announce(store, "cpu", "cpu", memory_bytes=400 * GIB)
    position = store.position(job)
    assert position.workers_listening == 0
    assert sorted(position.offers, key=lambda offer: offer.memory_gib) == [
        Offer(lane="gpu", device_class="", memory_gib=0, workers=1),
        Offer(lane="gpu", device_class="", memory_gib=24, workers=2),
    ]
    announce(store, "c", **H100)
    assert store.position(job).workers_listening == 1
    store.forget_worker("c")
    assert store.position(job).workers_listening == 0
    assert len(store.position(job).offers) == 2


def test_jobs_before_it_are_those_that_a_worker_of_its_own_could_take(store, jobs):
    announce(store, "a", **H100)
    jobs.submit(lane="gpu", units=1)
    jobs.submit(lane="any", units=1, need=Need(memory_gib=20))
    jobs.submit(lane="gpu", units=1, need=Need(device_class="a100"))
    jobs.submit(lane="cpu", units=1, need=Need(memory_gib=20))
    job = store.get("default", jobs.submit(lane="gpu", units=1, need=Need(device_class="h100")))
    assert store.position(job).jobs_ahead == 2
    plain = store.get("default", jobs.submit(lane="gpu", units=1))
    assert store.position(plain).jobs_ahead == 3


def test_a_running_job_with_a_need_whose_workers_went_away_is_queued_again(store, jobs, clock):
    job = jobs.submit(lane="gpu", units=3, need=LARGE)
    lease = claim(store, **H100)
    store.commit(lease, "w1", "d" * 64, {})
    assert store.get("default", job).state is State.RUNNING
    clock.advance(3_000)
    store.reap(10)
    assert store.get("default", job).state is State.QUEUED


def test_a_worker_tells_of_its_device_and_one_that_does_not_is_listed_too(store, redis):
    announce(store, "new", **H100)
    redis.hset("{sparring}:worker", "old", '1 {"id": "old", "lane": "gpu", "device_name": "GPU", "unit": null}')
    redis.zadd("{sparring}:workers:gpu", {"old": 1e15})
    told = {worker.id: (worker.device_class, worker.memory_bytes) for worker in store.workers()}
    assert told == {"new": ("h100", H100["memory_bytes"]), "old": ("", 0)}
