"""Who may work on what: fencing tokens, claims, commits, the reaper."""

from __future__ import annotations

from tools.mutations.mutation import Mutation

UNITS = "services/jobs/functions/5_units.lua"
KEEPERS = "services/jobs/functions/7_keepers.lua"
STALE = ("tests/services/jobs/test_units.py::test_a_stale_token_changes_nothing",)


def holds(call: str) -> str:
    """Where a function refuses a token that is good no more."""
    return f"  if not holds(id, unit, token) then\n    return stale('{call}')\n  end\n"


MUTATIONS = (
    Mutation(
        name="token: not looked at anywhere",
        removes="a worker whose lease was given to another writes nothing",
        file="services/jobs/functions/2_queue.lua",
        old="return redis.call('HGET', P .. 'units:' .. id, 't:' .. unit) == token",
        new="return redis.call('EXISTS', P .. 'job:' .. id) == 1",
        tests=(
            *STALE,
            "tests/workers/lease/test_lease.py::test_a_worker_whose_lease_was_given_to_another_writes_nothing",
        ),
    ),
    Mutation(
        name="token: not looked at by renew",
        removes="a stale worker is told so, and moves no checkpoint",
        file=UNITS,
        old="local id, unit, token, lease_ms, fraction, message, checkpoint = unpack(args)\n" + holds("renew"),
        new="local id, unit, token, lease_ms, fraction, message, checkpoint = unpack(args)\n",
        tests=STALE,
    ),
    Mutation(
        name="token: not looked at by commit",
        removes="a stale worker commits nothing",
        file=UNITS,
        old=holds("commit") + "  if unit == get(id, 'units') then",
        new="  if unit == get(id, 'units') then",
        tests=STALE,
    ),
    Mutation(
        name="token: not looked at by finish and fail",
        removes="a stale worker ends no job",
        file=UNITS,
        old=holds("end") + "  if state_of(id) == CANCELLING then\n    settle_cancel",
        new="  if state_of(id) == CANCELLING then\n    settle_cancel",
        tests=STALE,
    ),
    Mutation(
        name="token: not looked at by stopped",
        removes="a stale worker's stop is not taken for that of its successor",
        file=UNITS,
        old=holds("stopped") + "  if state_of(id) ~= CANCELLING then",
        new="  if state_of(id) ~= CANCELLING then",
        tests=STALE,
    ),
    Mutation(
        name="token: every lease has the same",
        removes="the token of a later lease is larger",
        file="services/jobs/functions/2_queue.lua",
        old="local token = int(redis.call('INCR', P .. 'fence'))",
        new="local token = '1'",
        tests=("tests/services/jobs/test_units.py::test_tokens_grow_over_all_jobs",),
    ),
    Mutation(
        name="claim: a repeated claim is a new one",
        removes="a claim whose answer was lost gives the same lease again",
        file=UNITS,
        old="local known = redis.call('GET', P .. 'claim:' .. claim_id)",
        new="local known = false",
        tests=("tests/services/jobs/test_units.py::test_a_claim_whose_answer_was_lost_gives_the_same_lease",),
    ),
    Mutation(
        name="commit: not repeatable",
        removes="a commit whose answer was lost can be sent again",
        file=UNITS,
        old="return first_digest == digest and 'ALREADY' or 'OTHER'",
        new="return first_digest == digest and 'LOST' or 'OTHER'",
        tests=("tests/services/jobs/test_units.py::test_a_commit_whose_answer_was_lost_can_be_repeated",),
    ),
    Mutation(
        name="commit: another digest is taken for the same",
        removes="a lease that commits two different results is found out",
        file=UNITS,
        old="return first_digest == digest and 'ALREADY' or 'OTHER'",
        new="return 'ALREADY'",
        tests=("tests/services/jobs/test_units.py::test_a_committed_unit_takes_no_other_digest",),
    ),
    Mutation(
        name="commit: what is kept is not looked at",
        removes="a unit's result is written once",
        file=UNITS,
        old="local kept = redis.call('HGET', P .. 'results:' .. id, unit)",
        new="local kept = false",
        tests=(
            "tests/services/jobs/test_units.py::test_a_commit_whose_answer_was_lost_can_be_repeated",
            "tests/services/jobs/test_units.py::test_a_committed_unit_takes_no_other_digest",
        ),
    ),
    Mutation(
        name="finish: not repeatable",
        removes="a finish whose answer was lost can be sent again",
        file=UNITS,
        old="redis.call('HGET', job_key(id), 'end_token') == token or ended_with",
        new="ended_with",
        tests=("tests/services/jobs/test_endings.py::test_finish_can_be_repeated",),
    ),
    Mutation(
        name="finish: from any unit",
        removes="only the closing unit ends a job, once all others are committed",
        file=UNITS,
        old="if unit ~= units or units_done(id) ~= tonumber(units) then",
        new="if false then",
        tests=("tests/services/jobs/test_endings.py::test_only_the_closing_unit_finishes",),
    ),
    Mutation(
        name="closing unit: open before the last commit",
        removes="the report is made when everything is there",
        file=UNITS,
        old="if units_done(id) == units then",
        new="if units_done(id) > 0 then",
        tests=("tests/services/jobs/test_units.py::test_the_last_commit_opens_the_closing_unit",),
    ),
    Mutation(
        name="release: the attempt is charged",
        removes="a shutdown brings no job nearer to quarantine",
        file=UNITS,
        old="local attempt = redis.call('HINCRBY', P .. 'units:' .. id, 'a:' .. unit, -1)",
        new="local attempt = redis.call('HINCRBY', P .. 'units:' .. id, 'a:' .. unit, 0) - 1",
        tests=("tests/services/jobs/test_units.py::test_release_opens_the_unit_again_and_charges_no_attempt",),
    ),
    Mutation(
        name="renew: the checkpoint is not noted",
        removes="a training's next worker goes on from the last checkpoint",
        file=UNITS,
        old="if checkpoint ~= '' then",
        new="if false then",
        tests=("tests/services/jobs/test_units.py::test_a_checkpoint_is_given_to_the_next_worker",),
    ),
    Mutation(
        name="renew: the deadline stays",
        removes="who renews keeps its lease",
        file=UNITS,
        old="redis.call('ZADD', P .. 'leases', int(now + lease_ms), id .. '/' .. unit)",
        new="redis.call('ZADD', P .. 'leases', 'NX', int(now + lease_ms), id .. '/' .. unit)",
        tests=("tests/services/jobs/test_units.py::test_renew_keeps_the_lease",),
    ),
    Mutation(
        name="reaper: does nothing",
        removes="a unit whose worker died goes to another",
        file="services/jobs/reaper.py",
        old="reaped = await store.reap(limit)",
        new="reaped = type(await store.reap(0))(0)",
        tests=("tests/services/jobs/test_keepers.py::test_the_reaper_does_all_of_it",),
    ),
    Mutation(
        name="reaper: finds leases and takes none back",
        removes="a unit whose worker died goes to another",
        file=KEEPERS,
        old="    lapse_lease(member, now)\n",
        new="",
        tests=("tests/services/jobs/test_keepers.py::test_a_unit_whose_worker_fell_silent_is_open_again",),
    ),
    Mutation(
        name="attempts: no limit",
        removes="a job that kills its workers ends in quarantine",
        file=KEEPERS,
        old="if attempts >= MAX_ATTEMPTS then",
        new="if attempts < 0 then",
        tests=(
            "tests/services/jobs/test_keepers.py::test_a_unit_that_is_lost_three_times_puts_its_job_into_quarantine",
        ),
    ),
    Mutation(
        name="doorbell: lost bells are not rung again",
        removes="a unit never waits for a bell that was lost",
        file=KEEPERS,
        old="  for _ = 1, missing do\n    push_bell(lane)\n  end\n",
        new="",
        tests=("tests/services/jobs/test_keepers.py::test_ring_repairs_lost_bells_but_rings_for_no_one",),
    ),
    Mutation(
        name="heartbeat: a lease that ran out is not noticed",
        removes="a worker that can't reach the store stops before its unit is another's",
        file="workers/lease/heartbeat.py",
        old="limits.lease_s\n",
        new="limits.lease_s * 10\n",
        times=2,
        tests=(
            "tests/workers/lease/test_store_troubles.py::test_an_outage_longer_than_the_lease_ends_the_computation",
        ),
    ),
    Mutation(
        name="heartbeat: a hanging computation is renewed for ever",
        removes="a unit that hangs is taken away",
        file="workers/lease/heartbeat.py",
        old="if self._stop is None and monotonic() - self._ticked > self._limits.stall_s:",
        new="if self._stop is None and monotonic() < 0:",
        tests=("tests/workers/lease/test_hang.py::test_a_computation_that_hangs_is_given_up_and_its_process_leaves",),
    ),
    Mutation(
        name="worker: a commit is sent once",
        removes="an outage shorter than the lease costs nothing",
        file="workers/lease/heartbeat.py",
        old="            self._left.wait(self._limits.retry_s)\n            self._ticked = monotonic()",
        new="            raise LeaseLost\n            self._ticked = monotonic()",
        tests=("tests/workers/lease/test_store_troubles.py::test_an_outage_shorter_than_the_lease_costs_nothing",),
    ),
)
