"""The door to Redis: how long it waits, and what the server's words become."""

import asyncio
import socket
import threading
import time

import pytest
from redis import exceptions

from services.connection import POOL_SIZE, MemoryGauge, connect, connect_async, translated
from services.errors import ResourceExhausted, Unavailable
from services.settings import StoreSettings

NOWHERE = StoreSettings("redis://127.0.0.1:1/0")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (exceptions.ConnectionError("refused"), Unavailable),
        (exceptions.TimeoutError("late"), Unavailable),
        (exceptions.BusyLoadingError("loading"), Unavailable),
        (exceptions.ReadOnlyError("replica"), Unavailable),
        (ConnectionResetError("reset"), Unavailable),
        (exceptions.ResponseError("MISCONF errors writing to the AOF file"), Unavailable),
        (exceptions.ResponseError("ERR Function not found"), Unavailable),
        (exceptions.OutOfMemoryError("OOM"), ResourceExhausted),
        (exceptions.ResponseError("ERR OOM allow-oom script: ..."), ResourceExhausted),
        (exceptions.ResponseError("WRONGTYPE"), exceptions.ResponseError),
    ],
)
def test_what_the_server_says_is_translated(said, meant):
    with pytest.raises(meant), translated():
        raise said


async def test_a_store_that_is_away_is_unavailable():
    with connect(NOWHERE, blocking=True) as client, pytest.raises(Unavailable), translated():
        client.ping()
    async with connect_async(NOWHERE, blocking=True) as client:
        with pytest.raises(Unavailable), translated():
            await client.ping()


async def test_more_commands_than_connections_wait_for_one_another(store_settings, async_redis):
    await async_redis.set("many", b"1")
    answers = await asyncio.gather(*(async_redis.get("many") for _ in range(500)))
    assert answers == [b"1"] * 500
    assert len(await async_redis.client_list()) <= POOL_SIZE + 5


def test_a_password_is_taken_from_the_settings(redis_url):
    settings = StoreSettings(redis_url, redis_password="wrong")
    with connect(settings, blocking=True) as client, pytest.raises(Unavailable), translated():
        client.ping()


def test_a_command_is_tried_again_and_a_blocking_one_is_not():
    """A server that hangs up on every connection counts how often it was called."""
    calls = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                calls.append(time.monotonic())
                connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        settings = StoreSettings(f"redis://127.0.0.1:{server.getsockname()[1]}/0")
        counted = []
        for blocking in (True, False):
            calls.clear()
            with connect(settings, blocking=blocking) as client, pytest.raises(Unavailable), translated():
                client.ping()
            counted.append(len(calls))
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert counted[0] < counted[1]


@pytest.mark.parametrize(
    ("maxmemory", "settled", "share"), [(1000, 0, 0.5), (1000, 4000, 0.5), (0, 4000, 0.125), (0, 0, 0.0)]
)
def test_the_gauge_takes_the_servers_limit_before_ours(maxmemory, settled, share):
    gauge = MemoryGauge(StoreSettings(redis_memory_bytes=settled))
    gauge.note({"maxmemory": maxmemory, "used_memory": 500})
    assert gauge.share() == share


def test_the_gauge_is_read_once_a_second_by_one_caller():
    gauge = MemoryGauge(StoreSettings())
    assert [gauge.due() for _ in range(3)] == [True, False, False]


@pytest.mark.parametrize(
    ("used", "extra", "admitted"), [(80, 0, True), (81, 0, False), (50, 30, True), (50, 31, False)]
)
def test_what_would_fill_the_store_beyond_four_fifths_is_refused(used, extra, admitted):
    gauge = MemoryGauge(StoreSettings())
    gauge.note({"maxmemory": 100, "used_memory": used})
    if admitted:
        gauge.admit(extra)
    else:
        with pytest.raises(ResourceExhausted):
            gauge.admit(extra)
