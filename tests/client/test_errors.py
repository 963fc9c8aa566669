"""What goes wrong arrives as one tree of exceptions that say what to do."""

from __future__ import annotations

import time

import grpc
import pytest
import sparring
from sparring import errors

Code = grpc.StatusCode
UNAVAILABLE = (Code.UNAVAILABLE, "connection reset")


@pytest.mark.parametrize(
    ("code", "kind", "also"),
    [
        (Code.INVALID_ARGUMENT, errors.InvalidArgument, ValueError),
        (Code.NOT_FOUND, errors.NotFound, LookupError),
        (Code.ALREADY_EXISTS, errors.AlreadyExists, errors.ServiceError),
        (Code.FAILED_PRECONDITION, errors.FailedPrecondition, errors.ServiceError),
        (Code.ABORTED, errors.Aborted, errors.ServiceError),
        (Code.OUT_OF_RANGE, errors.OutOfRange, errors.ServiceError),
        (Code.RESOURCE_EXHAUSTED, errors.ResourceExhausted, errors.ServiceError),
        (Code.UNAUTHENTICATED, errors.Unauthenticated, PermissionError),
        (Code.PERMISSION_DENIED, errors.PermissionDenied, PermissionError),
        (Code.DATA_LOSS, errors.DataLoss, errors.ServiceError),
        (Code.DEADLINE_EXCEEDED, errors.TimedOut, TimeoutError),
        (Code.INTERNAL, errors.ServiceError, Exception),
        (Code.UNIMPLEMENTED, errors.ServiceError, Exception),
    ],
)
def test_a_code_becomes_its_leaf_and_is_not_retried(either, service, code, kind, also):
    service.failures["GetJob"].append((code, "as it is"))
    with pytest.raises(also, match="as it is") as caught:
        either.jobs.get("j")
    assert type(caught.value) is kind
    assert caught.value.code == code.name
    assert len(service.requests("GetJob")) == 1


def test_every_violation_and_the_reason_come_through(either, service, fake):
    bad = [("attack.attack.pgd.steps", "is 0"), ("attack.model", "is empty")]
    service.failures["CreateJob"].append(
        fake.status_of(Code.INVALID_ARGUMENT, "two bad fields", reason="INVALID_FIELDS", violations=bad)
    )
    with pytest.raises(errors.InvalidArgument, match="two bad fields") as caught:
        either.attack("net", "mnist10k", "pgd")
    assert caught.value.reason == "INVALID_FIELDS"
    assert [(v.field, v.description) for v in caught.value.violations] == bad


def test_a_full_service_says_when_to_come_back(either, service, fake):
    service.failures["CreateJob"].append(fake.status_of(Code.RESOURCE_EXHAUSTED, "full", retry_after_s=2.5))
    with pytest.raises(errors.ResourceExhausted) as caught:
        either.attack("net", "mnist10k", "fgsm")
    assert caught.value.retry_after_s == 2.5


def test_a_quota_that_is_used_up_is_named(either, service, fake):
    full = fake.status_of(
        Code.RESOURCE_EXHAUSTED,
        "tenants/vision has 100 jobs waiting",
        reason="QUOTA_EXCEEDED",
        retry_after_s=30,
        metadata={"quota": "max_queued_jobs"},
    )
    service.failures["CreateJob"].append(full)
    with pytest.raises(errors.QuotaExceeded, match="100 jobs") as caught:
        either.attack("net", "mnist10k", "fgsm")
    assert isinstance(caught.value, errors.ResourceExhausted)
    assert (caught.value.quota, caught.value.retry_after_s) == ("max_queued_jobs", 30)


@pytest.mark.parametrize("times", [1, 3])
def test_unavailable_is_retried_up_to_four_attempts(either, service, times):
    service.add_job()
    service.failures["GetJob"].extend([UNAVAILABLE] * times)
    assert either.jobs.get("j").name == "jobs/j"
    assert len(service.requests("GetJob")) == times + 1


def test_a_service_that_stays_unavailable_says_so_itself(either, service, fake):
    down = fake.status_of(Code.UNAVAILABLE, "the store is loading", reason="STORE_UNAVAILABLE", retry_after_s=1)
    service.failures["GetJob"].extend([down] * 4)
    with pytest.raises(errors.Unavailable, match="the store is loading") as caught:
        either.jobs.get("j")
    assert caught.value.retry_after_s == 1
    assert len(service.requests("GetJob")) == 4


def test_nothing_listening_is_unreachable_with_advice(nowhere):
    started = time.monotonic()
    with sparring.connect(nowhere) as client, pytest.raises(ConnectionError, match="sparring up") as caught:
        client.catalog.info()
    assert type(caught.value) is errors.Unreachable
    assert nowhere in caught.value.message
    assert time.monotonic() - started < 5


def test_a_watch_with_nothing_listening_fails_at_once(nowhere):
    started = time.monotonic()
    with sparring.connect(nowhere) as client, pytest.raises(errors.Unreachable):
        list(client.jobs.watch("j"))
    assert time.monotonic() - started < 5


async def test_nothing_listening_is_unreachable_for_asyncio(nowhere):
    client = sparring.connect_async(nowhere)
    with pytest.raises(errors.Unreachable, match="sparring up"):
        await client.catalog.info()
    await client.close()


def test_wait_for_ready_waits_for_a_service_that_comes_up(server):
    server.stop()
    late = sparring.connect(server.target, wait_for_ready=True, timeout_s=0.3)
    with late, pytest.raises(errors.TimedOut, match="did not answer in time"):
        late.catalog.info()
    server.start()
    with sparring.connect(server.target, wait_for_ready=True, timeout_s=10) as client:
        assert client.catalog.info().version == "0.1.0"


def test_a_call_to_a_service_that_does_not_answer_times_out(server, service):
    service.add_job(events=3)
    service.delays_s["GetJob"] = 0.5
    with sparring.connect(server.target, timeout_s=0.1) as client, pytest.raises(errors.TimedOut):
        client.jobs.get("j")
