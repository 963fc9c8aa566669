"""Previews in the store: who is woken, who is refused, what lapses, and that nothing stays."""

import asyncio
import io
import threading
import time

import pytest

from services.connection import connect, connect_async
from services.errors import ResourceExhausted, Unavailable
from services.jobs.calls import key
from services.jobs.previews import ANSWER_KEPT_MS, HEARD_OF_MS, AsyncPreviewBoard, Posted, PreviewBoard, _ask
from services.jobs.record import WorkerRecord


@pytest.fixture
def listening(job_store):
    """A worker is there."""
    job_store.announce(WorkerRecord(id="w", lane="cpu", device_name="", unit=None, last_seen_ms=0), 1e9)


@pytest.fixture
def blocking(store_settings):
    with connect(store_settings, blocking=True) as client:
        yield client


@pytest.fixture
def board(job_store, redis, blocking, listening):
    """A worker's side."""
    return PreviewBoard(redis, blocking, "one")


@pytest.fixture
def ask(redis):
    """Pin a task up without waiting for its answer."""

    def send(name, tenant="default", timeout_ms=5000, most=8):
        call = _ask(name, tenant, name.encode(), timeout_ms, most)
        call.parse(redis.execute_command(*call.command))

    return send


def test_the_first_preview_wakes_a_worker_and_the_next_goes_to_the_one_that_is_awake(board, ask, redis):
    ask("first")
    assert board.wait_asleep(1).task == b"first"
    board.listen()
    ask("second")
    assert redis.llen(key("previews:asleep")) == 0
    assert board.wait_awake(1).task == b"second"


def test_another_worker_is_woken_where_each_that_is_awake_has_one_waiting(board, ask, redis):
    board.listen()
    ask("first")
    ask("second")
    assert redis.lrange(key("previews:asleep"), 0, -1)[0].endswith(b" second")
    assert board.wait_asleep(1).task == b"second"
    assert board.wait_awake(1).task == b"first"


def test_what_waits_for_the_last_previewer_wakes_another_when_it_ends(board, ask, redis, blocking):
    other = PreviewBoard(redis, blocking, "other")
    board.listen()
    other.listen()
    ask("first")
    ask("second")
    other.leave()
    assert redis.llen(key("previews:awake")) == 2
    board.leave()
    assert redis.exists(key("previews:awake")) == 0
    assert [board.wait_asleep(1).task for _ in range(2)] == [b"first", b"second"]


def test_a_previewer_that_died_without_a_word_is_counted_no_more(board, ask, redis, clock):
    board.listen()
    clock.advance(HEARD_OF_MS + 1)
    ask("late")
    assert redis.llen(key("previews:awake")) == 0
    assert board.wait_asleep(1).task == b"late"


def test_a_tenant_may_have_so_many_under_way_and_others_as_many_of_their_own(board, ask):
    for name in ("a", "b"):
        ask(name, most=2)
    with pytest.raises(ResourceExhausted, match="wait for one of them") as refused:
        ask("c", most=2)
    assert refused.value.reason == "TOO_MANY_PREVIEWS"
    assert refused.value.retry_after_s > 0
    ask("d", tenant="other", most=2)
    board.answer("a", "default", b"done")
    ask("e", most=2)


def test_a_preview_that_nobody_answered_makes_room_at_its_deadline(board, ask, clock):
    ask("a", most=1, timeout_ms=5000)
    clock.advance(4999)
    with pytest.raises(ResourceExhausted):
        ask("b", most=1)
    clock.advance(1)
    ask("b", most=1)


def test_a_task_is_late_from_its_deadline_on_by_the_servers_clock(board, ask, clock):
    board.listen()
    ask("a", timeout_ms=60_000)
    posted = board.wait_awake(1)
    assert not board.late(posted)
    clock.advance(60_000)
    board.listen()
    assert board.late(posted)


def test_every_key_of_a_preview_lapses_by_itself(board, ask, redis):
    before = set(redis.keys("*"))
    ask("waits")
    board.listen()
    ask("waits too")
    board.answer("answered", "default", b"done")
    made = set(redis.keys("*")) - before
    names = ("previews:awake", "previews:asleep", "previewers", "previewing:default", "preview:answered")
    assert made == {key(name).encode() for name in names}
    assert all(0 < redis.pttl(name) <= 60_000 for name in made)
    assert redis.pttl(key("preview:answered")) <= ANSWER_KEPT_MS


def test_where_no_worker_listens_it_is_said_at_once(job_store, ask):
    with pytest.raises(Unavailable, match="start one") as refused:
        ask("a")
    assert refused.value.reason == "NO_WORKER"


async def test_an_answer_reaches_whoever_asked(board, store_settings, async_redis):
    def work():
        posted = board.wait_asleep(5)
        board.answer("p", "default", b"to " + posted.task)

    helper = threading.Thread(target=work)
    helper.start()
    async with connect_async(store_settings, blocking=True) as waiting:
        asking = AsyncPreviewBoard(async_redis, waiting)
        assert await asking.ask("p", "default", b"task", timeout_s=5, most=1) == b"to task"
        helper.join()
        started = time.monotonic()
        assert await asking.ask("q", "default", b"task", timeout_s=0.3, most=1) is None
        assert 0.25 < time.monotonic() - started < 3
    await asyncio.sleep(0)


def test_a_task_survives_its_way_from_one_process_to_another():
    posted = Posted(task=b"\x00 task\n", deadline_ms=1_800_000_000_000)
    stream = io.BytesIO(posted.pack() + b"more")
    assert Posted.read(stream) == posted
    with pytest.raises(EOFError):
        Posted.read(io.BytesIO(posted.pack()[:-1]))
