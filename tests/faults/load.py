"""Load: K small jobs in flight, by the client that users have, and the record of everything that was accepted."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from typing import Self

import sparring
from sparring.errors import ServiceError
from sparring.v1 import jobs_pb2

from services.connection import Redis
from services.jobs.states import State

from . import facts
from .history import History, event_of, fingerprint
from .stack import FaultStack

MODEL = "tiny"
DATASET = "mnist10k"
Spec = Callable[..., jobs_pb2.CreateJobRequest]
END_S = 90.0


def _attack(attack: str, **settings: object) -> jobs_pb2.CreateJobRequest:
    """Eight shards of a few milliseconds; what makes them last are the pauses at the points."""
    return sparring.submit.attack(MODEL, DATASET, attack, count=128, batch_size=16, shard_size=16, **settings)


def specs() -> dict[str, jobs_pb2.CreateJobRequest]:
    """What the load is made of, by name."""
    return {
        "fgsm": _attack("fgsm", epsilon=0.1),
        "pgd": _attack("pgd", epsilon=0.1, steps=10, restarts=2, seed=3),
        "bim": _attack("bim", epsilon=0.1, steps=5),
        "evaluation": sparring.submit.evaluate(
            [MODEL], DATASET, ["fgsm:epsilon=0.1", "pgd:epsilon=0.1"], count=128, batch_size=32, shard_size=32
        ),
        "training": sparring.submit.train(
            DATASET, architecture="wong_cnn", count=1500, epochs=4, batch_size=50, seed=2, evaluation_data=DATASET
        ),
    }


MIX = ("fgsm", "fgsm", "pgd", "pgd", "bim", "evaluation", "training")


@dataclass
class Accepted:
    """A job that the service said yes to."""

    name: str
    kind: str
    request_id: str
    watched: list[int] = field(default_factory=list)
    retries: int = 0


def references(client: sparring.Client) -> dict[str, str]:
    """Train the model that the load attacks, and run every spec once without faults: what each must come to."""
    trained = client.train(DATASET, architecture="softmax_regression", count=1000, epochs=3, model_id=MODEL)
    client.jobs.wait(trained, check=True)
    jobs = {name: client.jobs.create(spec) for name, spec in specs().items()}
    return {name: fingerprint(client.jobs.wait(job, check=True)) for name, job in jobs.items()}


class Load:
    """Keeps jobs in flight while it is entered; leaving it waits for the end of everything that was accepted.

    A submit that fails is repeated under its request id until it is answered. A job that was quarantined, because the
    run killed one unit of it three times, is retried once as a user would.
    """

    def __init__(
        self,
        stack: FaultStack,
        expected: Mapping[str, str],
        rng: random.Random,
        *,
        in_flight: int = 6,
        mix: tuple[str, ...] = MIX,
    ) -> None:
        self.accepted: list[Accepted] = []
        self.failures: list[str] = []
        self._stack, self._expected = stack, expected
        self._mix = mix
        self._specs = specs()
        self._enough = threading.Event()
        self._give_up_at = float("inf")
        seeds = [rng.randrange(1 << 32) for _ in range(in_flight)]
        self._threads = [
            threading.Thread(target=self._keep_one, args=(random.Random(seed),), name="load", daemon=True)
            for seed in seeds
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._enough.set()
        self._give_up_at = monotonic() + END_S
        for thread in self._threads:
            thread.join(END_S + 10)

    def _keep_one(self, rng: random.Random) -> None:
        with self._stack.client() as client:
            while not self._enough.is_set():
                self._one(client, rng)

    def _one(self, client: sparring.Client, rng: random.Random) -> None:
        """One job from its submit to its end."""
        kind, request_id = rng.choice(self._mix), str(uuid.UUID(int=rng.getrandbits(128), version=4))
        answer = self._insist(lambda: client.jobs.create(self._specs[kind], request_id=request_id))
        if answer is None:
            return
        job = Accepted(answer.name, kind, request_id)
        self.accepted.append(job)
        ended = self._insist(lambda: self._wait(client, job))
        if ended is not None and ended.state == jobs_pb2.Job.STATE_QUARANTINED:
            job.retries += 1
            self._insist(lambda: client.jobs.retry(job.name))
            self._insist(lambda: self._wait(client, job))

    def _wait(self, client: sparring.Client, job: Accepted) -> jobs_pb2.Job:
        return client.jobs.wait(
            job.name,
            on_event=lambda event: job.watched.append(event.event_id),
            after=job.watched[-1] if job.watched else 0,
            timeout_s=max(1.0, min(END_S, self._give_up_at - monotonic())),
        )

    def _insist(self, call: Callable[[], jobs_pb2.Job]) -> jobs_pb2.Job | None:
        """Call until it is answered; None where that took too long, which the invariants find."""
        while monotonic() < self._give_up_at:
            try:
                return call()
            except ServiceError as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                self._enough.wait(0.2)
        return None

    def histories(self) -> list[History]:
        """What became of every accepted job, replayed from its first event."""
        with self._stack.client() as client:
            return [
                replay(
                    client,
                    self._stack.redis,
                    job.name,
                    expected=self._expected[job.kind],
                    watched=job.watched,
                    retries=job.retries,
                )
                for job in self.accepted
            ]


def replay(
    client: sparring.Client,
    redis: Redis,
    name: str,
    *,
    expected: str,
    watched: list[int] | tuple[int, ...] = (),
    retries: int = 0,
    allowed: frozenset[State] = frozenset({State.SUCCEEDED}),
) -> History:
    """One job's whole history, read again from its first event."""
    job = client.jobs.get(name)
    state = State(job.state)
    events = [event_of(message) for message in client.jobs.watch(name)] if job.HasField("end_time") else []
    return History(
        job=name,
        state=state,
        units=job.resolution.units,
        events=tuple(events),
        fingerprint=fingerprint(job),
        expected=expected,
        error=job.error.message,
        allowed=allowed,
        retries=retries,
        watched=tuple(watched),
        tokens=facts.tokens(redis, name.removeprefix("jobs/")),
    )
