"""What metrics are made of: counts that are kept by the way, and therefore easily forgotten."""

from __future__ import annotations

from tools.mutations.mutation import Mutation

STATE = "services/jobs/functions/1_state.lua"
QUEUE = "services/jobs/functions/2_queue.lua"
MEASURES = "tests/services/jobs/test_measures.py"
GATEWAY_TEST = (
    "tests/services/gateway/test_metrics.py::test_a_method_that_is_not_there_is_one_label_whatever_it_is_called"
)

MUTATIONS = (
    Mutation(
        name="counts: a lease that ends is not taken off",
        removes="an autoscaler sees how many units run",
        file=QUEUE,
        old="  tally('running/' .. lane_of(id, unit), -1)\n",
        new="",
        tests=(
            f"{MEASURES}::test_lost_units_stale_tokens_and_quarantine_are_counted",
            "tests/services/jobs/test_machine.py::test_the_machine_does_what_the_model_says",
        ),
    ),
    Mutation(
        name="counts: units of a job that ended stay ready",
        removes="an autoscaler sees how many units wait",
        file=QUEUE,
        old="  tally('ready/' .. get(id, 'lane'), -redis.call('ZCARD', P .. 'open:' .. id))\n",
        new="",
        tests=("tests/services/jobs/test_machine.py::test_the_machine_does_what_the_model_says",),
    ),
    Mutation(
        name="counts: nobody knows for how long the first has waited",
        removes="a queue that stands still is seen",
        file="services/jobs/functions/7_counts.lua",
        old="first and math.max(0, now - first) or 0",
        new="0",
        tests=(f"{MEASURES}::test_the_first_in_the_queue_ages_until_it_is_taken",),
    ),
    Mutation(
        name="counts: a job that is taken stays in the queue",
        removes="only jobs that wait are told as waiting",
        file=STATE,
        old="    redis.call('ZREM', P .. 'queued:' .. lane, id)\n",
        new="",
        tests=(f"{MEASURES}::test_the_first_in_the_queue_ages_until_it_is_taken",),
    ),
    Mutation(
        name="counts: never from the ground",
        removes="a store that an earlier version filled is counted",
        file="services/jobs/functions/7_keepers.lua",
        old="  recount_once(now)\n",
        new="",
        tests=(f"{MEASURES}::test_a_store_without_its_counts_is_counted_from_the_ground_once",),
    ),
    Mutation(
        name="counts: stale tokens are not noted",
        removes="workers that write too late are seen",
        file="services/jobs/functions/5_units.lua",
        old="  tally('stale/' .. what)\n",
        new="",
        tests=(f"{MEASURES}::test_lost_units_stale_tokens_and_quarantine_are_counted",),
    ),
    Mutation(
        name="metrics: a method that nobody has is a label of its own",
        removes="no client chooses how many series a gateway has",
        file="services/gateway/interceptor.py",
        old="self._metrics.meter(UNKNOWN, streams=True)",
        new="self._metrics.meter(short(method), streams=True)",
        tests=(GATEWAY_TEST,),
    ),
    Mutation(
        name="metrics: a worker does not start where its port is taken",
        removes="two workers of one machine may be given the same port",
        file="services/telemetry/metrics_serving.py",
        old="    except SettingsError as error:\n        logger.warning(",
        new="    except ZeroDivisionError as error:\n        logger.warning(",
        tests=("tests/workers/lease/test_metrics.py::test_a_port_that_is_taken_is_no_reason_for_a_worker_not_to_work",),
    ),
)
