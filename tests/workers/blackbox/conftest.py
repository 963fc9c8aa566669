"""A server of the protocol in this process, which can be told to fail, and a clock that no one waits for."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import pytest

from workers.blackbox import Clock, Endpoint, EndpointOptions, Ledger, Server, serve

SHAPE, CLASSES = (2, 3, 4), 5
WEIGHT = np.random.default_rng(1).normal(size=(24, CLASSES)).astype("<f4")


def linear(x):
    """The model that is served: linear in pixels of [0, 1], whatever form they come in."""
    x = x.astype("<f4") / (255 if x.dtype == np.uint8 else 1)
    x = x.transpose(0, 3, 1, 2) if x.shape[1:] == (3, 4, 2) else x
    return x.reshape(len(x), -1) @ WEIGHT


@dataclass(kw_only=True)
class Moody(Server):
    """Fails as often as it is told, keeps the questions, and can answer with anything."""

    failures: list[grpc.StatusCode] = field(default_factory=list)
    questions: list = field(default_factory=list)
    headers: dict = field(default_factory=dict)
    alter: object = None

    def infer(self, request, context):
        self.questions.append(request)
        self.headers = dict(context.invocation_metadata())
        if self.failures:
            context.abort(self.failures.pop(0), "not today")
        answer = super().infer(request, context)
        if self.alter is not None:
            self.alter(answer)
        return answer


class Instant:
    """Time passes only where somebody sleeps."""

    def __init__(self):
        self.time = 1000.0
        self.clock = Clock(now=lambda: self.time, sleep=self._pass)

    def _pass(self, seconds):
        self.time += seconds


@dataclass
class Bench:
    server: Moody
    address: str
    clock: Instant
    ledger_file: Path
    stack: ExitStack

    def endpoint(self, *, waiting=lambda: None, **options) -> Endpoint:
        given = {"address": self.address, "model": "m", "input_shape": SHAPE, "classes": CLASSES} | options
        ledger = Ledger(self.ledger_file)
        made = Endpoint(EndpointOptions(**given), ledger=ledger, clock=self.clock.clock, waiting=waiting)
        return self.stack.enter_context(made)

    @property
    def lines(self):
        return [json.loads(line) for line in self.ledger_file.read_text().splitlines()]


@pytest.fixture
def bench(tmp_path) -> Iterator[Bench]:
    with ExitStack() as stack:
        server = Moody(classify=linear, model="m", shape=SHAPE)
        address = stack.enter_context(serve(server))
        yield Bench(server, address, Instant(), tmp_path / "ledger.jsonl", stack)
