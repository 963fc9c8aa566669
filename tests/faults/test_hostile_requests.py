"""F15: whatever bytes come as requests, the client is told what is wrong, and the gateway stays as it was."""

from __future__ import annotations

import asyncio
import hashlib
import random
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from sparring.v1 import artifacts_pb2, artifacts_pb2_grpc, datasets_pb2, jobs_pb2, jobs_pb2_grpc, models_pb2

from .fuzz_requests import Fuzzer
from .net_calls import ALLOWED, Answer, call, leaks, methods
from .net_gateway import Served, served
from .net_probe import training
from .results import Row

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

CASES = 10_000
BATCH = 20
CONTENT = b"not tensors" * 1000
# A sample of the memory every so many cases; the first half of them fills caches.
SAMPLE = 500
GROWTH_BYTES_PER_CASE = 2000


@pytest.fixture(scope="module")
def running(fast_folder) -> Iterator[Served]:
    with served(fast_folder / "hostile-requests") as made:
        yield made


def valid_requests(target: str) -> dict[str, list[Message]]:
    """Requests that lead to something, by the method's name."""
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    name = f"artifacts/{sha256}"
    begin = artifacts_pb2.BeginUploadRequest(sha256=sha256, size_bytes=len(CONTENT))
    with grpc.insecure_channel(target) as channel:
        artifacts = artifacts_pb2_grpc.ArtifactServiceStub(channel)
        jobs = jobs_pb2_grpc.JobServiceStub(channel)
        upload_id = artifacts.BeginUpload(begin).upload_id
        chunk = artifacts_pb2.UploadArtifactRequest(upload_id=upload_id, data=CONTENT)
        artifacts.UploadArtifact(iter([chunk]))
        begin_other = artifacts_pb2.BeginUploadRequest(sha256="1" * 64, size_bytes=1 << 20)
        upload_id = artifacts.BeginUpload(begin_other).upload_id
        create = jobs_pb2.CreateJobRequest(training=training("made"), request_id="5f0e1d1c-6c7e-4f5c-9d3b-2b1b6f1c0a11")
        job = jobs.CreateJob(create).name
    return {
        "BeginUpload": [begin, begin_other],
        "UploadArtifact": [artifacts_pb2.UploadArtifactRequest(upload_id=upload_id, offset=0, data=b"x" * 100)],
        "QueryUpload": [artifacts_pb2.QueryUploadRequest(upload_id=upload_id)],
        "DownloadArtifact": [artifacts_pb2.DownloadArtifactRequest(name=name, offset=5, limit=7)],
        "GetArtifact": [artifacts_pb2.GetArtifactRequest(name=name)],
        "DeleteArtifact": [artifacts_pb2.DeleteArtifactRequest(name="artifacts/" + "2" * 64)],
        "RegisterDataset": [
            datasets_pb2.RegisterDatasetRequest(dataset_id="mine", images=name, labels=name, classes=10)
        ],
        "RegisterModel": [
            models_pb2.RegisterModelRequest(
                model_id="made-too",
                weights=name,
                signature=models_pb2.ModelSignature(architecture="mlp", input_shape=[1, 28, 28], classes=10),
            )
        ],
        "CreateJob": [
            create,
            jobs_pb2.CreateJobRequest(
                attack=jobs_pb2.AttackSpec(
                    model="models/made", data=datasets_pb2.DataSelection(dataset="mnist10k", count=10), seed=1
                ),
                validate_only=True,
            ),
        ],
        "GetJob": [jobs_pb2.GetJobRequest(name=job)],
        "ListJobs": [jobs_pb2.ListJobsRequest(page_size=2, filter="state = QUEUED")],
        "WatchJob": [jobs_pb2.WatchJobRequest(name=job)],
        "CancelJob": [jobs_pb2.CancelJobRequest(name=job, etag="77")],
        "RetryJob": [jobs_pb2.RetryJobRequest(name=job)],
        "DeleteJob": [jobs_pb2.DeleteJobRequest(name=job, etag="77")],
    }


def of_the_server(method: MethodDescriptor, known: Mapping[str, list[Message]]) -> list[Message]:
    """The valid requests of a method, as messages of the server's own description."""
    made = message_factory.GetMessageClass(method.input_type)
    return [made.FromString(message.SerializeToString()) for message in known.get(method.name, [made()])]


class Run:
    """Sends cases and looks at what comes back."""

    def __init__(self, running: Served, seed: str) -> None:
        self.gateway = running.gateway
        known = valid_requests(running.gateway.target)
        words = [str(value) for requests in known.values() for request in requests for _, value in request.ListFields()]
        self.methods = methods(running.gateway.target)
        self.valid = {method.full_name: of_the_server(method, known) for method in self.methods}
        self.random = random.Random(seed)
        self.fuzzer = Fuzzer(seed, [word for word in words if len(word) < 100])
        self.codes: Counter[str] = Counter()
        self.memory: list[tuple[int, int]] = []

    async def cases(self, count: int) -> None:
        """Send so many, some of them at the same time."""
        async with grpc.aio.insecure_channel(self.gateway.target) as channel:
            for done in range(0, count, BATCH):
                await asyncio.gather(*(self._case(channel) for _ in range(BATCH)))
                if done % SAMPLE == 0:
                    self.memory.append((done, self.gateway.memory_bytes))

    async def _case(self, channel: grpc.aio.Channel) -> None:
        method = self.random.choice(self.methods)
        made = self.random.choice([1, 1, 3]) if method.client_streaming else 1
        requests = [self.fuzzer.case(method.input_type, self.valid[method.full_name]) for _ in range(made)]
        answer = await call(channel, method, requests)
        self.codes[answer.code] += 1
        check(method.full_name, requests, answer)

    def slope(self) -> float:
        """Bytes of memory a case, over the second half."""
        late = self.memory[len(self.memory) // 2 :]
        return statistics.linear_regression(*zip(*late, strict=True)).slope


def check(name: str, requests: list[bytes], answer: Answer) -> None:
    """Fail with what it takes to repeat the case."""
    shown = f"{name} {[raw.hex()[:4000] for raw in requests]}: {answer.code} {answer.text[:500]}"
    assert answer.code in ALLOWED, shown
    assert not leaks(answer.text), shown


async def test_ten_thousand_bad_requests_are_refused_with_reasons_and_leave_nothing_behind(
    running, faults_seed, scaled, report
):
    run, count = Run(running, f"{faults_seed} requests"), scaled(CASES)
    await run.cases(count // 10)
    descriptors = running.gateway.descriptors
    await run.cases(count)
    report(Row(fault="F15 hostile requests", store="valkey", runs=1, injections=run.codes.total()))
    print(f"{sum(run.codes.values())} cases over {len(run.methods)} methods: {dict(run.codes.most_common())}")
    print(f"memory: {run.memory[0][1] >> 20} to {run.memory[-1][1] >> 20} MB, {run.slope():.0f} bytes a case")
    assert len(run.methods) >= 26
    assert running.gateway.alive
    assert run.codes["INVALID_ARGUMENT"] > count / 10
    assert run.codes["OK"] > count / 100, "requests that pass are part of it"
    assert run.slope() < GROWTH_BYTES_PER_CASE
    assert running.gateway.descriptors <= descriptors + 5
    assert "Traceback" not in running.gateway.log.read_text(errors="replace")
