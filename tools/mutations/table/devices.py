"""What jobs ask of devices, and who is given them: needs, locks, devices that are lost."""

from __future__ import annotations

from tools.mutations.mutation import Mutation

DEVICES = "services/jobs/functions/2_devices.lua"
NEEDS = "tests/services/jobs/test_needs.py"
SAME = "tests/services/gateway/test_needs.py"
LOCKS = "tests/workers/run/test_device_locks.py"
LEAVES = "tests/workers/process/test_deaths.py"
FITS = (f"{NEEDS}::test_a_worker_is_handed_only_units_that_its_device_fits",)

MUTATIONS = (
    Mutation(
        name="devices: memory is not looked at",
        removes="a unit is given only to a device with the memory that it asks for",
        file=DEVICES,
        old="P .. 'needs:' .. own .. ':' .. wanted, '-inf', gib)",
        new="P .. 'needs:' .. own .. ':' .. wanted, '-inf', '+inf')",
        tests=FITS,
    ),
    Mutation(
        name="devices: a class is not looked at",
        removes="a unit that asks for a class waits for a device of it",
        file="services/jobs/needs.py",
        old='return "" if self == ANY_DEVICE else f"{self.device_class}/{self.memory_gib}"',
        new='return "" if self == ANY_DEVICE else f"/{self.memory_gib}"',
        tests=FITS,
    ),
    Mutation(
        name="devices: a unit that was lost may go anywhere",
        removes="a unit asks the same of its second device as of its first",
        file="services/jobs/functions/2_queue.lua",
        old="  local pool = pool_of(id)\n  redis.call('ZADD', P .. 'ready:'",
        new="  local pool = redis.call('EXISTS', P .. 'units:' .. id) == 0 and pool_of(id) or lane\n"
        "  redis.call('ZADD', P .. 'ready:'",
        tests=(f"{NEEDS}::test_a_unit_that_was_lost_waits_for_a_device_that_fits_again",),
    ),
    Mutation(
        name="devices: nobody is told of jobs with needs",
        removes="an idle worker that fits is woken, whichever it is",
        file="services/jobs/functions/2_queue.lua",
        old="        ring_lane(own, live('idle', own, now), now)\n",
        new="        ring_lane(own, wanted, now)\n",
        tests=(f"{NEEDS}::test_a_bell_rings_for_every_idle_worker_where_only_some_of_them_fit",),
    ),
    Mutation(
        name="devices: lost bells for them are not rung again",
        removes="a lost bell costs a second",
        file="services/jobs/functions/7_keepers.lua",
        old="  if is_needed(lane, now) then\n",
        new="  if false then\n",
        tests=(f"{NEEDS}::test_the_reaper_rings_again_only_while_an_idle_worker_fits",),
    ),
    Mutation(
        name="devices: what nobody needs is kept",
        removes="a claim looks at needs that jobs have, and at no others",
        file=DEVICES,
        old="      redis.call('ZREM', P .. 'needs:' .. lane .. ':' .. class, gib)\n",
        new="",
        tests=(f"{NEEDS}::test_what_is_kept_for_a_need_goes_with_the_last_job_that_has_it",),
    ),
    Mutation(
        name="devices: a need makes another content",
        removes="what is asked of a device does not make a result another one",
        file="services/gateway/reuse.py",
        old="    needs.forget(asked)\n",
        new="",
        tests=(f"{SAME}::test_what_is_asked_of_a_device_changes_neither_the_plan_nor_the_content",),
    ),
    Mutation(
        name="devices: two take one GPU",
        removes="each worker of a machine has a GPU of its own",
        file="workers/run/device.py",
        old="        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        new="        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)\n",
        tests=(f"{LOCKS}::test_processes_that_start_at_once_take_different_gpus_and_one_too_many_waits_for_a_death",),
    ),
    Mutation(
        name="devices: a child stays with a device that is lost",
        removes="a fresh process takes over where a GPU refuses everything",
        file="workers/lease/loop.py",
        old="            if isinstance(error, DeviceLost):\n                raise\n",
        new="",
        tests=(f"{LEAVES}::test_a_child_whose_device_is_lost_leaves_and_a_fresh_one_tries_the_unit_again",),
    ),
)
