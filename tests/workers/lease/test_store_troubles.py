"""A store that is away or full, as a worker that holds a unit sees it."""

from __future__ import annotations

import time
from dataclasses import replace

from services.errors import ResourceExhausted, Unavailable
from services.jobs.record import Lease
from services.jobs.states import State
from workers.failures import Interrupted
from workers.lease import Failed, Heartbeat, LeaseLost, Outcome, status


def test_an_outage_shorter_than_the_lease_costs_nothing(bench, lab, flaky) -> None:
    bench.submit(units=1)

    def run(lease: Lease, heartbeat: Heartbeat) -> Outcome:
        until = time.monotonic() + 0.5
        flaky.away = lambda: time.monotonic() < until
        return lab.ticking(0.2)(lease, heartbeat)

    assert bench.worker(run, store=flaky).serve() == 2
    assert bench.state() is State.SUCCEEDED
    assert bench.attempts() == [1, 1]


def test_an_outage_longer_than_the_lease_ends_the_computation(bench, lab, flaky) -> None:
    bench.submit(units=1)
    seen: list[type[Interrupted]] = []

    def run(lease: Lease, heartbeat: Heartbeat) -> Outcome:
        flaky.away = lambda: not seen
        return lab.ticking(30, seen)(lease, heartbeat)

    begun = time.monotonic()
    assert bench.worker(run, store=flaky, limits=replace(lab.QUICK, lease_s=0.4)).serve() == 1
    assert time.monotonic() - begun < 2
    assert seen == [LeaseLost]
    lab.wait_for(lambda: bench.store.reap() == 1)
    assert bench.worker(lab.done, name="other").serve() == 2
    assert bench.state() is State.SUCCEEDED


def test_a_unit_whose_bytes_are_away_for_long_is_given_back_and_costs_no_attempt(bench, lab) -> None:
    bench.submit(units=1)
    begun = time.monotonic()

    def away(lease: Lease, heartbeat: Heartbeat) -> Outcome:
        def get() -> Outcome:
            if time.monotonic() - begun < 1.0:
                raise Unavailable("the bucket is away")
            return lab.done(lease, heartbeat)

        return heartbeat.insist(get)

    assert bench.worker(away, limits=replace(lab.QUICK, away_s=0.3)).serve() > 2
    assert bench.state() is State.SUCCEEDED
    assert "released" in {kind for _, kind in bench.kinds()}
    assert set(bench.attempts()) == {1}
    assert bench.causes() == []


def test_a_full_store_is_waited_for_but_not_for_ever(bench, lab, flaky) -> None:
    bench.submit(units=1)
    flaky.error = ResourceExhausted("full")

    def run(lease: Lease, heartbeat: Heartbeat) -> Outcome:
        flaky.away = lambda: True
        try:
            heartbeat.insist(lambda: flaky.get("default", "job"))
        except ResourceExhausted as error:
            flaky.away = lambda: False
            return Failed(status(error.reason, error.message).SerializeToString())
        return lab.done(lease, heartbeat)

    bench.worker(run, store=flaky, limits=replace(lab.QUICK, full_s=0.2)).serve()
    assert bench.state() is State.FAILED
