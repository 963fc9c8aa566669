"""Following a job: every event once and in order, whatever happens to the connection and however slow the follower."""

import asyncio
import random
from contextlib import aclosing

import pytest

from services.connection import connect_async
from services.errors import Unavailable
from services.jobs import watch
from services.jobs.record import NewJob
from services.jobs.states import State
from services.jobs.watch import Watcher
from services.settings import StoreSettings


@pytest.fixture
async def blocking(store_settings, redis):
    async with connect_async(store_settings, blocking=True) as client:
        yield client


@pytest.fixture
async def watcher(blocking):
    watcher = Watcher(blocking)
    yield watcher
    await watcher.aclose()


@pytest.fixture
def submit(job_store):
    def submit(job_id, units=1):
        job_store.submit(NewJob(id=job_id, kind="attack", spec=b"", spec_hash=job_id, units=units))
        return job_id

    return submit


async def collect(watcher, job_id, after=0):
    async with asyncio.timeout(20):
        return [event async for event in watcher.follow(job_id, after)]


def metrics(job_store, lease, count, start=0):
    for step in range(start, start + count):
        job_store.metric(lease, "loss", 0.5, step)


def blocked(redis):
    """Connections that wait for events."""
    return sum(client["cmd"] == "xread" for client in redis.client_list())


async def test_what_is_stored_and_what_comes_arrives_in_order(watcher, job_store, submit):
    submit("a")
    following = asyncio.create_task(collect(watcher, "a"))
    await asyncio.sleep(0.05)
    lease = job_store.claim("c", "w", "cpu", 15_000)
    await asyncio.sleep(0.05)
    job_store.fail(lease, "w", b"error")
    events = await following
    assert events == job_store.events("a", 0, 100)
    assert events[-1].payload["state"] == State.FAILED


@pytest.mark.parametrize("after", range(5))
async def test_an_ended_job_is_told_from_where_the_client_was(watcher, job_store, submit, after):
    submit("a")
    job_store.fail(job_store.claim("c", "w", "cpu", 15_000), "w", b"error")
    assert [event.id for event in await collect(watcher, "a", after)] == list(range(after + 1, 5))


async def test_a_job_that_was_retried_is_followed_to_its_last_end(watcher, job_store, submit):
    submit("a")
    job_store.cancel("default", "a")
    job_store.retry("default", "a")
    following = asyncio.create_task(collect(watcher, "a"))
    await asyncio.sleep(0.05)
    assert not following.done()
    job_store.cancel("default", "a")
    assert [event.payload["state"] for event in await following] == [1, 6, 1, 6]


async def test_a_job_that_is_forgotten_has_no_events(watcher):
    assert await collect(watcher, "nobody") == []


async def test_many_followers_share_one_connection(watcher, job_store, submit, redis):
    jobs = [submit(f"j{number}") for number in range(20)]
    following = [asyncio.create_task(collect(watcher, job)) for job in jobs for _ in range(3)]
    async with asyncio.timeout(10):
        while len(watcher._seen) < 20 or blocked(redis) == 0:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)
    assert blocked(redis) <= 1
    for job in jobs:
        job_store.cancel("default", job)
    for number, events in enumerate(await asyncio.gather(*following)):
        assert events == job_store.events(jobs[number // 3], 0, 100)


async def test_a_follower_that_joins_later_is_told_at_once(watcher, job_store, submit):
    submit("early")
    first = asyncio.create_task(collect(watcher, "early"))
    await asyncio.sleep(0.05)
    submit("late")
    second = asyncio.create_task(collect(watcher, "late"))
    await asyncio.sleep(0.05)
    started = asyncio.get_running_loop().time()
    job_store.cancel("default", "late")
    await second
    assert asyncio.get_running_loop().time() - started < 2
    job_store.cancel("default", "early")
    await first


async def test_a_slow_follower_misses_nothing_and_holds_back_nobody(watcher, job_store, submit, monkeypatch):
    monkeypatch.setattr(watch, "QUEUED", 4)
    submit("a")
    lease = job_store.claim("c", "w", "cpu", 15_000)
    seen, slow = [], watcher.follow("a", 0)
    async with aclosing(slow):
        for _ in range(4):
            seen.append(await anext(slow))
            if len(seen) == 3:
                asyncio.get_running_loop().call_later(0.05, job_store.metric, lease, "loss", 1.0, -1)
        fast = asyncio.create_task(collect(watcher, "a"))
        for step in range(30):
            job_store.metric(lease, "loss", 0.5, step)
            await asyncio.sleep(0.001)
        job_store.fail(lease, "w", b"error")
        assert len(await fast) == 35
        seen += [event async for event in slow]
    assert [event.id for event in seen] == list(range(1, 36))


async def test_events_that_are_no_longer_held_are_marked(watcher, job_store, submit, redis):
    submit("a")
    lease = job_store.claim("c", "w", "cpu", 15_000)
    metrics(job_store, lease, 10)
    job_store.fail(lease, "w", b"error")
    redis.xtrim("{sparring}:ev:a", minid="8-0", approximate=False)
    events = await collect(watcher, "a", after=2)
    assert (events[0].type, events[0].id) == ("gap", 7)
    assert [event.id for event in events[1:]] == list(range(8, 15))


async def test_a_long_job_keeps_about_a_thousand_events(job_store, submit, redis):
    submit("a")
    metrics(job_store, job_store.claim("c", "w", "cpu", 15_000), 1500)
    assert 1000 <= redis.xlen("{sparring}:ev:a") <= 1200


async def test_a_resumed_watch_sees_every_event_once(watcher, job_store, submit, redis):
    """A client that is cut off at random and asks again, and a server that cuts connections."""
    draw = random.Random(7)
    submit("a")
    lease = job_store.claim("c", "w", "cpu", 15_000)
    seen, cuts = [], 0

    async def produce():
        for step in range(150):
            job_store.metric(lease, "loss", 0.5, step)
            await asyncio.sleep(0.002)
            if step % 30 == 7:
                redis.client_kill_filter(_type="normal", skipme=True)
        job_store.fail(lease, "w", b"error")

    producing = asyncio.create_task(produce())
    async with asyncio.timeout(30):
        while not seen or seen[-1].type != "state" or seen[-1].payload["state"] != State.FAILED:
            try:
                async with aclosing(watcher.follow("a", seen[-1].id if seen else 0)) as events:
                    wanted = draw.randrange(1, 12)
                    async for event in events:
                        seen.append(event)
                        if len(seen) % wanted == 0 and not producing.done():
                            cuts += 1
                            break
            except Unavailable:
                cuts += 1
    await producing
    assert cuts > 10
    assert seen == job_store.events("a", 0, 1000)


async def test_followers_are_told_when_the_store_is_gone():
    async with connect_async(StoreSettings("redis://127.0.0.1:1/0"), blocking=True) as nowhere:
        with pytest.raises(Unavailable):
            await collect(Watcher(nowhere), "a")


async def test_nothing_is_left_of_a_follower_that_went_away(watcher, job_store, submit, redis):
    submit("a")
    following = asyncio.create_task(collect(watcher, "a"))
    await asyncio.sleep(0.05)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert (dict(watcher._followers), watcher._seen) == ({}, {})
    submit("b")
    again = asyncio.create_task(collect(watcher, "b"))
    await asyncio.sleep(0.05)
    job_store.cancel("default", "b")
    await again
    await watcher.aclose()
    assert redis.keys("{sparring}:wake:*") == []
