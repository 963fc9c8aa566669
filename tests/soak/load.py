"""Load that leaves nothing behind: jobs that end, are read again and deleted; uploads, downloads, watches, cancels.

What a job came to is checked when it has ended, since ended jobs are forgotten soon here.
"""

from __future__ import annotations

import hashlib
import random
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Self, TypeVar

import sparring
from redis.exceptions import RedisError
from sparring.errors import FailedPrecondition, NotFound, ServiceError
from sparring.v1 import jobs_pb2

from services.jobs.states import State
from tests.faults.invariants import RETRYABLE, Violation, check_history
from tests.faults.load import replay as read_again
from tests.faults.load import specs
from tests.faults.stack import FaultStack

T = TypeVar("T")
Job = jobs_pb2.Job
JOBS = ("fgsm", "fgsm", "pgd", "bim", "evaluation", "training")
CANCELLED = ("pgd", "evaluation")
END_S = 120.0
# A job that is unlucky may be quarantined, as it should be, and is then retried as a user would.
RETRIES = 5


class Client:
    """A client that calls until it is answered, and notes what it was told meanwhile."""

    def __init__(self, target: str, load: SoakLoad) -> None:
        self.api = sparring.connect(target, wait_for_ready=True)
        self._load = load

    def insist(self, call: Callable[[], T]) -> T | None:
        """The answer; None where none came in time, or where the thing is gone, as a repeated delete finds it."""
        give_up_at = monotonic() + END_S
        while monotonic() < give_up_at:
            try:
                return call()
            except (NotFound, FailedPrecondition):
                return None
            except (ServiceError, RedisError) as error:
                self._load.errors[type(error).__name__] += 1
                self._load.left.wait(0.3)
        self._load.broken.append(f"a call was not answered in {END_S:.0f} s")
        return None


class SoakLoad:
    """Threads that each do one kind of thing, again and again; leaving waits for them."""

    def __init__(self, stack: FaultStack, target: str, expected: dict[str, str], rng: random.Random) -> None:
        self._stack, self._target, self._expected = stack, target, expected
        self._specs = specs()
        self.left = threading.Event()
        self.done: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.broken: list[str] = []
        self.violations: list[Violation] = []
        self._running: dict[str, None] = {}
        kinds = (*[(self._job, 8.0)] * 4, (self._cancelled, 6.0), (self._upload, 2.0), (self._watch, 2.0))
        self._threads = [
            threading.Thread(
                target=self._keep, args=(kind, every_s, random.Random(rng.random())), name=kind.__name__, daemon=True
            )
            for kind, every_s in kinds
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.left.set()
        for thread in self._threads:
            thread.join(2 * END_S)
            if thread.is_alive():
                self.broken.append(f"{thread.name} does not end")

    def _keep(self, kind: Callable[[Client, random.Random], str], every_s: float, rng: random.Random) -> None:
        """One every so many seconds, less than a busy machine does: what is held must not follow what else it does."""
        client = Client(self._target, self)
        with client.api:
            while not self.left.is_set():
                due = monotonic() + every_s
                try:
                    self.done[kind(client, rng)] += 1
                except Exception as error:  # noqa: BLE001 - whatever it is, the soak has failed, and goes on to its end
                    self.broken.append(f"{kind.__name__}: {error!r}")
                self.left.wait(max(0.0, due - monotonic()))

    # What the threads do, one at a time.

    def _job(self, client: Client, rng: random.Random) -> str:
        """A job from its submit to its deletion; now and then a result is downloaded, or the job left to lapse."""
        kind = rng.choice(JOBS)
        name = self._create(client, rng, kind)
        if name is None:
            return "nothing"
        job = self._end(client, kind, name, frozenset({State.SUCCEEDED}))
        if job is not None and job.result.artifacts and rng.random() < 0.5:
            artifact = rng.choice(job.result.artifacts).artifact
            content = client.insist(lambda: client.api.artifacts.read(artifact))
            if content is not None and f"artifacts/{hashlib.sha256(content).hexdigest()}" != artifact:
                self.broken.append(f"{artifact} came with other bytes")
            self.done["download"] += 1
        if job is not None and job.result.model:
            client.insist(lambda: client.api.models.delete(job.result.model))
        if rng.random() < 0.5:
            client.insist(lambda: client.api.jobs.delete(name))
            self.done["delete"] += 1
        return kind

    def _cancelled(self, client: Client, rng: random.Random) -> str:
        """A job that is cancelled at some moment, and mostly taken up again."""
        kind = rng.choice(CANCELLED)
        name = self._create(client, rng, kind)
        if name is None:
            return "nothing"
        self.left.wait(rng.uniform(0.0, 1.5))
        client.insist(lambda: client.api.jobs.cancel(name))
        job = client.insist(lambda: client.api.jobs.wait(name, timeout_s=END_S))
        if job is not None and job.state == Job.STATE_CANCELLED and rng.random() < 0.7:
            client.insist(lambda: client.api.jobs.retry(name))
            self._end(client, kind, name, frozenset({State.SUCCEEDED}), retries=1)
        else:
            self._end(client, kind, name, frozenset({State.SUCCEEDED, State.CANCELLED}))
        client.insist(lambda: client.api.jobs.delete(name))
        return "cancel"

    def _upload(self, client: Client, rng: random.Random) -> str:
        """Bytes that nobody has sent before, read back, and mostly deleted."""
        content = rng.randbytes(rng.randrange(1_000, 3_000_000))
        name = f"artifacts/{hashlib.sha256(content).hexdigest()}"
        if client.insist(lambda: client.api.artifacts.upload(content)) is None:
            return "nothing"
        if client.insist(lambda: client.api.artifacts.read(name)) not in {content, None}:
            self.broken.append(f"{name} came back with other bytes")
        if rng.random() < 0.7:
            client.insist(lambda: client.api.artifacts.delete(name))
        return "upload"

    def _watch(self, client: Client, rng: random.Random) -> str:
        """Somebody who looks at a job for a while, from anywhere in it, and leaves."""
        running = list(self._running)
        if not running:
            return "nothing"
        name, wanted = rng.choice(running), rng.randrange(1, 30)

        def some() -> int:
            for count, _ in enumerate(client.api.jobs.watch(name, timeout_s=5.0)):
                if count >= wanted:
                    break
            return wanted

        client.insist(some)
        return "watch"

    # Parts of these.

    def _create(self, client: Client, rng: random.Random, kind: str) -> str | None:
        request_id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        job = client.insist(lambda: client.api.jobs.create(self._specs[kind], request_id=request_id))
        if job is None:
            return None
        self._running[job.name] = None
        return job.name

    def _end(self, client: Client, kind: str, name: str, allowed: frozenset[State], retries: int = 0) -> Job | None:
        """Wait for a job's end and read its history again; what does not hold is noted."""
        try:
            job = client.insist(lambda: client.api.jobs.wait(name, timeout_s=END_S))
            while job is not None and State(job.state) is State.QUARANTINED and retries < RETRIES:
                retries += 1
                self.done["retry"] += 1
                client.insist(lambda: client.api.jobs.retry(name))
                job = client.insist(lambda: client.api.jobs.wait(name, timeout_s=END_S))
            history = client.insist(
                lambda: read_again(
                    client.api,
                    self._stack.redis,
                    name,
                    expected=self._expected[kind],
                    retries=retries,
                    allowed=allowed | (RETRYABLE & {State.QUARANTINED} if retries >= RETRIES else frozenset()),
                )
            )
        finally:
            self._running.pop(name, None)
        if history is None:
            self.broken.append(f"{name} was accepted and is not there")
        else:
            self.violations += check_history(history)
        return job
