"""Budget, rate, retries, and what the ledger says of them."""

import hashlib

import grpc
import pytest
import torch

from tests.workers.blackbox.conftest import SHAPE
from workers.blackbox import BudgetSpent, Ledger
from workers.blackbox.pace import TokenBucket
from workers.failures import Interrupted, Rejected

X = torch.rand(10, *SHAPE, generator=torch.Generator().manual_seed(3))
TRANSIENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED)


def test_every_sample_that_was_answered_is_one_line_in_order(bench):
    endpoint = bench.endpoint(batch_limit=4)
    found = endpoint(X)
    assert [len(q.raw_input_contents[0]) // (24 * 4) for q in bench.server.questions] == [4, 4, 2]
    assert [line["index"] for line in bench.lines] == list(range(10))
    assert [line["sha256"] for line in bench.lines] == [hashlib.sha256(row.numpy().tobytes()).hexdigest() for row in X]
    assert [line["label"] for line in bench.lines] == found.argmax(dim=1).tolist()
    assert [line["score"] for line in bench.lines] == found.amax(dim=1).tolist()
    assert (endpoint.ledger.queries, endpoint.ledger.sent, endpoint.ledger.calls) == (10, 10, 3)


def test_a_budget_is_spent_to_the_last_query_and_nothing_is_sent_beyond_it(bench):
    endpoint = bench.endpoint(budget=10, batch_limit=3)
    endpoint(X[:8])
    asked = len(bench.server.questions)
    with pytest.raises(BudgetSpent) as caught:
        endpoint(X[:3])
    assert caught.value.reason == "QUERY_BUDGET_SPENT"
    assert (caught.value.budget, caught.value.answered, caught.value.wanted) == (10, 8, 3)
    assert len(bench.server.questions) == asked
    endpoint(X[:2])
    assert endpoint.ledger.queries == 10


def test_a_ledger_that_is_there_is_gone_on_with_so_that_a_budget_holds_over_several_runs(bench):
    with bench.endpoint() as first:
        first(X[:6])
    bench.ledger_file.write_bytes(bench.ledger_file.read_bytes() + b'{"index": 6, "sha')
    again = bench.endpoint(budget=8)
    with pytest.raises(BudgetSpent):
        again(X[:3])
    again(X[:2])
    assert [line["index"] for line in bench.lines] == list(range(8))


def test_two_endpoints_cannot_write_one_ledger(bench):
    bench.endpoint()
    with pytest.raises(Rejected) as caught:
        Ledger(bench.ledger_file)
    assert caught.value.reason == "LEDGER_IN_USE"


@pytest.mark.parametrize("code", TRANSIENT)
def test_a_call_that_failed_for_a_while_is_made_again_and_counts_once(bench, code):
    bench.server.failures = [code, code]
    begun = bench.clock.time
    endpoint = bench.endpoint(first_backoff_s=1.0)
    endpoint(X)
    assert (endpoint.ledger.queries, endpoint.ledger.sent) == (10, 30)
    assert (endpoint.ledger.calls, endpoint.ledger.failures) == (3, 2)
    assert {line["attempts"] for line in bench.lines} == {3}
    assert 1.5 <= bench.clock.time - begun <= 3  # U(1/2, 1) of 1 s and of 2 s


def test_after_the_last_attempt_the_endpoint_is_unavailable(bench):
    bench.server.failures = [grpc.StatusCode.UNAVAILABLE] * 9
    endpoint = bench.endpoint(attempts=3, longest_backoff_s=0.5)
    begun = bench.clock.time
    with pytest.raises(Rejected, match="not today") as caught:
        endpoint(X)
    assert caught.value.reason == "ENDPOINT_UNAVAILABLE"
    assert len(bench.server.questions) == 3
    assert bench.clock.time - begun <= 1
    assert endpoint.ledger.queries == 0


@pytest.mark.parametrize("code", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED])
def test_what_would_fail_again_is_not_tried_again(bench, code):
    bench.server.failures = [code]
    with pytest.raises(Rejected, match=code.name) as caught:
        bench.endpoint()(X)
    assert caught.value.reason == "ENDPOINT_REFUSED"
    assert len(bench.server.questions) == 1


def test_an_answer_that_takes_longer_than_the_deadline_is_given_up(bench):
    import time

    bench.server.classify = lambda x: time.sleep(0.3)
    with pytest.raises(Rejected, match="DEADLINE_EXCEEDED"):
        bench.endpoint(deadline_s=0.05, attempts=1)(X)


def test_answers_before_a_failure_stay_in_the_ledger(bench):
    endpoint = bench.endpoint(batch_limit=4, attempts=1)
    bench.server.alter = lambda answer: bench.server.failures.append(grpc.StatusCode.INTERNAL)
    with pytest.raises(Rejected, match="INTERNAL"):
        endpoint(X)
    assert endpoint.ledger.queries == len(bench.lines) == 4


def test_the_rate_is_held_in_the_long_run(bench):
    endpoint = bench.endpoint(queries_per_s=5, batch_limit=4)
    begun = bench.clock.time
    for _ in range(10):
        endpoint(X)
    # 100 queries, of which the first 5 were in the bucket.
    assert bench.clock.time - begun == pytest.approx(95 / 5)


def test_retries_are_part_of_the_rate(bench):
    bench.server.failures = [grpc.StatusCode.UNAVAILABLE] * 2
    begun = bench.clock.time
    bench.endpoint(queries_per_s=10, first_backoff_s=0.01)(X)
    assert bench.clock.time - begun == pytest.approx(20 / 10)


def test_in_any_time_no_more_is_spent_than_rate_and_bucket_allow():
    generator = torch.Generator().manual_seed(0)
    bucket, now, spent = TokenBucket(4.0, 0.0), 0.0, []
    for size in torch.randint(1, 12, (200,), generator=generator).tolist():
        now += 3 * float(torch.rand((), generator=generator)) + bucket.take(size, now)
        spent.append((now, size))
    for first in range(200):
        for last in range(first, 200):
            length = spent[last][0] - spent[first][0]
            assert sum(size for _, size in spent[first : last + 1]) <= 4 * length + 4 + 11 + 1e-6


def test_a_long_wait_can_be_ended(bench):
    asked = []

    def waiting():
        asked.append(bench.clock.time)
        if len(asked) == 4:
            raise Interrupted

    with pytest.raises(Interrupted):
        bench.endpoint(queries_per_s=0.1, waiting=waiting)(X)
    assert asked[-1] - asked[0] == pytest.approx(1.5)
    assert bench.server.questions == []
