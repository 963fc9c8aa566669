"""The stream of WatchJob, its clock made fast and its source scripted."""

import asyncio
from contextlib import aclosing
from types import SimpleNamespace

import pytest
from sparring.v1 import jobs_pb2

from services.errors import OutOfRange, Unavailable
from services.gateway import events
from services.gateway.watch import Streams
from services.jobs.record import Event


class Source:
    """Stands for store and watcher: a job with `last` events, and what comes of it."""

    def __init__(self, *script, last=3):
        self.script = script
        self.last = last
        self.closed = False

    async def get(self, _tenant, job_id):
        return SimpleNamespace(
            id=job_id,
            spec=b"",
            state=SimpleNamespace(name="RUNNING"),
            progress={},
            created_ms=0,
            started_ms=None,
            ended_ms=None,
            etag="1",
            last_event=self.last,
            display_name="",
            error=b"",
            trace="",
        )

    async def follow(self, _job_id, after):
        try:
            for item in self.script:
                if isinstance(item, float):
                    await asyncio.sleep(item)
                elif isinstance(item, Exception):
                    raise item
                elif item.id > after:
                    yield item
        finally:
            self.closed = True


def metric(number):
    return Event(id=number, time_ms=0, type="metric", payload={"name": "loss", "value": 1.0, "step": number})


async def seen(source, after=0, **times):
    streams = Streams(source, source, **times)
    return [(r.event_id, r.WhichOneof("event")) async for r in streams.watch("default", "j", after)]


async def test_events_come_in_their_order_from_where_the_client_stopped():
    source = Source(metric(1), metric(2), metric(3))
    assert await seen(source, after=1) == [(2, "metric"), (3, "metric")]
    assert source.closed


async def test_silence_is_filled_with_heartbeats_that_repeat_the_last_number():
    found = await seen(Source(metric(1), 0.25, metric(2)), heartbeat_s=0.1)
    assert found == [(1, "metric"), (1, "heartbeat"), (1, "heartbeat"), (2, "metric")]


async def test_a_stream_ends_by_itself():
    source = Source(metric(1), 60.0)
    assert await asyncio.wait_for(seen(source, longest_s=0.1), 5) == [(1, "metric")]
    assert source.closed


async def test_a_drain_ends_every_stream():
    source = Source(metric(1), 60.0)
    streams = Streams(source, source)
    async with aclosing(streams.watch("default", "j", 0)) as responses:
        assert (await anext(responses)).event_id == 1
        asyncio.get_running_loop().call_later(0.05, streams.draining.set)
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(anext(responses), 5)
    assert source.closed


async def test_a_gap_is_bridged_by_the_job_as_it_stands():
    gap = Event(id=5, time_ms=0, type="gap", payload={})
    found = await seen(Source(gap, metric(6), metric(7), metric(8), last=7))
    assert found == [(7, "snapshot"), (8, "metric")], "what the snapshot stands for is not repeated"


async def test_beyond_the_last_event_there_is_nothing():
    with pytest.raises(OutOfRange, match="3 events"):
        await seen(Source(), after=4)


async def test_an_outage_ends_the_stream_with_its_error():
    with pytest.raises(Unavailable):
        await seen(Source(metric(1), Unavailable("gone")))


async def test_a_client_that_leaves_ends_everything_behind_it():
    source = Source(metric(1), 60.0)
    streams = Streams(source, source)

    async def watch():
        async for response in streams.watch("default", "j", 0):
            assert isinstance(response, jobs_pb2.WatchJobResponse)

    task = asyncio.create_task(watch())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.closed
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_lost_unit_says_how_it_was_lost():
    payload = {"unit": 2, "kind": "lost", "worker": "w1", "attempt": 1}
    told = [
        events.response(Event(id=1, time_ms=0, type="unit", payload=payload | more)).unit_change
        for more in ({}, {"cause": "killed by SIGKILL"})
    ]
    assert [change.cause for change in told] == ["", "killed by SIGKILL"]
    assert {change.kind for change in told} == {jobs_pb2.UnitChange.KIND_LOST}
