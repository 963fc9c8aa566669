"""F8: a store that is full, in memory or on disk, refuses new work, loses nothing, and goes on when there is room."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from grpc_status import rpc_status
from redis.exceptions import OutOfMemoryError, RedisError
from sparring.v1 import artifacts_pb2, artifacts_pb2_grpc, jobs_pb2, jobs_pb2_grpc

from services.connection import Redis

from .load import specs
from .net_transfers import drop_begun_uploads
from .runs import Bench, Run
from .stack import FaultStack, must_run

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

ROOM_BYTES = 12 << 20
FILL_BYTES = 1 << 18
FULL_S = 3.0
DISK_MB = 96
# By when work is taken again once there is room: the gateway looks at the store's memory at most once a second, the
# store gives memory back in the background, and a refusal says when to come back.
AGAIN_S = 5.0
REFUSALS = {"RESOURCE_EXHAUSTED", "UNAVAILABLE"}


class Caller:
    """The contract without the client's patience: every refusal is seen."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._jobs = jobs_pb2_grpc.JobServiceStub(channel)
        self._artifacts = artifacts_pb2_grpc.ArtifactServiceStub(channel)
        self.refused: dict[str, set[str]] = {"submit": set(), "begin": set(), "upload": set()}
        self.accepted: list[str] = []

    def submit(self) -> str | None:
        """Submit a job; its name, or None where that was refused properly."""
        request = jobs_pb2.CreateJobRequest()
        request.CopyFrom(specs()["fgsm"])
        request.request_id = str(uuid.uuid4())
        with self._refusals("submit"):
            name = self._jobs.CreateJob(request, timeout=30).name
            self.accepted.append(name)
            return name
        return None

    def submit_within(self, seconds: float) -> str | None:
        """Submit a job as one that was told to come back does; its name, or None where that was refused throughout."""
        until = time.monotonic() + seconds
        while (name := self.submit()) is None and time.monotonic() < until:
            time.sleep(0.1)
        return name

    def begin(self, size_bytes: int = 3 << 20) -> str | None:
        """Begin an upload; its id, or None."""
        request = artifacts_pb2.BeginUploadRequest(sha256=os.urandom(32).hex(), size_bytes=size_bytes)
        with self._refusals("begin"):
            return self._artifacts.BeginUpload(request, timeout=30).upload_id
        return None

    def append(self, upload_id: str, parts: int = 2) -> None:
        """Send a part of an upload, from where it stands: a part of the part may have found room before."""
        with self._refusals("upload"):
            query = artifacts_pb2.QueryUploadRequest(upload_id=upload_id)
            committed = self._artifacts.QueryUpload(query, timeout=30).committed_bytes
            messages = [
                artifacts_pb2.UploadArtifactRequest(upload_id=upload_id, offset=at << 20, data=bytes(1 << 20))
                for at in range(committed >> 20, parts)
            ]
            if messages:
                self._artifacts.UploadArtifact(iter(messages), timeout=30)

    @contextlib.contextmanager
    def _refusals(self, what: str) -> Iterator[None]:
        """A refusal has one of two codes and says when to come back."""
        try:
            yield
        except grpc.RpcError as error:
            self.refused[what].add(refusal(error))


def refusal(error: grpc.RpcError) -> str:
    """The code of a refusal, which is one of two and comes with the time to come back."""
    status, retry = rpc_status.from_call(error), RetryInfo()
    assert error.code().name in REFUSALS, error
    assert any(detail.Unpack(retry) for detail in status.details), error
    assert retry.retry_delay.ToMilliseconds() > 0
    return error.code().name


def fill(redis: Redis) -> int:
    """Take all the memory that is left; how many keys that took."""
    size, count = FILL_BYTES, 0
    while size > 64:
        try:
            redis.set(f"fill:{count}", os.urandom(size))
            count += 1
        except OutOfMemoryError:
            size //= 4
    return count


def workers(stack: FaultStack) -> dict[str, tuple[int, int]]:
    """Every worker's parent and child."""
    return {name: (pid, stack.child(name)) for name, pid in stack.parents().items()}


def fill_for_a_while(run: Run, caller: Caller) -> None:
    """One injection: memory runs out, stays out, and is there again."""
    stack, redis = run.stack, run.stack.redis
    limit = int(redis.config_get("maxmemory")["maxmemory"])
    upload_id = caller.begin()
    redis.config_set("maxmemory", redis.info("memory")["used_memory"] + ROOM_BYTES)
    count = fill(redis)
    stack.injected["memory full"] += 1
    try:
        until = time.monotonic() + FULL_S
        while time.monotonic() < until:
            count += fill(redis)
            caller.submit()
            caller.begin()
            if upload_id is not None:
                caller.append(upload_id)
    finally:
        redis.config_set("maxmemory", limit)
        for key in redis.scan_iter(match="fill:*", count=1000):
            redis.unlink(key)


def test_a_store_without_memory_refuses_what_is_new_and_finishes_what_it_has(bench, rng, report, scaled):
    stack = bench.stack
    with grpc.insecure_channel(stack.local.target) as channel:
        caller = Caller(channel)
        with bench.run("F8 store memory full", rng, report, recovery_s=None) as run:
            time.sleep(1.0)
            before = workers(stack)
            for _ in range(scaled(5)):
                fill_for_a_while(run, caller)
                time.sleep(rng.uniform(0.5, 1.5))
            assert workers(stack) == before, "no worker has ended for it"
            drop_begun_uploads(stack.redis)
            assert caller.submit_within(AGAIN_S) is not None, "it goes on by itself"
            wait_for_all(stack, caller)
    print(caller.refused)
    assert all("RESOURCE_EXHAUSTED" in codes for codes in caller.refused.values()), caller.refused


def wait_for_all(stack: FaultStack, caller: Caller) -> None:
    """What was accepted in between succeeds as well."""
    with stack.client() as client:
        for name in caller.accepted:
            client.jobs.wait(name, timeout_s=60, check=True)


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A folder of a stack whose store has a file system of its own."""
    folder = tmp_path / "disk"
    (folder / "stack" / "store").mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder / "stack" / "store")]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0 if os.geteuid() == 0 else False
    if not mounted:
        (pytest.fail if must_run() and os.geteuid() == 0 else pytest.skip)("needs root, to mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder / "stack" / "store")], check=True)


def fill_disk(stack: FaultStack, folder: Path, seconds: float, caller: Caller) -> None:
    """One injection: no byte more fits on the store's disk, for a while."""
    ballast = folder / "stack" / "store" / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    stack.injected["disk full"] += 1
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        caller.submit()
        caller.begin()
        time.sleep(0.1)
    ballast.unlink()


def test_a_store_without_disk_loses_nothing_and_comes_back_by_itself(store, small_disk, rng, report, scaled):
    made = FaultStack(small_disk, store, workers=2, maxmemory=0)
    with made.running() as stack, grpc.insecure_channel(stack.local.target) as channel:
        caller = Caller(channel)
        bench = Bench.prepare(stack)
        with bench.run("F8 store disk full", rng, report, recovery_s=None, in_flight=3):
            for seconds in (2.0, 15.0) * scaled(1):
                time.sleep(1.0)
                fill_disk(stack, small_disk, seconds, caller)
                stack.wait_for(lambda: answers(stack), "the store answers again", 60)
            wait_for_all(stack, caller)
            drop_begun_uploads(stack.redis)
    print(caller.refused)
    assert caller.refused["submit"]


def answers(stack: FaultStack) -> bool:
    try:
        return bool(stack.redis.set("probe", b"1"))
    except (RedisError, OSError):
        return False
