"""F10: consumers that do not read cost the gateway a bounded memory, and nobody else their time."""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import psutil
import pytest
from sparring.v1 import artifacts_pb2, artifacts_pb2_grpc, jobs_pb2, jobs_pb2_grpc

from services.jobs.record import Lease
from services.jobs.store import JobStore

from . import net_probe
from .net_gateway import Gateway, peak, served
from .net_slow import DOWNLOADS, WATCHERS
from .results import Row

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
JOBS = 4
EVENTS_PER_S = 400
ROUNDS = 4
WINDOW_S = 3.0
# Opening so many streams at once costs a moment, which is not what is measured.
SETTLE_S, SETTLED_SHARE = 15.0, 0.3
CONSUMERS = WATCHERS + DOWNLOADS
MEMORY_BYTES = 150 << 20
ARTIFACT_BYTES = 50 << 20


def upload(channel: grpc.Channel, content: bytes) -> str:
    """Put an artifact; its name."""
    stub = artifacts_pb2_grpc.ArtifactServiceStub(channel)
    sha256 = hashlib.sha256(content).hexdigest()
    begun = stub.BeginUpload(artifacts_pb2.BeginUploadRequest(sha256=sha256, size_bytes=len(content)), timeout=30)
    step = 1 << 20
    stub.UploadArtifact(
        (
            artifacts_pb2.UploadArtifactRequest(upload_id=begun.upload_id, offset=at, data=content[at : at + step])
            for at in range(0, len(content), step)
        ),
        timeout=120,
    )
    return f"artifacts/{sha256}"


def claimed(store: JobStore, names: list[str]) -> list[Lease]:
    """Leases of these jobs, held by a worker of the test's own."""
    leases = [store.claim(f"claim-{name}", "slow-test", "cpu", 600_000) for name in names]
    assert all(leases)
    return [lease for lease in leases if lease is not None]


@contextmanager
def events(store: JobStore, leases: list[Lease]) -> Iterator[list[int]]:
    """Events of these jobs, hundreds a second; what is yielded holds how many there were."""
    told, leaving = [0], threading.Event()

    def tell() -> None:
        began = time.monotonic()
        while not leaving.is_set():
            for lease in leases:
                store.metric(lease, "training_loss_of_a_name_of_some_length", 1.0 / (told[0] + 1), told[0])
                told[0] += 1
            leaving.wait(max(0.0, began + told[0] / EVENTS_PER_S - time.monotonic()))

    thread = threading.Thread(target=tell)
    thread.start()
    try:
        yield told
    finally:
        leaving.set()
        thread.join()


@contextmanager
def slow_consumers(target: str, artifact: str, names: list[str]) -> Iterator[subprocess.Popen[str]]:
    """All of them, in a process of their own."""
    command = [sys.executable, "-m", "tests.faults.net_slow", target, artifact, *names]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
        received, _ = process.communicate()
        assert int(received) >= 0, "they ended by themselves"
    assert process.returncode == 0


def probed(target: str, job: str) -> dict[str, list[float]]:
    command = [sys.executable, "-m", "tests.faults.net_probe", target, job, str(WINDOW_S)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=120)
    return json.loads(done.stdout)


def settle(gateway: Gateway) -> None:
    """Wait until the gateway has opened what it was asked for, and has little to do."""
    assert gateway.process is not None
    process = psutil.Process(gateway.process.pid)
    deadline = time.monotonic() + SETTLE_S
    while process.cpu_percent(0.5) > 100 * SETTLED_SHARE:
        assert time.monotonic() < deadline, "consumers that do not read keep the gateway busy"


def p99_s(latencies: list[float]) -> float:
    return statistics.quantiles(latencies, n=100)[98]


def test_consumers_that_do_not_read_take_neither_memory_nor_others_time(tmp_path, report):
    quiet: dict[str, list[float]] = {"GetJob": [], "CreateJob": []}
    beset: dict[str, list[float]] = {"GetJob": [], "CreateJob": []}
    with served(tmp_path) as running, grpc.insecure_channel(running.gateway.target) as channel:
        target = running.gateway.target
        stub = jobs_pb2_grpc.JobServiceStub(channel)
        names = [
            stub.CreateJob(jobs_pb2.CreateJobRequest(training=net_probe.training()), timeout=10).name
            for _ in range(JOBS)
        ]
        probed(target, names[0])
        artifact = upload(channel, os.urandom(ARTIFACT_BYTES))
        idle_bytes = running.gateway.memory_bytes
        with events(running.jobs, claimed(running.jobs, names)) as told, peak(running) as highest:
            for _ in range(ROUNDS):
                for method, latencies in probed(target, names[0]).items():
                    quiet[method] += latencies
                with slow_consumers(target, artifact, names):
                    settle(running.gateway)
                    for method, latencies in probed(target, names[0]).items():
                        beset[method] += latencies
        print(f"{told[0]} events; RSS idle {idle_bytes >> 20} MB, with slow consumers at most {highest[0] >> 20} MB")
        ratios = {}
        for method, alone_s in quiet.items():
            alone, among = p99_s(alone_s), p99_s(beset[method])
            ratios[method] = among / alone
            print(f"{method}: p99 {alone * 1e3:.1f} ms alone, {among * 1e3:.1f} ms beside them: {among / alone:.2f}x")
        report(Row(fault="F10 slow consumers", store="valkey", runs=ROUNDS, injections=ROUNDS * CONSUMERS, jobs=JOBS))
        assert told[0] > 1000
        assert highest[0] - idle_bytes <= MEMORY_BYTES
        assert max(ratios.values()) <= 3, ratios
