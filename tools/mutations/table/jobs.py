"""What clients ask for: submit, cancel, retry, watch; and whose jobs they see."""

from __future__ import annotations

from tools.mutations.mutation import Mutation

JOBS = "services/jobs/functions/4_jobs.lua"
QUEUE = "services/jobs/functions/2_queue.lua"
ENDS = "services/jobs/functions/2_waiting.lua"
STATE = "services/jobs/functions/1_state.lua"

MUTATIONS = (
    Mutation(
        name="request_id: not remembered",
        removes="one request makes one job however often it is sent",
        file=JOBS,
        old="local known = request ~= '' and redis.call('GET', P .. 'req:' .. tenant .. ':' .. request)",
        new="local known = false",
        tests=("tests/services/jobs/test_submit.py::test_the_same_request_is_the_same_job_even_under_another_id",),
    ),
    Mutation(
        name="request_id: for any request",
        removes="another request under the same id is refused",
        file=JOBS,
        old="if first_hash ~= hash then",
        new="if false then",
        tests=("tests/services/jobs/test_submit.py::test_a_request_id_with_another_spec_is_refused",),
    ),
    Mutation(
        name="request_id: of all tenants together",
        removes="no tenant gets the job that another asked for",
        file=JOBS,
        old="local known = request ~= '' and redis.call('GET', P .. 'req:' .. tenant .. ':' .. request)",
        new="local known = request ~= '' and redis.call('GET', redis.call('KEYS', P .. 'req:*:' .. request)[1] or '-')",
        tests=("tests/services/jobs/test_submit.py::test_request_ids_of_two_tenants_are_apart",),
    ),
    Mutation(
        name="submit: nobody is told",
        removes="a job that was accepted is worked on at once",
        file=QUEUE,
        old="  ring(pool, #units, now)\n",
        new="",
        tests=("tests/services/jobs/test_submit.py::test_a_submit_rings_once_even_if_nobody_is_known_to_listen",),
    ),
    Mutation(
        name="cancel: the last worker out ends nothing",
        removes="a job that is being cancelled comes to its end",
        file=ENDS,
        old="  if left == 0 then\n    end_job(id, CANCELLED, now)\n  end\n",
        new="",
        tests=(
            "tests/services/jobs/test_endings.py::test_a_running_job_is_cancelled_when_its_last_worker_has_stopped",
            "tests/services/jobs/test_endings.py::test_whatever_ends_the_last_lease_ends_a_job_that_is_being_cancelled",
        ),
    ),
    Mutation(
        name="cancel: open units stay open",
        removes="nothing of a cancelled job is begun",
        file=JOBS,
        old="    set_state(id, CANCELLING, now)\n    close_units(id)\n",
        new="    set_state(id, CANCELLING, now)\n",
        tests=(
            "tests/services/jobs/test_endings.py::test_a_running_job_is_cancelled_when_its_last_worker_has_stopped",
        ),
    ),
    Mutation(
        name="end of a job: other leases stay",
        removes="workers of a job that has ended find their tokens stale",
        file=ENDS,
        old="    end_lease(id, unit, 'dropped', now)\n",
        new="",
        tests=("tests/services/jobs/test_endings.py::test_fail_ends_the_job_and_takes_the_other_leases",),
    ),
    Mutation(
        name="retry: everything anew",
        removes="what a cancelled or failed job has committed is kept",
        file=QUEUE,
        old="if redis.call('HEXISTS', P .. 'results:' .. id, unit) == 0 then",
        new="if true then",
        tests=("tests/services/jobs/test_endings.py::test_retry_keeps_what_was_committed_and_forgets_the_attempts",),
    ),
    Mutation(
        name="retry: the attempts stay",
        removes="a job that was retried has three attempts again",
        file=JOBS,
        old="if string.sub(attempts, 1, 2) == 'a:' then",
        new="if false then",
        tests=("tests/services/jobs/test_keepers.py::test_a_quarantined_job_has_three_attempts_again_after_a_retry",),
    ),
    Mutation(
        name="events: numbered by the clock",
        removes="events are numbered from 1 without gaps",
        file=STATE,
        old="int(number) .. '-0',",
        new="'*',",
        tests=("tests/services/jobs/test_endings.py::test_finish_ends_the_job_and_says_everything_that_happened",),
    ),
    Mutation(
        name="events: one is left out",
        removes="a watcher that comes back misses nothing",
        file=STATE,
        old="local number = redis.call('HINCRBY', job_key(id), 'last_event', 1)\n",
        new="local number = redis.call('HINCRBY', job_key(id), 'last_event', kind == 'unit' and 2 or 1)\n",
        tests=("tests/services/jobs/test_endings.py::test_finish_ends_the_job_and_says_everything_that_happened",),
    ),
    Mutation(
        name="tenant: not compared when a job is changed",
        removes="no tenant cancels, retries or deletes another's job",
        file=JOBS,
        old="  if owner ~= tenant then\n    return nil, {'NOT_FOUND'}\n  end\n",
        new="",
        tests=("tests/services/jobs/test_endings.py::test_a_job_that_is_not_there_or_of_another_tenant_is_not_found",),
    ),
    Mutation(
        name="etag: not compared",
        removes="nobody changes a job that is not any more as they saw it",
        file=JOBS,
        old="if etag and etag ~= '' and etag ~= version then",
        new="if false then",
        tests=("tests/services/jobs/test_endings.py::test_an_old_etag_is_refused",),
    ),
)
