"""A unit in its job's trace: how long it waited, each attempt, what came of it; and in the lines of the log."""

from __future__ import annotations

import json
import logging
import threading

import pytest

from services.jobs.record import NewJob
from services.telemetry import logs, tracing
from services.telemetry.settings import TelemetrySettings
from workers.lease import Failed, status

TRACE, ROOT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{ROOT}-01 vendor=value"


@pytest.fixture
def spans(tmp_path):
    """Record from now on; what this gives ends it, and returns the spans."""
    path = tmp_path / "spans.jsonl"
    tracing.configure("sparring-worker", TelemetrySettings(traces=f"file:{path}"))

    def end():
        tracing.close()
        return [json.loads(line) for line in path.read_text().splitlines()]

    yield end
    tracing.close()


def submit(bench, name="job", units=1, trace=PARENT):
    bench.store.submit(NewJob(id=name, kind="attack", spec=b"", spec_hash=name, units=units, trace=trace))


def named(spans, name):
    return sorted((span for span in spans if span["name"] == name), key=lambda span: span["start_ns"])


def test_every_unit_is_in_the_trace_with_the_time_that_it_waited(bench, lab, spans):
    submit(bench, units=2)
    bench.worker(lab.done).serve()
    found = spans()
    assert {span["trace"] for span in found} == {TRACE}
    assert [span["attributes"]["sparring.unit"] for span in named(found, "unit")] == [0, 1]
    (closing,) = named(found, "closing unit")
    queued = named(found, "queue")
    assert len(queued) == 3
    for span in (*queued, *named(found, "unit"), closing):
        assert span["parent"] == ROOT
        assert (
            span["attributes"].items()
            >= {
                "sparring.job": "job",
                "sparring.tenant": "default",
                "sparring.kind": "attack",
                "sparring.attempt": 1,
                "sparring.worker": "w",
                "sparring.lane": "cpu",
            }.items()
        )
        assert span["error"] is None
        assert span["links"] == []
    assert all(0 <= span["end_ns"] - span["start_ns"] < 10e9 for span in queued)
    assert {span["parent"] for span in named(found, "commit")} == {
        span["span"] for span in (*named(found, "unit"), closing)
    }
    outcomes = [span["attributes"]["sparring.outcome"] for span in (*named(found, "unit"), closing)]
    assert outcomes == ["committed", "committed", "finished"]


def test_an_attempt_after_a_loss_is_a_new_span_of_the_same_trace_linked_to_the_first(bench, lab, spans):
    def broken(lease, heartbeat):
        raise SystemExit(f"attempt {lease.attempt}")

    submit(bench)
    bench.worker(broken, name="w1").serve()
    found = spans()
    units = named(found, "unit")
    assert [span["attributes"]["sparring.attempt"] for span in units] == [1, 2, 3]
    assert [span["error"] for span in units] == ["SystemExit"] * 3
    first = units[0]["span"]
    assert [span["links"] for span in units] == [[], [first], [first]]
    assert len({span["span"] for span in units}) == 3
    assert {span["trace"] for span in found} == {TRACE}


def test_a_unit_that_another_worker_takes_over_is_linked_to_a_span_that_never_arrived(bench, lab, spans):
    submit(bench)
    lost = bench.store.claim("claim", "gone", "cpu", 10_000)
    bench.store.lose(lost.job_id, lost.unit, lost.token, "killed")
    bench.worker(lab.done, name="w2").serve()
    (unit,) = named(spans(), "unit")
    assert unit["attributes"]["sparring.attempt"] == 2
    assert len(unit["links"]) == 1
    assert unit["links"] != [unit["span"]]


def test_what_a_unit_does_is_below_its_span(bench, lab, spans):
    def run(lease, heartbeat):
        with tracing.span("attack"):
            pass
        return lab.done(lease, heartbeat)

    submit(bench)
    bench.worker(run).serve()
    found = spans()
    assert [span["parent"] for span in named(found, "attack")] == [
        named(found, "unit")[0]["span"],
        named(found, "closing unit")[0]["span"],
    ]


def test_a_job_that_failed_says_its_reason(bench, spans):
    submit(bench)
    error = status("ARTIFACT_MISSING", "a secret name is missing").SerializeToString()
    bench.worker(lambda *_: Failed(error)).serve()
    found = spans()
    (unit,) = named(found, "unit")
    assert (unit["error"], unit["attributes"]["sparring.outcome"]) == ("ARTIFACT_MISSING", "failed")
    assert "secret" not in str(found)


def test_a_unit_that_is_cancelled_says_so(bench, lab, spans):
    submit(bench)
    thread = threading.Thread(target=bench.worker(lab.ticking(20.0)).serve)
    thread.start()
    lab.wait_for(lambda: bench.attempts() == [1])
    bench.store.cancel("default", "job")
    thread.join(30)
    assert named(spans(), "unit")[0]["error"] == "Cancelled"


def test_a_job_without_a_trace_makes_no_spans_and_is_done_all_the_same(bench, lab, spans):
    submit(bench, trace="")
    submit(bench, name="hidden", trace=f"00-{TRACE}-{ROOT}-00")
    submit(bench, name="odd", trace="nonsense")
    assert bench.worker(lab.done).serve() == 6
    assert spans() == []


def test_every_line_of_a_unit_says_whose_it_is_also_from_the_heartbeat(bench, lab, monkeypatch, caplog):
    monkeypatch.setattr(logs, "_own", {})
    seen = []

    class Watching(logging.Handler):
        def emit(self, record):
            seen.append((record.threadName.startswith("heartbeat"), logs.fields()))

    def run(lease, heartbeat):
        monkeypatch.setattr(heartbeat, "_renew", lambda: logging.getLogger("workers.lease").info("from the thread"))
        return lab.ticking(0.3)(lease, heartbeat)

    handler, log = Watching(), logging.getLogger("workers.lease")
    log.addHandler(handler)
    try:
        submit(bench)
        with caplog.at_level(logging.INFO, "workers.lease"):
            bench.worker(run).serve()
    finally:
        log.removeHandler(handler)
    assert {thread for thread, _ in seen} == {False, True}
    for _, fields in seen:
        assert fields.items() >= {"job": "job", "tenant": "default", "attempt": 1, "trace": TRACE}.items()
        assert fields["token"] == fields["unit"] + 1
    assert logs.fields() == {}
