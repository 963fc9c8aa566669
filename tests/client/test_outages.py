"""A service that goes away and comes back fails no call; one that was never there fails fast."""

from __future__ import annotations

import threading
import time

import grpc
import pytest
import sparring
from sparring import errors, resume
from sparring.resume import Holdout
from sparring.v1.jobs_pb2 import Job

MIB = 2**20
# What a client that has never reached the service does is over long before.
AWAY_S = 1.5


@pytest.fixture
def away(server):
    """`away()`: stop the service now and start it again in AWAY_S, once."""
    restarts = []

    def leave():
        if not restarts:
            server.stop()
            restarts.append(threading.Timer(AWAY_S, server.start))
            restarts[0].start()

    yield leave
    for restart in restarts:
        restart.join()


def test_a_unary_call_holds_out_until_the_service_is_back(either, service, away):
    service.add_job()
    either.jobs.get("j")
    away()
    started = time.monotonic()
    assert either.jobs.get("j").name == "jobs/j"
    assert time.monotonic() - started > AWAY_S / 2


def test_a_job_that_is_submitted_into_an_outage_is_made_once(either, service, away):
    either.catalog.info()
    away()
    job = either.attack("net", "mnist10k", "fgsm")
    assert list(service.jobs) == [job.name]


def test_an_upload_goes_on_after_the_service_came_back(either, service, away):
    content = bytes(9 * MIB)
    artifact = either.artifacts.upload(content, on_progress=lambda done, _: away() if done > 3 * MIB else None)
    assert service.artifacts[artifact.name][0] == content


def test_a_download_goes_on_after_the_service_came_back(either, service, away, tmp_path):
    content = bytes(9 * MIB)
    name = service.keep(content)
    path = either.artifacts.download(
        name, tmp_path / "got", on_progress=lambda done, _: away() if done > 3 * MIB else None
    )
    assert path.read_bytes() == content


def test_a_call_gives_up_when_its_time_is_up(connect, server):
    client = connect(timeout_s=1.0)
    client.catalog.info()
    server.stop()
    started = time.monotonic()
    with pytest.raises((errors.Unreachable, errors.TimedOut)):
        client.catalog.info()
    assert 0.3 < time.monotonic() - started < 3


def test_a_service_that_was_never_there_fails_fast_with_advice(connect, server):
    server.stop()
    client = connect(timeout_s=30)
    started = time.monotonic()
    with pytest.raises(errors.Unreachable, match="sparring up"):
        client.catalog.info()
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("code", ["DEADLINE_EXCEEDED", "DATA_LOSS", "RESOURCE_EXHAUSTED", "INTERNAL"])
def test_only_silence_is_held_out(either, service, code):
    service.add_job()
    either.jobs.get("j")
    service.failures["GetJob"].append((grpc.StatusCode[code], "as it is"))
    with pytest.raises(errors.ServiceError) as caught:
        either.jobs.get("j")
    assert caught.value.code == code
    assert len(service.requests("GetJob")) == 2


BROKEN_OFF = (grpc.StatusCode.CANCELLED, "CANCELLED")


def test_a_service_that_breaks_calls_off_because_it_stops_is_asked_again(either, service, tmp_path):
    service.add_job(events=4)
    name = service.keep(bytes(3 * MIB))
    either.catalog.info()
    for rpc in ("GetJob", "WatchJob", "DownloadArtifact", "UploadArtifact", "CreateJob"):
        service.failures[rpc].append(BROKEN_OFF)
    assert either.jobs.get("j").name == "jobs/j"
    assert [event.event_id for event in either.jobs.watch("j")] == [1, 2, 3, 4]
    assert either.artifacts.download(name, tmp_path / "got").stat().st_size == 3 * MIB
    assert either.artifacts.upload(b"bytes").name in service.artifacts
    assert either.attack("net", "d", "fgsm").name == "jobs/job-2"
    assert all(not left for left in service.failures.values())


@pytest.mark.parametrize("rpc", ["DeleteJob", "DeleteModel", "DeleteDataset", "DeleteArtifact"])
def test_what_was_deleted_before_the_answer_was_lost_is_deleted(either, service, rpc):
    parts = {"DeleteJob": either.jobs, "DeleteModel": either.models, "DeleteDataset": either.datasets}
    part = parts.get(rpc, either.artifacts)
    with pytest.raises(errors.NotFound):
        part.delete("a" * 64)
    # The first attempt is lost, and so is what it did.
    service.failures[rpc].append((grpc.StatusCode.UNAVAILABLE, "connection reset"))
    part.delete("a" * 64)
    assert len(service.requests(rpc)) == 3


def test_a_job_that_was_queued_again_before_the_answer_was_lost_is_shown(either, service, fake):
    job = service.add_job(state=Job.STATE_FAILED)
    wrong = fake.status_of(grpc.StatusCode.FAILED_PRECONDITION, "it has not ended", reason="WRONG_STATE")
    service.failures["RetryJob"].append(wrong)
    with pytest.raises(errors.FailedPrecondition):
        either.jobs.retry("j")
    job.state = Job.STATE_QUEUED
    service.failures["RetryJob"].extend([(grpc.StatusCode.UNAVAILABLE, "connection reset"), wrong])
    assert either.jobs.retry("j").state == Job.STATE_QUEUED


def test_a_call_that_this_side_ends_is_not_made_again(server, service):
    service.add_job()
    service.delays_s["GetJob"] = 0.5
    client = sparring.connect(server.target)
    client.catalog.info()
    closing = threading.Timer(0.2, client.close)
    closing.start()
    with pytest.raises(errors.ServiceError, match="Channel closed") as caught:
        client.jobs.get("j")
    assert type(caught.value) is errors.ServiceError
    assert len(service.requests("GetJob")) == 1


def test_a_store_that_comes_back_in_time_is_waited_for(either, service, fake):
    down = fake.status_of(grpc.StatusCode.UNAVAILABLE, "the store is loading", reason="STORE_UNAVAILABLE")
    service.add_job()
    either.jobs.get("j")
    service.failures["GetJob"].extend([down] * 9)
    assert either.jobs.get("j").name == "jobs/j"


def test_a_holdout_ends_before_its_time_and_waits_longer_and_longer():
    now = [0.0]
    holdout = Holdout(10.0, reached=True, clock=lambda: now[0], jitter=lambda: 1.0)
    lost, waits = errors.Unreachable("gone"), []

    def wait_through():
        while True:
            waits.append(holdout.delay_s(lost))
            now[0] += waits[-1]

    with pytest.raises(errors.Unreachable):
        wait_through()
    assert waits[:4] == [resume.FIRST_DELAY_S * factor for factor in (1, 2, 4, 8)]
    assert max(waits) == 1.0
    assert 9.0 <= now[0] < 10.0
    assert holdout.left_s() == 10.0 - now[0]
