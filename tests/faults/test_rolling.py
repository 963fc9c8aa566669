"""F12: everything is restarted in turn while clients work, and they do not notice."""

from __future__ import annotations

import time

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


def test_a_rolling_restart_of_every_role_fails_no_call_and_charges_no_attempt(bench, rng, report, scaled) -> None:
    stack = bench.stack
    roles = ["gateway", "store", *(f"worker-{number}" for number in range(1, stack.workers + 1))]
    with bench.run("F12 rolling restart", rng, report) as run:
        for _ in range(scaled(1)):
            for role in rng.sample(roles, len(roles)):
                stack.local.restart(role)
                stack.injected["restart"] += 1
                stack.wait_for(lambda: len(stack.ready()) >= 2, "workers are left")
                time.sleep(rng.uniform(0.2, 0.6))
    assert run.load.failures == []
    assert {event.attempt for history in run.histories for event in history.events if event.unit is not None} == {1}
    assert run.lost_causes() == {}
