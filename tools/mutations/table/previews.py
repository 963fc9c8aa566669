"""Previews: who is woken, how many a tenant may have, and that nothing of them stays."""

from __future__ import annotations

from tools.mutations.mutation import Mutation

FUNCTIONS = "services/jobs/functions/6_previews.lua"
STORE = "tests/services/jobs/test_previews.py::"

MUTATIONS = (
    Mutation(
        name="previews: as many as one likes",
        removes="a tenant may have so many previews under way",
        file=FUNCTIONS,
        old="    return 'BUSY'\n",
        new="",
        tests=(f"{STORE}test_a_tenant_may_have_so_many_under_way_and_others_as_many_of_their_own",),
    ),
    Mutation(
        name="previews: an answer makes no room",
        removes="a preview that was answered counts no more",
        file=FUNCTIONS,
        old="  redis.call('ZREM', P .. 'previewing:' .. tenant, id)\n",
        new="",
        tests=(f"{STORE}test_a_tenant_may_have_so_many_under_way_and_others_as_many_of_their_own",),
    ),
    Mutation(
        name="previews: a deadline makes no room",
        removes="a preview that nobody answered counts no more",
        file=FUNCTIONS,
        old="  redis.call('ZREMRANGEBYSCORE', previewing, '-inf', int(now))\n",
        new="",
        tests=(f"{STORE}test_a_preview_that_nobody_answered_makes_room_at_its_deadline",),
    ),
    Mutation(
        name="previews: always asleep",
        removes="a previewer that runs is preferred",
        file=FUNCTIONS,
        old="waiting < awake and 'awake' or 'asleep'",
        new="'asleep'",
        tests=(f"{STORE}test_the_first_preview_wakes_a_worker_and_the_next_goes_to_the_one_that_is_awake",),
    ),
    Mutation(
        name="previews: never a second",
        removes="another worker is woken where each that runs has one waiting",
        file=FUNCTIONS,
        old="waiting < awake and",
        new="awake > 0 and",
        tests=(f"{STORE}test_another_worker_is_woken_where_each_that_is_awake_has_one_waiting",),
    ),
    Mutation(
        name="previews: nobody takes over",
        removes="what waits for the last previewer wakes another when it ends",
        file=FUNCTIONS,
        old="      expect_preview('asleep', left)\n",
        new="",
        tests=(f"{STORE}test_what_waits_for_the_last_previewer_wakes_another_when_it_ends",),
    ),
    Mutation(
        name="previews: listening is not noted",
        removes="a previewer that runs is known to run",
        file=FUNCTIONS,
        old="  redis.call('ZADD', P .. 'previewers', int(now + ttl_ms), id)\n",
        new="",
        tests=(f"{STORE}test_the_first_preview_wakes_a_worker_and_the_next_goes_to_the_one_that_is_awake",),
    ),
    Mutation(
        name="previews: answers stay",
        removes="every key of a preview lapses by itself",
        file=FUNCTIONS,
        old="  redis.call('PEXPIRE', P .. 'preview:' .. id, kept_ms)\n",
        new="",
        tests=(f"{STORE}test_every_key_of_a_preview_lapses_by_itself",),
    ),
    Mutation(
        name="previews: late ones are computed",
        removes="a preview that nobody waits for is passed over",
        file="workers/run/previewer.py",
        old="    if board.late(posted):\n        return False\n    task",
        new="    task",
        tests=(
            "tests/workers/run/test_previewer.py::test_what_nobody_waits_for_any_more_is_neither_computed_nor_answered",
        ),
    ),
)
