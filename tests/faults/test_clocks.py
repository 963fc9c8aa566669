"""F11: only the store's clock counts, and where that one steps, work is done again and nothing else happens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .clocks import Clock, clear_away
from .runs import Bench
from .stack import FaultStack

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
HOUR_S = 3600
# Trainings are held long enough for a lease to lapse.
MIX = ("pgd", "training")


@dataclass
class Clocks:
    """A stack whose three kinds of processes live by three clocks."""

    bench: Bench
    gateway: Clock
    workers: Clock
    store: Clock


@pytest.fixture(scope="module")
def clocks(fast_folder: Path) -> Iterator[Clocks]:
    folder = fast_folder / "faults-clocks"
    folder.mkdir()
    gateway, workers, own = (Clock(folder / f"{name}.clock") for name in ("gateway", "workers", "store"))
    stack = FaultStack(
        folder,
        "valkey",
        2,
        environment={"SPARRING_FAULTS": ""},
        gateway_environment=gateway.environment,
        worker_environment=workers.environment,
        store_binary=own.store_binary(),
    )
    with stack.running():
        yield Clocks(Bench.prepare(stack), gateway, workers, own)
    clear_away()


def test_wrong_clocks_of_gateway_and_workers_end_no_lease(clocks: Clocks, rng, report, scaled) -> None:
    offsets = [(HOUR_S, -HOUR_S), (-HOUR_S, HOUR_S), (0, 0)] * scaled(1)
    with clocks.bench.run("F11 clocks of clients wrong", rng, report, in_flight=4, mix=MIX) as run:
        for gateway_s, workers_s in offsets:
            clocks.gateway.write(gateway_s)
            clocks.workers.step(workers_s)
            run.stack.injected["step clock"] += 2
    assert run.load.failures == []
    assert run.lost_causes() == {}


def test_a_store_whose_clock_steps_has_work_done_again_and_no_more(clocks: Clocks, rng, report, scaled) -> None:
    with clocks.bench.run("F11 clock of the store steps", rng, report, in_flight=4, mix=MIX) as run:
        # Forwards a lease lapses unless its worker is faster than the reaper; backwards none does.
        for offset_s in [60, 0, HOUR_S, 0, 7] * scaled(1):
            run.stack.wait_for(run.stack.holders, "a worker holds a unit")
            clocks.store.step(offset_s)
            run.stack.injected["step clock"] += 1
    times_s = [event.time_s for history in run.histories for event in history.events]
    assert max(times_s) - min(times_s) > HOUR_S - 60, "the events tell of no step"
