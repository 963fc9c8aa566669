"""F6: the network between the store and everybody else fails in every way that a network can."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from .net_functions import calls
from .net_gateway import free_port
from .net_proxy import Proxy
from .runs import Bench, Run
from .stack import LEASE_S, FaultStack

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

# What changes something: an answer of one of these is lost after the store has done what was asked.
FUNCTIONS = (
    "submit",
    "claim",
    "renew",
    "commit",
    "finish",
    "announce",
    "reap",
    "ring",
    "artifact_seal",
    "artifact_touch",
)
# A half-open connection is found out when a command takes too long; a lease of this suite would be lost by then, so
# the path mends before.
SHORT_S, LONG_S = 0.3, 1.5


@dataclass
class Nets:
    """The paths to the store: of the gateway, and of the workers."""

    gateway: Proxy
    workers: Proxy

    def __iter__(self) -> Iterator[Proxy]:
        return iter((self.gateway, self.workers))

    @property
    def done(self) -> int:
        return sum(proxy.done.total() for proxy in self)


@pytest.fixture(scope="module")
def proxied(store, fast_folder) -> Iterator[tuple[Bench, Nets]]:
    """A stack whose gateway and workers reach the store through a proxy each."""
    store_port = free_port()
    nets = Nets(Proxy(store_port, free_port()), Proxy(store_port, free_port()))
    environments = [{"SPARRING_REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0"} for proxy in nets]
    made = FaultStack(
        fast_folder / f"faults-net-{store}",
        store,
        workers=2,
        store_port=store_port,
        gateway_environment=environments[0],
        worker_environment=environments[1],
    )
    with nets.gateway.running(), nets.workers.running(), made.running() as stack:
        yield Bench.prepare(stack), nets


def disturb(proxy: Proxy, rng: random.Random) -> None:
    """One injection."""
    share = rng.choice([0.3, 1.0])
    match rng.choice(["drop", "delay", "half-open", "answer lost", "answer lost"]):
        case "drop":
            proxy.drop(rng, share)
        case "delay":
            proxy.delay(rng, rng.uniform(0.1, 2.0), rng.uniform(SHORT_S, LONG_S), share)
        case "half-open":
            proxy.half_open(rng, rng.choice(["up", "down"]), rng.uniform(SHORT_S, LONG_S), share)
        case _:
            proxy.lose_answer(calls(rng.choice(FUNCTIONS)))


def inject(run: Run, nets: Nets, rng: random.Random, count: int) -> None:
    """Disturb one path or the other, at random moments, until it was done so often."""
    deadline = time.monotonic() + 60 + count
    while nets.done < count:
        assert time.monotonic() < deadline, f"{nets.done} of {count} were injected"
        disturb(rng.choice(list(nets)), rng)
        time.sleep(rng.uniform(0.05, 0.6))
    for proxy in nets:
        # Which answers are lost is drawn by function, and one that is not called before the next draw loses none.
        while "answer lost" not in proxy.done:
            assert time.monotonic() < deadline, "no answer was there to be lost"
            proxy.lose_answer(calls(*FUNCTIONS))
            time.sleep(0.5)
        proxy.lossy = None
        run.stack.injected.update({f"net {what}": number for what, number in proxy.done.items()})


def test_whatever_the_network_does_to_the_store_no_job_is_lost_or_done_twice(proxied, rng, report, scaled):
    bench, nets = proxied
    nets.gateway.done.clear()
    nets.workers.done.clear()
    with bench.run("F6 network to the store", rng, report, recovery_s=None) as run:
        # Both stores together are the hundred of CI.
        inject(run, nets, rng, scaled(50))
    for proxy in nets:
        print(dict(proxy.done))
        assert set(proxy.done) == {"drop", "delay", "half-open", "answer lost"}
    assert LEASE_S > LONG_S
