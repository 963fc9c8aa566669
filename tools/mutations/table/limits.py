"""What ends a job that can't or won't end by itself, and what is refused of a file."""

from __future__ import annotations

from tools.mutations.mutation import Mutation

KEEPERS = "services/jobs/functions/7_keepers.lua"

MUTATIONS = (
    Mutation(
        name="limits: time is never over",
        removes="a job beyond its deadline or its time in the queue ends",
        file=KEEPERS,
        old="    ended = ended + end_overdue(member, now)\n",
        new="",
        tests=(
            "tests/services/jobs/test_limits.py::test_a_job_beyond_its_deadline_has_failed_and_its_workers_are_told",
            "tests/services/jobs/test_limits.py::test_only_a_job_that_was_never_taken_can_wait_too_long",
        ),
    ),
    Mutation(
        name="limits: not noted",
        removes="a job's limits are those that it was submitted with",
        file="services/jobs/functions/2_waiting.lua",
        old="  if length_ms > 0 then\n",
        new="  if length_ms < 0 then\n",
        tests=(
            "tests/services/jobs/test_limits.py::test_a_job_beyond_its_deadline_has_failed_and_its_workers_are_told",
        ),
    ),
    Mutation(
        name="limits: a job that was taken can still wait too long",
        removes="the time in the queue ends with the first claim",
        file="services/jobs/functions/1_state.lua",
        old="    redis.call('ZREM', P .. 'due', id .. '/queue')\n    redis.call('ZREM', P .. 'queued:' .. lane, id)\n",
        new="    redis.call('ZREM', P .. 'queued:' .. lane, id)\n",
        tests=("tests/services/jobs/test_limits.py::test_only_a_job_that_was_never_taken_can_wait_too_long",),
    ),
    Mutation(
        name="death: nobody is told",
        removes="a unit of a worker that died is open at once",
        file="services/jobs/functions/7_keepers.lua",
        old="  lose(id, unit, 'told', cause, now_ms())\n",
        new="",
        tests=("tests/services/jobs/test_limits.py::test_a_unit_whose_worker_is_known_to_be_dead_is_open_at_once",),
    ),
    Mutation(
        name="death: of a lease that is another's now",
        removes="a death that is told late takes no unit from its next worker",
        file=KEEPERS,
        old="  if not holds(id, unit, token) then\n    return 0\n  end\n  lose(",
        new="  lose(",
        tests=("tests/services/jobs/test_limits.py::test_a_death_that_comes_too_late_changes_nothing",),
    ),
    Mutation(
        name="death: told twice counts twice",
        removes="a death whose answer was lost costs one attempt",
        file=KEEPERS,
        old="  if ended_with(id, unit, token, 'told') then\n    return 1\n  end\n",
        new="",
        tests=("tests/services/jobs/test_limits.py::test_a_death_whose_answer_was_lost_can_be_told_again",),
    ),
    Mutation(
        name="death: the parent keeps it to itself",
        removes="a worker's parent tells of its child's death",
        file="workers/lease/watch.py",
        old="        self._tell(held, cause)\n",
        new="",
        tests=("tests/workers/lease/test_watch.py::test_a_death_is_told_with_its_signal",),
    ),
    Mutation(
        name="death: a child that hangs is left alone",
        removes="a process that is stopped or holds the interpreter's lock is killed",
        file="workers/lease/watch.py",
        old="            os.kill(held.pid, signal.SIGKILL)\n",
        new="",
        tests=("tests/workers/lease/test_watch.py::test_a_child_that_is_not_heard_of_is_killed",),
    ),
    Mutation(
        name="memory: too little of it is an end",
        removes="a batch that does not fit is tried in halves",
        file="workers/engine/memory.py",
        old="if within <= 1 or not is_out_of_memory(error):",
        new="if within >= 0:",
        tests=(
            "tests/workers/engine/test_out_of_memory.py::test_the_result_is_the_same_to_the_last_bit_and_the_last_propagation",
        ),
    ),
    Mutation(
        name="headers: a name may stand twice",
        removes="every reader of a file sees the same tensors",
        file="services/artifacts/headers.py",
        old="    if len(names) < len(pairs):\n",
        new="    if len(names) > len(pairs):\n",
        tests=("tests/services/artifacts/test_headers.py::test_everything_else_is_refused_with_a_sentence",),
    ),
    Mutation(
        name="headers: tensors may overlap",
        removes="no byte of a file is read twice and none is hidden",
        file="services/artifacts/headers.py",
        old="        if tensor.begin != position:\n",
        new="        if tensor.begin > position:\n",
        tests=("tests/services/artifacts/test_headers.py::test_everything_else_is_refused_with_a_sentence",),
    ),
)
