"""Whatever a computation raises, its job ends and says why in few words, and the worker goes on with the next."""

from __future__ import annotations

import sys

import pytest
from google.rpc.status_pb2 import Status

from services.jobs.record import NewJob
from services.jobs.states import State
from workers.failures import LONGEST_LOGGED, account, words


class Endless(Exception):
    def __str__(self) -> str:
        return "x" * 100_000_000


class Unreadable(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__(lambda: None)


class Broken(Exception):
    def __str__(self) -> str:
        return "half a surrogate pair: \udc80"


def deep() -> None:
    deep()


POISONS = {
    "RuntimeError": RuntimeError("as usual"),
    "Endless": Endless(),
    "Unreadable": Unreadable(),
    "Unpicklable": Unpicklable(),
    "Broken": Broken(),
    "SystemExit": SystemExit("enough"),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "GeneratorExit": GeneratorExit(),
}


@pytest.mark.parametrize("name", POISONS)
def test_an_error_ends_the_job_in_few_words_and_not_the_worker(
    bench, make, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    units = sys.modules["workers.run"].UNITS
    honest = units["attack"]

    def poison(unit) -> object:
        if unit.lease.job_id == "poison":
            raise POISONS[name]
        return honest(unit)

    monkeypatch.setitem(units, "attack", poison)
    bench.submit(make.attack(bench.model()), "poison")
    assert bench.run(make.attack(bench.model()), "next").state is State.SUCCEEDED
    record = bench.store.get("default", "poison")
    assert record.state is State.FAILED
    assert len(record.error) < 2000
    reason, message = bench.said(Status.FromString(record.error))
    assert reason == "INTERNAL_ERROR"
    assert message.startswith(name)
    assert len(caplog.text) < 2 * LONGEST_LOGGED


def test_too_little_memory_is_an_answer(bench, make, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(*_: object) -> None:
        bytearray(1 << 60)

    monkeypatch.setitem(sys.modules["workers.run"].UNITS, "attack", greedy)
    reason, message = bench.failure(make.attack(bench.model()))
    assert reason == "OUT_OF_MEMORY"
    assert "batch_size" in message


def test_a_recursion_without_end_is_an_answer(bench, make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules["workers.run"].UNITS, "attack", lambda _: deep())
    assert "RecursionError" in bench.failure(make.attack(bench.model()))[1]


def test_a_job_that_can_not_be_read_is_quarantined(bench) -> None:
    """As no version of a worker may be able to read it, it is not tried for ever."""
    bench.store.submit(NewJob(id="job", kind="attack", spec=b"\xff\xff", spec_hash="", units=1))
    bench.serve()
    record = bench.store.get("default", "job")
    assert record.state is State.QUARANTINED
    assert "raised DecodeError" in Status.FromString(record.error).message


def test_words_are_few_and_never_fail() -> None:
    assert words(ValueError("wrong")) == "ValueError: wrong"
    assert words(KeyboardInterrupt()) == "KeyboardInterrupt"
    assert words(Unreadable()) == "Unreadable: its message can't be read"
    assert len(words(Endless())) < 1100
    assert words(Broken()).encode()
    assert len(account(Endless())) < 1.1 * LONGEST_LOGGED
    assert "Endless" in account(Endless())
