"""The process that answers previews: it serves until nobody asks, and passes over what nobody waits for."""

from __future__ import annotations

import threading
import time

import pytest
from sparring.v1 import preview_pb2

from services.connection import connect
from services.errors import Unavailable
from services.jobs import functions
from services.jobs.previews import Posted, PreviewBoard
from services.jobs.record import WorkerRecord
from workers.run import previewer
from workers.run.previewer import serve


@pytest.fixture
def board(job_store, redis, store_settings):
    job_store.announce(WorkerRecord(id="w", lane="cpu", device_name="", unit=None, last_seen_ms=0), 1e9)
    with connect(store_settings, blocking=True) as blocking:
        yield PreviewBoard(redis, blocking, "one")


def now_ms(redis) -> int:
    seconds, micro = redis.time()
    return seconds * 1000 + micro // 1000


def task(bench, name: str) -> bytes:
    drawn = preview_pb2.Picture(shape=[1, 8, 8], uint8=bytes(64))
    request = preview_pb2.PreviewAttackRequest(drawn=drawn)
    made = preview_pb2.PreviewTask(id=name, tenant="default", attack=request, models=[bench.model()])
    return made.SerializeToString()


def answered(redis, name: str, timeout_s: float = 10) -> preview_pb2.PreviewAnswer:
    popped = redis.blpop([f"{{sparring}}:preview:{name}"], timeout=timeout_s)
    assert popped is not None
    return preview_pb2.PreviewAnswer.FromString(popped[1])


def test_it_answers_the_task_that_it_began_with_and_those_that_come_then_it_ends(bench, board, redis) -> None:
    first = Posted(task=task(bench, "first"), deadline_ms=now_ms(redis) + 60_000)
    counts: list[int] = []
    running = threading.Thread(target=lambda: counts.append(serve(board, bench.context, first, idle_s=1.5)))
    running.start()
    assert answered(redis, "first").HasField("attack")
    redis.fcall(functions.name("preview_ask"), 1, "{sparring}:fence", "next", "default", task(bench, "next"), 60_000, 8)
    assert answered(redis, "next").HasField("attack")
    running.join(30)
    assert counts == [2]


def test_what_nobody_waits_for_any_more_is_neither_computed_nor_answered(bench, board, redis, monkeypatch) -> None:
    monkeypatch.setattr(previewer, "answer", lambda *_: pytest.fail("it was computed"))
    late = Posted(task=task(bench, "late"), deadline_ms=now_ms(redis) - 1)
    assert serve(board, bench.context, late, idle_s=0.2) == 0
    assert redis.exists("{sparring}:preview:late") == 0


def test_a_store_that_is_away_for_a_while_is_waited_for(bench, board, redis, monkeypatch) -> None:
    real, times = board.wait_awake, iter([True, False])

    def away(timeout_s: float):
        if next(times, False):
            raise Unavailable("away")
        return real(timeout_s)

    monkeypatch.setattr(board, "wait_awake", away)
    started = time.monotonic()
    assert serve(board, bench.context, None, idle_s=1.0) == 0
    assert time.monotonic() - started >= 1.0
