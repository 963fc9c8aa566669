"""F7: a doorbell carries nothing, so it may be lost, repeated or late."""

from __future__ import annotations

import time

import pytest

from .bells import Echo, Thieves
from .runs import Run

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]
SHORT = ("fgsm", "pgd", "bim")
# The reconciler rings once a second for what nobody took; Celery looks once a second.
RUNG_AGAIN_S = 3.0


def claims_so_far(run: Run) -> int:
    """Leases that were ever given."""
    return int(run.stack.redis.get("{sparring}:fence") or 0)


def assert_nothing_ran_twice(run: Run) -> None:
    assert run.claims() == sum(history.units + 1 for history in run.histories)


def test_jobs_whose_bells_are_all_lost_run_as_soon_as_one_is_heard(bench, rng, report, scaled) -> None:
    stack, rounds = bench.stack, scaled(2)
    for _ in range(rounds):
        stack.wait_until_whole()
        with (
            Thieves(stack.connect()) as thieves,
            bench.run("F7 every bell lost", rng, report, recovery_s=RUNG_AGAIN_S, mix=SHORT) as run,
        ):
            time.sleep(0.5)
            before = claims_so_far(run)
            stack.wait_for(lambda: len(thieves.stolen) >= 12, "bells are stolen")
            assert claims_so_far(run) == before, "a worker heard a bell"
            stack.injected["steal bell"] += len(thieves.stolen)
            thieves.stop()
            freed = time.monotonic()
            stack.wait_for(lambda before=before: claims_so_far(run) > before, "a bell is rung again")
            run.recoveries_s.append(time.monotonic() - freed)
        assert_nothing_ran_twice(run)


def test_bells_that_come_ten_times_and_in_disorder_run_nothing_twice(bench, rng, report, scaled) -> None:
    stack = bench.stack
    with Thieves(stack.connect()) as thieves:
        stack.client().train("digits", architecture="softmax_regression", epochs=1)
        stack.wait_for(lambda: thieves.stolen, "a bell is rung")
    with (
        bench.run("F7 bells repeated and reordered", rng, report, mix=SHORT) as run,
        Echo(stack.connect(), thieves.stolen[0], rng) as echo,
    ):
        time.sleep(scaled(4))
        stack.injected["repeat bell"] += echo.rung
    assert_nothing_ran_twice(run)
