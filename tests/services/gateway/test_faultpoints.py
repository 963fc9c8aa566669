"""The gateway's fault points stand where they say: between what was done and what is told of it."""

import hashlib
import os
import uuid

import pytest
from sparring.v1 import artifacts_pb2, jobs_pb2

from services import faultpoints

DATA = os.urandom((5 << 20) + 17)
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def reached(tmp_path):
    """Ask for faults; returns what reads the points that were reached."""
    log = tmp_path / "faults"

    def ask(rules):
        faultpoints.configure({"SPARRING_FAULTS": rules, "SPARRING_FAULTS_LOG": str(log)})
        return lambda: [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []

    yield ask
    faultpoints.configure({})


async def test_a_fault_after_receiving_does_nothing(stubs, attack, reached, refusal):
    points = reached("gateway.received:fail:1:1")
    found = await refusal(stubs.jobs.CreateJob(attack))
    assert (found.code, points()) == ("INTERNAL", ["gateway.received"])
    assert not (await stubs.jobs.ListJobs(jobs_pb2.ListJobsRequest())).jobs


async def test_a_fault_before_answering_has_done_it_and_a_repeat_finds_it(stubs, attack, reached, refusal):
    attack.request_id = str(uuid.uuid4())
    points = reached("gateway.answering:fail:1:1")
    assert (await refusal(stubs.jobs.CreateJob(attack))).code == "INTERNAL"
    assert points() == ["gateway.answering"]
    (made,) = (await stubs.jobs.ListJobs(jobs_pb2.ListJobsRequest())).jobs
    assert (await stubs.jobs.CreateJob(attack)).name == made.name


async def test_reading_passes_no_point_of_changes(stubs, attack, reached, refusal):
    points = reached("gateway.received:fail,gateway.answering:fail")
    await stubs.jobs.ListJobs(jobs_pb2.ListJobsRequest())
    assert points() == []
    bad = jobs_pb2.CancelJobRequest(name="no name")
    assert (await refusal(stubs.jobs.CancelJob(bad))).code == "INTERNAL", "decoded, nothing looked at"


async def test_bytes_and_events_pass_theirs(stubs, attack, worker, reached, refusal):
    points = reached("gateway.chunk_kept:fail:1:1")
    begin = artifacts_pb2.BeginUploadRequest(sha256=SHA, size_bytes=len(DATA))
    upload_id = (await stubs.artifacts.BeginUpload(begin)).upload_id

    def messages(start):
        for offset in range(start, len(DATA), 1 << 20):
            part = DATA[offset : offset + (1 << 20)]
            yield artifacts_pb2.UploadArtifactRequest(upload_id=upload_id, offset=offset, data=part)

    assert (await refusal(stubs.artifacts.UploadArtifact(messages(0)))).code == "INTERNAL"
    assert points() == ["gateway.chunk_kept"]
    state = await stubs.artifacts.QueryUpload(artifacts_pb2.QueryUploadRequest(upload_id=upload_id))
    await stubs.artifacts.UploadArtifact(messages(state.committed_bytes))

    points = reached("gateway.chunk_sent:fail:1:1")
    got = b""
    call = stubs.artifacts.DownloadArtifact(artifacts_pb2.DownloadArtifactRequest(name=f"artifacts/{SHA}"))
    got += (await call.read()).data
    assert (await call.code()).name == "INTERNAL"
    rest = artifacts_pb2.DownloadArtifactRequest(name=f"artifacts/{SHA}", offset=len(got))
    async for message in stubs.artifacts.DownloadArtifact(rest):
        got += message.data
    assert got == DATA
    assert points()[1:] == ["gateway.chunk_sent"]

    points = reached("gateway.event_sent:fail:1:1")
    job = await stubs.jobs.CreateJob(attack)
    call = stubs.jobs.WatchJob(jobs_pb2.WatchJobRequest(name=job.name))
    assert (await call.read()).event_id == 1
    assert (await call.code()).name == "INTERNAL"
    assert points()[2:] == ["gateway.event_sent"]
