"""The one way in which the service makes spans: what is recorded, what is not, and what it costs where nothing is."""

import asyncio
import logging
import subprocess
import sys
import threading

import pytest

from services.errors import NotFound
from services.telemetry import tracing
from services.telemetry.context import TraceContext
from services.telemetry.settings import TelemetrySettings
from services.tenants.keys import new_key

PARENT = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True, state="a=1")


def by_name(spans):
    return {span["name"]: span for span in spans}


def test_spans_inside_each_other_are_one_tree_with_their_times(record):
    end = record()
    with tracing.span("outer", {"sparring.job": "j"}, begins=True) as outer:
        with tracing.span("inner"):
            tracing.annotate({"sparring.samples": 3})
        assert tracing.here() == outer.context
    assert tracing.here() is None
    spans = by_name(end())
    assert spans["inner"]["parent"] == spans["outer"]["span"]
    assert spans["inner"]["trace"] == spans["outer"]["trace"] == outer.context.trace_id
    assert spans["outer"]["parent"] is None
    assert (
        spans["outer"]["start_ns"] <= spans["inner"]["start_ns"] <= spans["inner"]["end_ns"] <= spans["outer"]["end_ns"]
    )
    assert (spans["outer"]["attributes"], spans["inner"]["attributes"]) == (
        {"sparring.job": "j"},
        {"sparring.samples": 3},
    )
    assert spans["outer"]["service"] == "test"


def test_a_trace_begins_only_where_one_is_to_begin(record):
    end = record()
    with tracing.span("alone"):
        assert tracing.carried() == ""
    assert end() == []


def test_the_span_of_somebody_else_is_the_parent_and_its_state_goes_on(record):
    end = record()
    with tracing.within(PARENT), tracing.span("below") as below:
        assert below.context.state == "a=1"
        assert tracing.carried() == below.context.text
    (span,) = end()
    assert (span["trace"], span["parent"]) == (PARENT.trace_id, PARENT.span_id)


def test_what_a_client_does_not_want_recorded_is_not_and_is_handed_on_so(record):
    end = record()
    unwanted = TraceContext(PARENT.trace_id, PARENT.span_id, sampled=False)
    with tracing.span("hidden", parent=unwanted) as span:
        assert not span.context.sampled
        assert span.context.trace_id == PARENT.trace_id
    assert end() == []


def test_the_ratio_decides_over_traces_that_begin_here_and_over_no_others(record):
    end = record(traces_ratio=0.0)
    with tracing.span("ours", begins=True) as ours:
        assert not ours.context.sampled
    with tracing.span("theirs", parent=PARENT):
        pass
    assert [span["name"] for span in end()] == ["theirs"]


def test_ids_times_and_links_are_chosen_where_that_is_asked(record):
    end = record()
    before = TraceContext(PARENT.trace_id, "1" * 16, sampled=True)
    tracing.span("queue", parent=PARENT, span_id="ab" * 8, link=before, start_ns=5_000).end(9_000)
    with tracing.span("next", parent=PARENT):
        pass
    spans = by_name(end())
    queue = spans["queue"]
    assert (queue["span"], queue["links"], queue["start_ns"], queue["end_ns"]) == ("ab" * 8, ["1" * 16], 5_000, 9_000)
    assert spans["next"]["span"] != "ab" * 8, "the choice was for one span"


def test_an_error_leaves_its_reason_and_not_its_words(record):
    end = record()
    with pytest.raises(NotFound), tracing.span("looks", parent=PARENT):
        raise NotFound("Model", "models/secret-name")
    with pytest.raises(ZeroDivisionError), tracing.span("divides", parent=PARENT):
        raise ZeroDivisionError("a secret number")
    knows = tracing.span("knows", parent=PARENT)
    knows.fail("BETTER_REASON")
    with pytest.raises(KeyError), knows:
        raise KeyError("secret")
    spans = end()
    assert {span["name"]: span["error"] for span in spans} == {
        "looks": NotFound("Model", "m").reason,
        "divides": "ZeroDivisionError",
        "knows": "BETTER_REASON",
    }
    assert "secret" not in str(spans)


def test_a_name_that_holds_a_key_is_told_without_it(record):
    end, key = record(), new_key("ci")
    with tracing.span("fetch model", {"sparring.model": f"models/{key}"}, parent=PARENT) as span:
        span.set({"sparring.dataset": key, "sparring.samples": 3})
    (told,) = end()
    assert set(told["attributes"]) == {"sparring.model", "sparring.dataset", "sparring.samples"}
    assert key.rpartition("_ci_")[2] not in str(told)


async def test_concurrent_calls_do_not_mix_their_spans(record):
    end = record()

    async def call(number):
        with tracing.span(f"call {number}", begins=True) as own:
            for step in range(5):
                await asyncio.sleep(0)
                with tracing.span(f"step {number}.{step}"):
                    await asyncio.sleep(0)
                assert tracing.here() == own.context

    await asyncio.gather(*(call(number) for number in range(8)))
    spans = end()
    calls = {span["span"]: span["name"].removeprefix("call ") for span in spans if span["parent"] is None}
    steps = [span for span in spans if span["parent"] is not None]
    assert len(calls) == 8
    assert len(steps) == 40
    assert all(span["name"].startswith(f"step {calls[span['parent']]}.") for span in steps)


def test_threads_do_not_inherit_a_span(record):
    end = record()
    seen = []
    with tracing.span("outer", begins=True):
        thread = threading.Thread(target=lambda: seen.append(tracing.carried()))
        thread.start()
        thread.join()
    assert seen == [""]
    assert len(end()) == 1


def test_without_a_destination_nothing_is_made_and_contexts_pass_through():
    tracing.configure("test", TelemetrySettings())
    assert not tracing.enabled()
    one, other = tracing.span("a", begins=True), tracing.span("b", parent=PARENT)
    assert one is other, "nothing is made for nobody"
    with tracing.within(PARENT), other as span:
        span.set({"sparring.job": "j"})
        span.fail("REASON")
        assert tracing.carried() == PARENT.text


HIDDEN = """
import sys
sys.modules["opentelemetry"] = None
import logging
logging.basicConfig()
from services.telemetry import tracing
from services.telemetry.settings import TelemetrySettings
tracing.configure("test", TelemetrySettings(traces="http://127.0.0.1:4317"))
with tracing.span("a", begins=True):
    tracing.annotate({"sparring.job": "j"})
tracing.flush_soon()
tracing.close()
assert not tracing.enabled()
"""


def test_without_the_packages_one_line_says_so_and_everything_goes_on():
    ran = subprocess.run([sys.executable, "-c", HIDDEN], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("install sparring[tracing]") == 1


def test_nothing_that_records_is_loaded_where_nothing_is_traced():
    # redis-py looks for OpenTelemetry by itself, and imports a part of it where it is installed.
    code = (
        "import sys, services.gateway.server, workers.lease; "
        "assert not {'services.telemetry.provider', 'opentelemetry.exporter'} & set(sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr


def test_a_file_that_cannot_be_written_costs_the_traces_and_nothing_else(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        tracing.configure("test", TelemetrySettings(traces=f"file:{tmp_path}/absent/spans.jsonl"))
    assert not tracing.enabled()
    assert "nothing is traced" in caplog.text


def test_a_process_that_says_where_it_is_gets_its_last_spans_delivered(record):
    end = record()
    for number in range(600):
        tracing.span(f"{number}", parent=PARENT).end()
    assert len(end()) == 600
    with tracing.span("too late", parent=PARENT) as span:
        assert span.context is None
