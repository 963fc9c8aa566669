"""A call's part in a trace: who begins one, what its span says, and that no two calls mix."""

import asyncio
import json
import uuid

import grpc
import pytest
from sparring.v1 import jobs_pb2

from services.jobs.store import AsyncJobStore
from services.telemetry import logs, tracing
from services.telemetry.settings import TelemetrySettings

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
METADATA = (("traceparent", f"00-{TRACE}-{SPAN}-01"), ("tracestate", "vendor=value"))
CREATE = "sparring.v1.JobService/CreateJob"


@pytest.fixture
def spans(tmp_path):
    """Record from now on; what this gives ends it, and returns the spans by name."""
    path = tmp_path / "spans.jsonl"
    tracing.configure("sparring-gateway", TelemetrySettings(traces=f"file:{path}"))

    def end():
        tracing.close()
        return [json.loads(line) for line in path.read_text().splitlines()]

    yield end
    tracing.close()


def record_of(job_store, job):
    return job_store.get("default", job.name.removeprefix("jobs/"))


async def test_a_job_belongs_to_the_trace_that_its_client_began(stubs, attack, job_store, spans):
    job = await stubs.jobs.CreateJob(attack, metadata=METADATA)
    (span,) = spans()
    assert (span["name"], span["kind"], span["trace"], span["parent"]) == (CREATE, "server", TRACE, SPAN)
    assert record_of(job_store, job).trace == f"00-{TRACE}-{span['span']}-01 vendor=value"
    assert job.trace == TRACE
    assert (
        span["attributes"].items()
        >= {
            "sparring.job": job.name.removeprefix("jobs/"),
            "sparring.tenant": "default",
            "sparring.kind": "attack",
            "sparring.attack": "fgsm",
            "sparring.samples": 600,
            "rpc.service": "sparring.v1.JobService",
            "rpc.method": "CreateJob",
            "rpc.grpc.status_code": 0,
        }.items()
    )


async def test_the_gateway_begins_the_trace_where_the_client_sent_none(stubs, attack, job_store, spans):
    job = await stubs.jobs.CreateJob(attack)
    (span,) = spans()
    assert span["parent"] is None
    assert job.trace == span["trace"]
    assert (await stubs.jobs.GetJob(jobs_pb2.GetJobRequest(name=job.name))).trace == span["trace"]


@pytest.mark.parametrize("value", ["nonsense", f"00-{TRACE}-{SPAN}-01-x", "x" * 8000, "%s%n[31mred"])
async def test_a_malformed_context_is_no_error_and_begins_a_new_trace(stubs, attack, spans, caplog, value):
    job = await stubs.jobs.CreateJob(attack, metadata=(("traceparent", value),))
    (span,) = spans()
    assert (span["parent"], span["error"]) == (None, None)
    assert job.trace == span["trace"]
    assert value not in caplog.text


async def test_what_a_client_does_not_want_recorded_is_recorded_nowhere(stubs, attack, job_store, spans):
    job = await stubs.jobs.CreateJob(attack, metadata=(("traceparent", f"00-{TRACE}-{SPAN}-00"),))
    assert spans() == []
    assert record_of(job_store, job).trace.endswith("-00")
    assert job.trace == "", "there is nothing to look for"


async def test_reading_takes_part_in_a_trace_and_begins_none(stubs, spans):
    await stubs.jobs.ListJobs(jobs_pb2.ListJobsRequest())
    await stubs.jobs.ListJobs(jobs_pb2.ListJobsRequest(), metadata=METADATA)
    (span,) = spans()
    assert (span["name"], span["parent"]) == ("sparring.v1.JobService/ListJobs", SPAN)


async def test_a_refused_call_fails_with_its_reason_and_says_nothing_of_its_words(stubs, attack, spans):
    attack.attack.model = "models/a-secret-name"
    attack.attack.attack.fgsm.epsilon = 7.0
    with pytest.raises(grpc.aio.AioRpcError):
        await stubs.jobs.CreateJob(attack)
    (span,) = spans()
    assert span["error"] == "INVALID_FIELDS"
    assert span["attributes"]["rpc.grpc.status_code"] == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert "secret" not in str(span)


async def test_a_gateway_that_records_nothing_hands_on_what_the_client_sent(stubs, attack, job_store):
    job = await stubs.jobs.CreateJob(attack, metadata=METADATA)
    assert record_of(job_store, job).trace == f"00-{TRACE}-{SPAN}-01 vendor=value"
    assert job.trace == TRACE
    assert record_of(job_store, await stubs.jobs.CreateJob(attack)).trace == ""


async def test_the_same_request_again_is_the_same_job_in_the_first_trace(stubs, attack, job_store, spans):
    attack.request_id = str(uuid.uuid4())
    first = await stubs.jobs.CreateJob(attack, metadata=METADATA)
    again = await stubs.jobs.CreateJob(attack)
    assert (again.name, again.trace) == (first.name, TRACE)
    assert len({span["trace"] for span in spans()}) == 2


async def test_concurrent_calls_keep_their_traces_and_their_fields_apart(stubs, attack, job_store, spans, monkeypatch):
    seen, plain = [], AsyncJobStore.submit_and_place

    async def watched(self, job):
        await asyncio.sleep(0.01)
        seen.append((job.trace.split("-")[1], logs.fields().get("trace"), logs.fields().get("tenant")))
        return await plain(self, job)

    monkeypatch.setattr(AsyncJobStore, "submit_and_place", watched)
    traces = [f"{number:032x}" for number in range(1, 13)]
    jobs = await asyncio.gather(
        *(stubs.jobs.CreateJob(attack, metadata=(("traceparent", f"00-{trace}-{SPAN}-01"),)) for trace in traces)
    )
    assert [job.trace for job in jobs] == traces
    assert sorted(seen) == [(trace, trace, "default") for trace in traces]
    assert logs.fields() == {}
    assert tracing.here() is None
