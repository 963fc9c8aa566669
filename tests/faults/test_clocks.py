"""F11: only the store's clock counts, and where that one steps, work is done again and nothing else happens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .clocks import StoreClock, wrong_by
from .runs import Bench
from .stack import FaultStack

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
HOUR_S = 3600


@pytest.fixture(scope="module")
def store_clock(fast_folder: Path) -> StoreClock:
    folder = fast_folder / "faults-clocks"
    folder.mkdir()
    return StoreClock(folder)


@pytest.fixture(scope="module")
def skewed(store_clock: StoreClock, fast_folder: Path) -> Iterator[Bench]:
    """A stack whose gateway is an hour ahead and whose workers are an hour behind."""
    stack = FaultStack(
        fast_folder / "faults-clocks",
        "valkey",
        2,
        gateway_environment=wrong_by(HOUR_S),
        worker_environment=wrong_by(-HOUR_S),
        store_binary=store_clock.binary(),
    )
    with stack.running():
        yield Bench.prepare(stack)


def test_wrong_clocks_of_gateway_and_workers_end_no_lease(skewed: Bench, rng, report, scaled) -> None:
    stack = skewed.stack
    stack.injected["wrong clock"] += 1 + stack.workers
    with skewed.run("F11 clocks of clients wrong", rng, report, in_flight=4) as run:
        for sign in (-1, 1) * scaled(1):
            for name in ("gateway", "worker-1", "worker-2"):
                offset_s = sign * HOUR_S if name == "gateway" else -sign * HOUR_S
                stack.local.restart(name, wrong_by(offset_s))
                stack.injected["wrong clock"] += 1
                stack.wait_until_whole()
    assert run.load.failures == []
    assert run.lost_causes() == {}


def test_a_store_whose_clock_steps_has_work_done_again_and_no_more(
    skewed: Bench, store_clock: StoreClock, rng, report, scaled
) -> None:
    with skewed.run("F11 clock of the store steps", rng, report, in_flight=4) as run:
        # Forwards a lease lapses unless its worker is faster than the reaper; backwards none does.
        for offset_s in [60, 0, HOUR_S, 0, 7] * scaled(1):
            run.stack.wait_for(run.stack.holders, "a worker holds a unit")
            store_clock.step(offset_s)
            run.stack.injected["step clock"] += 1
            time.sleep(0.5)
    times_s = [event.time_s for history in run.histories for event in history.events]
    assert max(times_s) - min(times_s) > HOUR_S, "the events tell of no step"
