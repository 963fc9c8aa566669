"""W3C Trace Context as it comes from strangers."""

import pytest

from services.telemetry.context import STATE_LENGTH, TraceContext

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


def test_a_context_is_read_and_written_as_it_came():
    read = TraceContext.parse(PARENT, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
    assert read == TraceContext(TRACE, SPAN, sampled=True, state="rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
    assert TraceContext.of_text(read.text) == read
    assert TraceContext.of_text(read.traceparent).traceparent == PARENT


def test_the_decision_not_to_record_is_kept():
    read = TraceContext.parse(f"00-{TRACE}-{SPAN}-00")
    assert not read.sampled
    assert read.traceparent.endswith("-00")
    assert TraceContext.parse(f"00-{TRACE}-{SPAN}-fe").sampled is False, "only the last bit says it"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        PARENT[:-1],
        PARENT + "-more",
        PARENT + "x",
        PARENT.upper(),
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f" {PARENT}",
        f"{PARENT}\n",
        f"00-{TRACE}\r\n-{SPAN}-01",
        "00-" + "٣" * 32 + f"-{SPAN}-01",
        "\x1b[31m" + PARENT,
        "0" * 1_000_000,
    ],
)
def test_what_is_malformed_counts_as_none(text):
    assert TraceContext.parse(text) is None


def test_a_later_version_is_read_as_far_as_it_is_known():
    assert TraceContext.parse(f"cc-{TRACE}-{SPAN}-01-what-the-future-brings").traceparent == PARENT
    assert TraceContext.parse(f"cc-{TRACE}-{SPAN}-01.what") is None


@pytest.mark.parametrize(
    "state", ["no-value", "a=b,,=c", "A=b", "a=b;c=\x01", "a=" + "x" * 257, "a=b\n", ",".join(["a=b"] * 33)]
)
def test_a_malformed_state_is_left_out_and_the_rest_kept(state):
    assert TraceContext.parse(PARENT, state) == TraceContext(TRACE, SPAN, sampled=True)


def test_a_long_state_loses_whole_members_from_its_end():
    members = [f"k{number}={'v' * 90}" for number in range(8)]
    kept = TraceContext.parse(PARENT, ",".join(members)).state
    assert kept == ",".join(members[:5])
    assert len(kept) <= STATE_LENGTH
    assert len(TraceContext.parse(PARENT, kept).text) <= 55 + 1 + STATE_LENGTH


def test_one_header_is_a_context_and_two_are_none():
    assert TraceContext.of_metadata([("other", "x"), ("traceparent", PARENT), ("tracestate", "a=1")]).state == "a=1"
    assert (
        TraceContext.of_metadata([("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")]).state
        == "a=1,b=2"
    )
    assert TraceContext.of_metadata([("traceparent", PARENT), ("traceparent", PARENT)]) is None
    assert TraceContext.of_metadata([("traceparent", PARENT.encode())]) is None
    assert TraceContext.of_metadata([]) is None


def test_attempts_have_ids_that_everybody_can_name():
    one, other = TraceContext.parse(PARENT), TraceContext.parse(f"00-{TRACE}-{'1' * 16}-01")
    assert one.attempt("job", 3, 7) == other.attempt("job", 3, 7)
    ids = {one.attempt(*which) for which in (("job", 3, 7), ("job", 3, 8), ("job", 4, 7), ("jo", 3, 7))}
    assert len(ids) == 4
    assert all(len(made) == 16 and int(made, 16) for made in ids)
