"""The trace of a job, and what a log must not say."""

from __future__ import annotations

from tools.mutations.mutation import Mutation

STORE = "tests/services/jobs/test_traces.py::"
WORKER = "tests/workers/lease/test_traced.py::"

MUTATIONS = (
    Mutation(
        name="trace: ready when it was accepted, for ever",
        removes="a unit that was given back waits from then on",
        file="services/jobs/functions/2_queue.lua",
        old="  if trace and #units == 1 then",
        new="  if false then",
        tests=(f"{STORE}test_a_unit_that_was_given_back_is_ready_since_then_and_names_its_first_attempt",),
    ),
    Mutation(
        name="trace: the latest attempt is the first",
        removes="an attempt is linked to the first one",
        file="services/jobs/functions/5_units.lua",
        old="redis.call('HSETNX', P .. 'units:' .. id, 'f:' .. unit, token)",
        new="redis.call('HSET', P .. 'units:' .. id, 'f:' .. unit, token)",
        tests=(f"{STORE}test_a_lease_that_was_taken_over_belongs_to_the_same_trace",),
    ),
    Mutation(
        name="trace: attempts share the id of their span",
        removes="every attempt is a span of its own",
        file="services/telemetry/context.py",
        old='f"{self.trace_id} {job}/{unit} {token}"',
        new='f"{self.trace_id} {job}/{unit}"',
        tests=(f"{WORKER}test_an_attempt_after_a_loss_is_a_new_span_of_the_same_trace_linked_to_the_first",),
    ),
    Mutation(
        name="trace: everything is recorded",
        removes="what a client does not want recorded is not",
        file="services/telemetry/provider.py",
        old="trace.TraceFlags.SAMPLED if context.sampled else trace.TraceFlags.DEFAULT",
        new="trace.TraceFlags.SAMPLED",
        tests=(f"{WORKER}test_a_job_without_a_trace_makes_no_spans_and_is_done_all_the_same",),
    ),
    Mutation(
        name="log: keys as they are",
        removes="no line of the log tells a key",
        file="services/telemetry/redaction.py",
        old="        text = pattern.sub(instead, text)\n",
        new="        pass\n",
        tests=("tests/services/telemetry/test_logs.py::test_a_key_appears_nowhere_however_it_is_logged",),
    ),
    Mutation(
        name="log: the heartbeat does not know whose unit it keeps",
        removes="every line of a unit says whose it is",
        file="workers/lease/heartbeat.py",
        old="keep = partial(contextvars.copy_context().run, self._keep)",
        new="keep = self._keep",
        tests=(f"{WORKER}test_every_line_of_a_unit_says_whose_it_is_also_from_the_heartbeat",),
    ),
)
