"""What is done to the stack while it is under load: the kinds of F1 to F6, one every few seconds, seeded."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Self

from redis.exceptions import RedisError

from tests.faults import facts
from tests.faults.injuries import LEFT_READY, SPARED_ATTEMPT
from tests.faults.net_proxy import Proxy
from tests.faults.stack import FaultStack, alive

# Seconds between two injections, and for how long a process is frozen; a worker's lease is 3 s.
PAUSE_S = (3.0, 8.0)
FROZEN_S = (0.5, 5.0)
# The gateway is frozen for less: everything else goes on asking it.
GATEWAY_FROZEN_S = 1.5


class Disturber:
    """A thread that hurts the stack until it is told to stop.

    From `calm_from_s` on the store, the gateway and the first worker are no longer killed, so that one series of each
    lasts for long enough to have a slope; the other workers are hurt on, and connections cut.
    """

    def __init__(self, stack: FaultStack, proxy: Proxy, rng: random.Random, calm_from_s: float) -> None:
        self._stack, self._proxy, self._rng = stack, proxy, rng
        self._calm_at = monotonic() + calm_from_s
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="disturber", daemon=True)
        self._kinds: tuple[tuple[float, Callable[[], bool]], ...] = (
            (6, self._kill_child),
            (2, self._kill_parent),
            (2, self._kill_store),
            (2, self._kill_gateway),
            (3, self._freeze_child),
            (1, self._freeze_gateway),
            (3, self._cut),
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.join()

    def _keep(self) -> None:
        weights, kinds = zip(*self._kinds, strict=True)
        while not self._left.wait(self._rng.uniform(*PAUSE_S)):
            try:
                if len(self._stack.ready()) >= LEFT_READY:
                    self._rng.choices(kinds, weights)[0]()
            except (RedisError, OSError):
                # The store has just been killed: who holds what can't be told.
                continue

    def _calm(self) -> bool:
        return monotonic() >= self._calm_at

    def _worker(self) -> tuple[str, int] | None:
        """A worker that may be hurt, with its child: not one whose unit would be lost for the third time."""
        names = [name for name in self._stack.parents() if not (self._calm() and name == "worker-1")]
        name = self._rng.choice(sorted(names)) if names else ""
        child = self._stack.child(name) if name else 0
        if child == 0:
            return None
        held = facts.holding(self._stack.redis, child)
        return None if held is not None and held[2] >= SPARED_ATTEMPT else (name, child)

    def _kill_child(self) -> bool:
        found = self._worker()
        return found is not None and self._stack.send(found[1], signal.SIGKILL, "kill child")

    def _kill_parent(self) -> bool:
        found = self._worker()
        return found is not None and self._stack.send(
            self._stack.local.pid(found[0]), signal.SIGKILL, "kill parent", group=self._rng.random() < 0.5
        )

    def _kill_store(self) -> bool:
        pid = self._stack.local.pid("store")
        return not self._calm() and self._stack.send(pid, signal.SIGKILL, "kill store")

    def _kill_gateway(self) -> bool:
        pid = self._stack.local.pid("gateway")
        return not self._calm() and self._stack.send(pid, signal.SIGKILL, "kill gateway")

    def _freeze_child(self) -> bool:
        found = self._worker()
        return found is not None and self._freeze(found[1], self._rng.uniform(*FROZEN_S))

    def _freeze_gateway(self) -> bool:
        return self._freeze(self._stack.local.pid("gateway"), GATEWAY_FROZEN_S)

    def _freeze(self, pid: int, seconds: float) -> bool:
        if not self._stack.send(pid, signal.SIGSTOP, "freeze"):
            return False
        try:
            self._left.wait(seconds)
        finally:
            if alive(pid):
                os.kill(pid, signal.SIGCONT)
        return True

    def _cut(self) -> bool:
        cut = self._proxy.drop(self._rng, 0.5)
        self._stack.injected["cut"] += cut
        return cut > 0
