"""F3: a gateway that is killed in the middle of a submit, an upload, a watch or a download costs clients a moment."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sparring

from .net_gateway import Gateway
from .net_transfers import Transfers, drop_begun_uploads
from .stack import FaultStack

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

# How likely it dies at a point each time that it comes by, so that it is neither always the first nor never.
POINTS = {
    "gateway.received": 0.1,
    "gateway.answering": 0.1,
    "gateway.chunk_kept": 0.1,
    "gateway.event_sent": 0.05,
    "gateway.chunk_sent": 0.1,
}
PATIENCE_S = 4.0


class Elsewhere:
    """The stack, but its clients talk to another gateway."""

    def __init__(self, stack: FaultStack, target: str) -> None:
        self._stack, self._target = stack, target

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stack, name)

    def client(self) -> sparring.Client:
        return sparring.connect(self._target, wait_for_ready=True)


class Killer:
    """Kills a gateway again and again: half of the times at random moments, half at the points of its code."""

    def __init__(self, gateway: Gateway, rng: random.Random, log: Path) -> None:
        self._gateway, self._rng, self._log = gateway, rng, log
        self._base = dict(gateway.environment)
        self.kills: Counter[str] = Counter()

    def kill(self, count: int) -> None:
        """Do it so often; the gateway runs afterwards."""
        points = [point for _, point in zip(range(count // 2), _forever(self._rng), strict=False)]
        for number in range(count):
            point = points[number // 2] if number % 2 and number // 2 < len(points) else None
            self._arm(point, number)
            self._gateway.launch()
            self._gateway.await_port()
            self._die(point)
        self._arm(None, count)
        self._gateway.start()

    def _arm(self, point: str | None, number: int) -> None:
        rule = {} if point is None else {"SPARRING_FAULTS": f"{point}:kill:{POINTS[point]}:1"}
        seed = {"SPARRING_FAULTS_SEED": str(number), "SPARRING_FAULTS_LOG": str(self._log)}
        self._gateway.environment = self._base | {"SPARRING_FAULTS": ""} | seed | rule

    def _die(self, point: str | None) -> None:
        assert self._gateway.process is not None
        until = time.monotonic() + (self._rng.uniform(0.02, 0.6) if point is None else PATIENCE_S)
        while self._gateway.alive and time.monotonic() < until:
            time.sleep(0.005)
        if self._gateway.alive:
            self._gateway.kill()
            self.kills["at random"] += 1
        else:
            assert point is not None, f"the gateway died by itself; its log is {self._gateway.log}"
            self.kills[point] += 1


def _forever(rng: random.Random) -> Iterator[str]:
    while True:
        yield from rng.sample(sorted(POINTS), len(POINTS))


def test_a_gateway_killed_at_any_moment_loses_and_repeats_nothing(bench, rng, report, scaled, tmp_path):
    stack: FaultStack = bench.stack
    environment = stack.local.store_environment
    gateway = Gateway(environment["SPARRING_REDIS_URL"], tmp_path, environment)
    killer = Killer(gateway, rng, tmp_path / "points.log")
    elsewhere: Any = Elsewhere(stack, gateway.target)
    gateway.start()
    try:
        with replace(bench, stack=elsewhere).run("F3 gateway killed", rng, report, recovery_s=None) as run:
            with Transfers(gateway.target, rng) as transfers:
                gateway.kill()
                killer.kill(scaled(25))
            stack.injected["kill gateway"] += killer.kills.total()
            begun_twice = drop_begun_uploads(stack.redis)
    finally:
        gateway.stop()
    print(dict(killer.kills), f"{transfers.done} transfers, uploads resumed at {transfers.resumed}")
    print(f"{begun_twice} uploads were begun twice; {len(run.load.failures)} calls failed: {run.load.failures[:3]}")
    assert transfers.failures == []
    assert transfers.done > 0
    assert set(killer.kills) == {"at random", *POINTS}
    assert any(offset > 1 << 20 for offset in transfers.resumed), "an upload goes on where it was"
    # A request_id stands for one job, however often it was sent.
    names = [job.name for job in run.load.accepted]
    assert len(set(names)) == len({job.request_id for job in run.load.accepted}) == len(names)
    assert sum(job.watched != [] for job in run.load.accepted) == len(names), "every job was watched through it all"
