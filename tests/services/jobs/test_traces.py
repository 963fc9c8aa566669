"""Where in a trace a job was asked for: kept with its record, and handed out with every lease."""

from services.jobs import calls

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 vendor=value"
OTHER = "00-00000000000000000000000000000001-0000000000000001-01"


def test_a_job_carries_its_trace_and_every_lease_of_it_hands_it_out(store, jobs):
    job_id = jobs.submit(units=1, tenant="t", trace=TRACE)
    assert store.get("t", job_id).trace == TRACE
    unit, closing = jobs.claim(), None
    store.commit(unit, "w1", "d" * 64, {})
    closing = jobs.claim()
    assert (unit.trace, closing.trace, closing.closing) == (TRACE, TRACE, True)


def test_a_repeated_submit_keeps_the_trace_of_the_first(store, jobs):
    first = store.submit(jobs.new(id="one", spec_hash="h", trace=TRACE))
    again = store.submit(jobs.new(id="one", spec_hash="h", trace=OTHER))
    assert (first.trace, again.trace) == (TRACE, TRACE)


def test_a_lease_says_since_when_its_unit_was_ready(store, jobs, clock):
    job_id = jobs.submit(units=2, trace=TRACE)
    accepted = store.get("default", job_id).created_ms
    clock.advance(700)
    first = jobs.claim(lease_ms=5_000)
    clock.advance(100)
    second = jobs.claim(lease_ms=5_000)
    assert (first.ready_ms, first.deadline_ms) == (accepted, accepted + 700 + 5_000)
    assert second.ready_ms == accepted, "both units became ready together"
    store.commit(first, "w1", "d" * 64, {})
    clock.advance(50)
    store.commit(second, "w1", "d" * 64, {})
    clock.advance(25)
    closing = jobs.claim()
    assert (closing.closing, closing.ready_ms) == (True, accepted + 850), "ready with the last commit"


def test_a_unit_that_was_given_back_is_ready_since_then_and_names_its_first_attempt(store, jobs, clock):
    job_id = jobs.submit(units=2, trace=TRACE)
    accepted = store.get("default", job_id).created_ms
    first = jobs.claim()
    assert first.first_token == first.token
    clock.advance(300)
    store.release(first, "w1")
    clock.advance(10)
    again = jobs.claim("w2")
    assert (again.unit, again.ready_ms) == (first.unit, accepted + 300)
    assert (again.first_token, again.token) == (first.token, first.token + 1)
    assert jobs.claim().ready_ms == accepted, "the other one has been ready all the time"


def test_a_lease_that_was_taken_over_belongs_to_the_same_trace(store, jobs, clock):
    jobs.submit(units=1, trace=TRACE)
    lost = jobs.claim(lease_ms=1_000)
    clock.advance(1_500)
    store.reap()
    taken_over = jobs.claim("w2")
    assert (taken_over.attempt, taken_over.trace, taken_over.first_token) == (2, TRACE, lost.token)
    assert taken_over.ready_ms == lost.ready_ms + 1_500


def test_a_retried_job_stays_in_its_trace_and_waits_anew(store, jobs, clock):
    job_id = jobs.submit(units=2, trace=TRACE)
    first = jobs.claim()
    store.fail(first, "w1", b"")
    clock.advance(60_000)
    store.retry("default", job_id)
    again = jobs.claim()
    assert (again.unit, again.attempt, again.trace) == (first.unit, 1, TRACE)
    assert (again.first_token, again.ready_ms) == (first.token, first.ready_ms + 60_000)


def test_a_repeated_claim_is_answered_with_the_same_times(store, jobs, clock):
    jobs.submit(units=1, trace=TRACE)
    first = store.claim("the-claim", "w1", "cpu", 5_000)
    clock.advance(200)
    assert store.claim("the-claim", "w1", "cpu", 5_000) == first


def test_a_job_without_a_trace_costs_no_key_and_no_field(store, jobs, redis):
    job_id = jobs.submit(units=1)
    lease = jobs.claim()
    assert (lease.trace, lease.ready_ms, lease.first_token) == ("", 0, lease.token)
    assert not {b"trace", b"opened"} & set(redis.hgetall(calls.key(f"job:{job_id}")))
    fields = {field.partition(b":")[0] for field in redis.hkeys(calls.key(f"units:{job_id}"))}
    assert not {b"r", b"f"} & fields
