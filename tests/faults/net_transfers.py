"""Uploads and downloads that go on through whatever happens, and what they must come to."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import sparring

from services.artifacts import calls
from services.connection import Redis

UPLOADS = "{sparring}:uploads"


@dataclass
class Transfers:
    """Keeps uploading, downloading and deleting while it is entered, by the client that users have."""

    target: str
    rng: random.Random
    size_bytes: int = 6 << 20
    threads: int = 2
    done: int = 0
    # Offsets at which uploads went on after they had been cut off.
    resumed: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._enough = threading.Event()
        seeds = [self.rng.randrange(1 << 32) for _ in range(self.threads)]
        self._running = [
            threading.Thread(target=self._keep, args=(random.Random(seed),), daemon=True) for seed in seeds
        ]
        for thread in self._running:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._enough.set()
        for thread in self._running:
            thread.join(60)

    def _keep(self, rng: random.Random) -> None:
        with sparring.connect(self.target, wait_for_ready=True) as client:
            while not self._enough.is_set():
                try:
                    self._one(client, rng.randbytes(self.size_bytes + rng.randrange(1 << 20)))
                except Exception as error:  # noqa: BLE001 - told by the test, which fails for it
                    self.failures.append(f"{type(error).__name__}: {error}")
                    return

    def _one(self, client: sparring.Client, content: bytes) -> None:
        artifact = client.artifacts.upload(content, on_progress=self._resumptions())
        if client.artifacts.read(artifact.name) != content:
            self.failures.append(f"{artifact.name} came back as something else")
        client.artifacts.delete(artifact.name)
        self.done += 1

    def _resumptions(self) -> Callable[[int, int], None]:
        """Takes the client's reports; one that is not beyond the last one began anew somewhere."""
        last = [0]

        def report(done: int, _: int) -> None:
            if done <= last[0]:
                self.resumed.append(done)
            last[0] = done

        return report


def drop_begun_uploads(redis: Redis) -> int:
    """End uploads that nobody goes on with, as their hour would; how many: answers to their begin were lost."""
    begun = redis.zrange(UPLOADS, 0, -1)
    for member in begun:
        tenant, _, upload = member.decode().partition("/")
        redis.execute_command(*calls.function("upload_drop", tenant, upload))
    return len(begun)
