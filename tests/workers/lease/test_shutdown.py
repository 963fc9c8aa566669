"""What a worker does with its unit when it is told to end."""

from __future__ import annotations

import time
from dataclasses import replace

from services.jobs.record import Lease
from services.jobs.states import State
from workers.failures import Interrupted
from workers.lease import Draining, Heartbeat, Outcome


def test_a_unit_that_ends_soon_is_finished_before_the_shutdown(bench, lab) -> None:
    bench.submit(units=2)

    def run(lease: Lease, heartbeat: Heartbeat) -> Outcome:
        bench.drain.request()
        return lab.ticking(0.3)(lease, heartbeat)

    assert bench.worker(run).serve() == 1
    assert bench.kinds() == [(0, "claimed"), (0, "committed")]


def test_a_unit_that_would_take_too_long_is_given_back_uncharged(bench, lab) -> None:
    bench.submit(units=1)
    seen: list[type[Interrupted]] = []

    def run(lease: Lease, heartbeat: Heartbeat) -> Outcome:
        bench.drain.request()
        return lab.ticking(30, seen)(lease, heartbeat)

    begun = time.monotonic()
    assert bench.worker(run).serve() == 1
    assert time.monotonic() - begun < 1.5
    assert seen == [Draining]
    assert bench.kinds() == [(0, "claimed"), (0, "released")]
    bench.drain.clear()
    bench.worker(lab.done, name="other").serve()
    assert bench.state() is State.SUCCEEDED
    assert bench.attempts() == [1, 1, 1]


def test_a_training_goes_on_to_its_next_checkpoint_before_it_is_given_back(bench) -> None:
    bench.submit(units=1, kind="training")
    kept: list[float] = []

    def run(lease: Lease, heartbeat: Heartbeat) -> Outcome:
        bench.drain.request()
        begun = time.monotonic()
        while True:
            heartbeat.tick(0.001 * (time.monotonic() - begun))
            time.sleep(0.005)
            if time.monotonic() - begun > 0.3:
                kept.append(time.monotonic() - begun)
                heartbeat.keep_checkpoint("digest")

    assert bench.worker(run).serve() == 1
    assert len(kept) == 1
    assert bench.kinds() == [(0, "claimed"), (0, "released")]
    bench.drain.clear()
    lease = bench.store.claim("c", "w", "cpu", 1000)
    assert lease is not None
    assert lease.checkpoint == "digest"


def test_nothing_is_claimed_during_a_shutdown(bench, lab) -> None:
    bench.submit()
    bench.drain.request()
    assert bench.worker(lab.done).serve() == 0
    assert bench.kinds() == []


def test_a_hanging_unit_is_given_back_at_a_shutdown(bench, lab) -> None:
    bench.submit(units=1)
    lease = bench.store.claim("c", "w", "cpu", 5000)
    assert lease is not None
    left: list[int] = []
    limits = replace(lab.QUICK, drain_s=0.1)
    with Heartbeat(bench.store, lease, "w", limits=limits, drain=bench.drain, leave=left.append):
        bench.drain.request()
        lab.wait_for(lambda: left != [])
    assert bench.kinds() == [(0, "claimed"), (0, "released")]
