"""Jobs that wait for jobs, and jobs that are answered with what was computed before."""

from __future__ import annotations

from tools.mutations.mutation import Mutation

WAITING = "services/jobs/functions/2_waiting.lua"
JOBS = "services/jobs/functions/4_jobs.lua"
TESTS = "tests/services/jobs/test_waiting.py::"
CONTENT = "tests/services/jobs/test_content.py::"

MUTATIONS = (
    Mutation(
        name="waiting: nobody waits",
        removes="no unit of a job is taken before the jobs that it comes after have succeeded",
        file=WAITING,
        old="  if #awaited(id) == 0 then\n",
        new="  if true then\n",
        tests=(f"{TESTS}test_a_job_is_ready_in_the_step_in_which_the_one_before_it_succeeds",),
    ),
    Mutation(
        name="waiting: the first success is enough",
        removes="a job goes on after the last of those that it waits for",
        file=WAITING,
        old="  if #awaited(id) == 0 then\n",
        new="  if #awaited(id) < 2 then\n",
        tests=(f"{TESTS}test_of_a_diamond_the_last_goes_on_after_both_sides",),
    ),
    Mutation(
        name="waiting: a success wakes nobody",
        removes="a job that waits is ready in the step in which the last of the others succeeds",
        file=WAITING,
        old="        set_off(waiter, now)\n",
        new="",
        tests=(
            f"{TESTS}test_a_job_is_ready_in_the_step_in_which_the_one_before_it_succeeds",
            f"{TESTS}test_a_chain_runs_in_its_order_and_each_job_once",
        ),
    ),
    Mutation(
        name="waiting: whatever ends a job wakes the next",
        removes="a job fails where one that it waits for does not succeed",
        file=WAITING,
        old="if as == SUCCEEDED and (get(ended, 'made') or not teachers(waiter)[ended]) then",
        new="if get(ended, 'made') or not teachers(waiter)[ended] then",
        tests=(f"{TESTS}test_whatever_ends_a_job_without_success_fails_all_that_come_after_it",),
    ),
    Mutation(
        name="waiting: met twice at the end of a diamond",
        removes="a job that waits for two that fail ends once",
        file=WAITING,
        old="        stop_waiting(waiter)\n",
        new="",
        tests=(f"{TESTS}test_whatever_ends_a_job_without_success_fails_all_that_come_after_it",),
    ),
    Mutation(
        name="waiting: a cancelled job is still waited with",
        removes="of a job that ended while it waited nothing is begun later",
        file=WAITING,
        old="  close_units(id)\n  stop_waiting(id)\n",
        new="  close_units(id)\n",
        tests=(f"{TESTS}test_a_job_that_waits_can_be_cancelled_and_nobody_waits_for_it_then",),
    ),
    Mutation(
        name="waiting: the model that came is not filled in",
        removes="a worker sees the models that were made meanwhile",
        file=WAITING,
        old="message = message .. field(NAME, 'models/' .. name) .. field(WEIGHTS, made)",
        new="message = message .. field(NAME, 'models/' .. name)",
        tests=(
            "tests/services/jobs/test_upcoming.py::test_a_spec_gets_the_models_that_were_made_meanwhile_in_their_order",
        ),
    ),
    Mutation(
        name="waiting: what is waited for is deleted",
        removes="what a job waits for stays until it goes on",
        file=JOBS,
        old="  if is_awaited(id) then\n    return {'AWAITED'",
        new="  if false then\n    return {'AWAITED'",
        tests=(f"{TESTS}test_what_is_waited_for_is_neither_deleted_nor_forgotten",),
    ),
    Mutation(
        name="waiting: what is waited for lapses",
        removes="what a job waits for is not forgotten with time",
        file="services/jobs/functions/7_keepers.lua",
        old="    if is_awaited(id) then\n",
        new="    if false then\n",
        tests=(f"{TESTS}test_what_is_waited_for_is_neither_deleted_nor_forgotten",),
    ),
    Mutation(
        name="waiting: a retry looks at nothing before it",
        removes="a job is retried after those that it waits for",
        file=JOBS,
        old="  refused = in_vain(tenant, (get(id, 'after')) or '', teachers(id))\n    or ",
        new="  refused = ",
        tests=(
            f"{TESTS}test_after_a_retry_of_the_first_the_others_can_be_retried_in_turn",
            f"{TESTS}test_a_retry_after_what_is_gone_is_refused",
        ),
    ),
    Mutation(
        name="waiting: the queue's clock runs meanwhile",
        removes="time in the queue counts from when a job could be taken",
        file=JOBS,
        old="  begin_limit(id, 'deadline', now)\n",
        new="  begin_limit(id, 'deadline', now)\n  begin_limit(id, 'queue', now)\n",
        tests=(f"{TESTS}test_a_deadline_counts_from_acceptance_and_time_in_the_queue_from_being_ready",),
    ),
    Mutation(
        name="reuse: models are not compared",
        removes="a result is that of the very models",
        file=JOBS,
        old="redis.call('HGET', P .. 'kept:' .. tenant, content .. ' ' .. pins)",
        new="redis.call('HGET', P .. 'kept:' .. tenant, content .. ' models/m=1')",
        tests=(f"{CONTENT}test_another_content_another_model_and_another_tenant_are_not_the_same",),
    ),
    Mutation(
        name="reuse: of all tenants together",
        removes="no tenant is answered with another's job",
        file=JOBS,
        old="redis.call('HGET', P .. 'kept:' .. tenant, content .. ' ' .. pins)",
        new="redis.call('HGET', P .. 'kept:default', content .. ' ' .. pins)",
        tests=(f"{CONTENT}test_another_content_another_model_and_another_tenant_are_not_the_same",),
    ),
    Mutation(
        name="reuse: outlives the job",
        removes="a job that is gone is nobody's answer",
        file=JOBS,
        old="    redis.call('HDEL', kept, same_content)\n",
        new="",
        tests=(f"{CONTENT}test_it_lapses_with_the_job",),
    ),
    Mutation(
        name="reuse: a training without its model",
        removes="a training is the answer while its model can be named",
        file=JOBS,
        old="if kind == 'training' and redis.call(",
        new="if kind == 'nothing' and redis.call(",
        tests=(f"{CONTENT}test_a_training_is_the_same_while_its_model_is_there",),
    ),
    Mutation(
        name="reuse: whatever became of it",
        removes="only a job that succeeded is an answer",
        file="services/jobs/functions/1_state.lua",
        old="  if state == SUCCEEDED and content and content ~= '' then",
        new="  if TERMINAL[state] and content and content ~= '' then",
        tests=(f"{CONTENT}test_a_job_that_did_not_succeed_is_nobody_s",),
    ),
    Mutation(
        name="reuse: files are not looked for",
        removes="a result that is the answer can be downloaded",
        file="services/gateway/reuse.py",
        old="        for item in result.artifacts:\n",
        new="        for item in result.artifacts[:0]:\n",
        tests=("tests/services/gateway/test_reuse.py::test_a_result_that_lacks_a_file_is_made_again",),
    ),
)
