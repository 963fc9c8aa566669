"""Errors as google.rpc.Status."""

import logging

import pytest
from google.rpc import code_pb2, error_details_pb2

from services import errors
from services.gateway import status
from services.tenants.table import Key, KeyExpired, Role

KNOWN = {
    kind.DESCRIPTOR.full_name: kind
    for kind in (
        error_details_pb2.ErrorInfo,
        error_details_pb2.BadRequest,
        error_details_pb2.ResourceInfo,
        error_details_pb2.RetryInfo,
        error_details_pb2.QuotaFailure,
    )
}


def details(message):
    found = {}
    for detail in message.details:
        kind = KNOWN[detail.TypeName()]
        found[kind.__name__] = kind.FromString(detail.value)
    return found


def leaves(base=errors.SparringError):
    return [leaf for child in base.__subclasses__() for leaf in [child, *leaves(child)]]


def make(kind):
    if kind is errors.InvalidArgument:
        return kind([errors.Violation("a.b", "is bad")])
    if kind is errors.NotFound:
        return kind("Job", "jobs/x")
    if kind is errors.QuotaExceeded:
        return kind("tenants/t", "max_queued_jobs", "what to do")
    if kind is KeyExpired:
        return kind(Key(tenant="t", id="ci", role=Role.READ))
    return kind("what to do")


@pytest.mark.parametrize("kind", leaves())
def test_every_error_has_its_code_and_reason(kind):
    error = make(kind)
    message = status.of_error(error)
    assert message.code == code_pb2.Code.Value(kind.code)
    info = details(message)["ErrorInfo"]
    assert (info.reason, info.domain) == (error.reason, "sparring")
    assert message.message == error.message


def test_every_bad_field_is_listed():
    violations = [errors.Violation("attack.data.offset", "must not be negative"), errors.Violation("seed", "is odd")]
    bad = details(status.of_error(errors.InvalidArgument(violations)))["BadRequest"]
    assert [(v.field, v.description) for v in bad.field_violations] == [(v.field, v.description) for v in violations]


def test_a_quota_says_whose_it_is_and_when_to_come_back():
    error = errors.QuotaExceeded("tenants/t", "max_queued_jobs", "7 jobs wait, 7 may", retry_after_s=3)
    found = details(status.of_error(error))
    assert found["ErrorInfo"].reason == "QUOTA_EXCEEDED"
    assert dict(found["ErrorInfo"].metadata) == {"quota": "max_queued_jobs"}
    (violation,) = found["QuotaFailure"].violations
    assert (violation.subject, violation.description) == ("tenants/t", "7 jobs wait, 7 may")
    assert found["RetryInfo"].retry_delay.seconds == 3


def test_a_missing_resource_is_named():
    info = details(status.of_error(errors.NotFound("Model", "models/x")))["ResourceInfo"]
    assert (info.resource_type, info.resource_name) == ("Model", "models/x")


@pytest.mark.parametrize("kind", [errors.ResourceExhausted, errors.Unavailable])
def test_whoever_may_come_back_is_told_when(kind):
    retry = details(status.of_error(kind("full", retry_after_s=2.5)))["RetryInfo"]
    assert retry.retry_delay.ToTimedelta().total_seconds() == 2.5


def test_a_status_fits_into_the_metadata_that_clients_accept():
    violations = [errors.Violation(f"evaluation.attacks[{i}].bim.epsilon", "é" * 200) for i in range(1000)]
    message = status.of_error(errors.InvalidArgument(violations))
    assert len(message.SerializeToString()) * 4 / 3 + 3 * len(message.message.encode()) < 8000
    bad = details(message)["BadRequest"].field_violations
    assert bad[-1].description == f"and {1000 - (len(bad) - 1)} more"


def test_an_unexpected_error_tells_only_its_incident(caplog):
    with caplog.at_level(logging.ERROR):
        message = status.of_unexpected(ValueError("the password is hunter2"), "/x")
    assert message.code == code_pb2.INTERNAL
    assert "hunter2" not in str(message)
    incident = details(message)["ErrorInfo"].metadata["incident"]
    assert incident in message.message
    assert incident in caplog.text
    assert "hunter2" in caplog.text
