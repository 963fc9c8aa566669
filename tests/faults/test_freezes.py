"""F5: a worker that is frozen for longer than its lease writes nothing when it wakes up."""

from __future__ import annotations

import pytest

from .injuries import freeze, spared
from .stack import LEASE_S

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
# All but one of the workers at once: somebody has to take over.
AT_ONCE = 3


def test_a_worker_that_wakes_up_after_its_lease_is_refused(bench, rng, report, scaled) -> None:
    stack, left = bench.stack, scaled(10)
    with bench.run("F5 worker frozen beyond its lease", rng, report) as run:
        while left > 0:
            stack.wait_for(lambda: len(stack.holders()) >= AT_ONCE, "workers hold units")
            holders = [pid for pid in sorted(stack.holders()) if not spared(run, pid)]
            chosen = rng.sample(holders, min(AT_ONCE, left, len(holders)))
            freeze(run, chosen, LEASE_S + 1.5)
            left -= len(chosen)
    # That nobody but the holder committed is what I2 says; here, that the frozen ones did lose what they held.
    assert 0 < run.lost_units() <= scaled(10)
