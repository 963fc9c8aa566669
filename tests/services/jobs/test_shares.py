"""Fair shares: who is served next where tenants compete for workers."""

from collections import Counter

import pytest

from services.jobs.record import NewJob, Quota

DIGEST = "d" * 64


def work(store, jobs, workers, claims):
    """Let so many workers take units in turn, each for as long as the others; who was served, in order."""
    served, held = [], []
    for _ in range(claims):
        if len(held) == workers:
            store.release(held.pop(0), "w1")
        lease = jobs.claim()
        held.append(lease)
        served.append(lease.tenant)
    for lease in held:
        store.release(lease, "w1")
    return served


def test_one_job_beside_a_thousand_is_the_next_to_be_served(job_store):
    for number in range(1_000):
        job_store.submit(NewJob(id=f"a{number}", tenant="a", kind="attack", spec=b"", spec_hash="h", units=3))
    running = [job_store.claim(f"c{number}", "w", "cpu", 15_000) for number in range(4)]
    job_store.submit(NewJob(id="b", tenant="b", kind="attack", spec=b"", spec_hash="h", units=3))
    for number, lease in enumerate(running):
        job_store.commit(lease, "w", DIGEST, {})
        served = job_store.claim(f"d{number}", "w", "cpu", 15_000)
        assert served.tenant == ("b" if number < 2 else "a"), number


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_two_busy_tenants_share_the_claims(store, jobs, workers):
    for _ in range(3):
        jobs.submit(tenant="a", units=50)
    jobs.submit(tenant="b", units=50)
    served = Counter(work(store, jobs, workers, 60))
    assert abs(served["a"] - served["b"]) <= 0.2 * 30


@pytest.mark.parametrize(("workers", "weights"), [(1, (3, 1)), (4, (3, 1)), (6, (1, 2)), (7, (0.5, 3))])
def test_they_share_them_by_weight(store, jobs, workers, weights):
    for tenant, weight in zip("ab", weights, strict=True):
        store.set_quota(tenant, Quota(weight=weight))
        jobs.submit(tenant=tenant, units=90)
    served = Counter(work(store, jobs, workers, 84))
    assert served["a"] / 84 == pytest.approx(weights[0] / sum(weights), rel=0.2)


def test_long_units_count_as_long_as_they_run(store, jobs):
    """Of two workers one is left to each tenant, however short the other tenant's units are."""
    jobs.submit(tenant="long", units=9), jobs.submit(tenant="short", units=30)
    assert jobs.claim().tenant == "long"
    for _ in range(20):
        lease = jobs.claim()
        assert lease.tenant == "short"
        store.commit(lease, "w1", DIGEST, {})


def test_who_was_away_neither_makes_up_for_it_nor_waits_for_it(store, jobs):
    jobs.submit(tenant="a", units=100)
    work(store, jobs, 1, 30)
    jobs.submit(tenant="b", units=100)
    assert work(store, jobs, 1, 7) == ["b", "a", "b", "a", "b", "a", "b"]
    jobs.submit(tenant="c", units=100)
    assert Counter(work(store, jobs, 1, 30)) == {"a": 10, "b": 10, "c": 10}


def test_shares_hold_over_both_lanes_of_a_worker(store, jobs):
    jobs.submit(tenant="a", lane="any", units=40), jobs.submit(tenant="b", lane="cpu", units=40)
    jobs.submit(tenant="a", lane="cpu", units=40), jobs.submit(tenant="c", lane="gpu", units=40)
    served = Counter(work(store, jobs, 3, 40))
    assert set(served) == {"a", "b"}
    assert abs(served["a"] - served["b"]) <= 2


def test_within_a_tenant_the_oldest_job_goes_first_whatever_its_lane(store, jobs):
    first, second, third = (jobs.submit(lane=lane, units=1) for lane in ("cpu", "any", "cpu"))
    assert [jobs.claim().job_id for _ in range(3)] == [first, second, third]


def test_only_a_tenants_own_jobs_are_before_its_job(store, jobs):
    for _ in range(5):
        jobs.submit(tenant="other", units=1)
    jobs.submit(units=1)
    record = store.get("default", jobs.submit(units=1))
    assert store.position(record).jobs_ahead == 1
