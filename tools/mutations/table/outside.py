"""Bytes outside of the store: in the right place, on disk before they count, gone only when nobody needs them."""

from __future__ import annotations

from tools.mutations.mutation import Mutation

OUTSIDE = "services/jobs/functions/6_outside.lua"
ARTIFACTS = "services/jobs/functions/6_artifacts.lua"
CONTRACT = "tests/services/artifacts/test_contract.py"
SWEEPING = "tests/services/artifacts/test_sweeping.py"
MOVE = "tests/services/artifacts/test_move.py"

MUTATIONS = (
    Mutation(
        name="outside: a deleted artifact's bytes are forgotten",
        removes="what is deleted leaves no bytes",
        file="services/jobs/functions/5_shelves.lua",
        old="  redis.call('HDEL', P .. 'shelves:' .. tenant, id)\n  shelf.discard(store, tenant, id)\n",
        new="  redis.call('HDEL', P .. 'shelves:' .. tenant, id)\n",
        tests=(f"{CONTRACT}::test_what_is_deleted_or_lapses_leaves_nothing",),
    ),
    Mutation(
        name="outside: an upload that lapses keeps its bytes",
        removes="what is never finished leaves no bytes",
        file=ARTIFACTS,
        old="    shelf.discard(store, tenant, upload)\n",
        new="",
        tests=(f"{CONTRACT}::test_an_upload_that_nobody_ends_lapses_with_its_bytes",),
    ),
    Mutation(
        name="outside: a put that lapsed can be sealed",
        removes="an artifact that can be seen has its bytes",
        file=ARTIFACTS,
        old="  redis.call('UNLINK', upload_key(tenant, upload))\n",
        new="  if declared then\n    redis.call('UNLINK', upload_key(tenant, upload))\n  end\n",
        tests=(f"{SWEEPING}::test_bytes_of_a_writer_who_woke_up_too_late_are_found",),
    ),
    Mutation(
        name="outside: parts are not counted in order",
        removes="an upload has no holes",
        file=OUTSIDE,
        old="  if first ~= chunks then\n    return 'OFFSET'\n  end\n",
        new="",
        tests=(f"{CONTRACT}::test_of_two_streams_of_one_upload_one_is_refused_and_its_bytes_harm_nobody",),
    ),
    Mutation(
        name="sweep: what is under way counts as rubbish",
        removes="nothing live is deleted",
        file=OUTSIDE,
        old="    return {'OPEN'}\n",
        new="    return {'GONE'}\n",
        tests=(f"{SWEEPING}::test_a_put_that_is_killed_leaves_no_artifact_and_in_the_end_no_bytes",),
    ),
    Mutation(
        name="sweep: a shelf that is discarded meanwhile leaves the list",
        removes="nothing leaks in a race of sweep and delete",
        file=OUTSIDE,
        old="  if shelf.state(nil, {tenant, id})[1] ~= seen then\n    return 0\n  end\n",
        new="",
        tests=(f"{SWEEPING}::test_a_shelf_that_is_discarded_again_during_the_sweep_stays_on_the_list",),
    ),
    Mutation(
        name="sweep: the list is cleared before the bytes are gone",
        removes="a sweep that is killed is done by the next",
        file="services/artifacts/sweeping.py",
        old="            seen, _ = self._tidy(tenant, shelf)\n",
        new='            seen = self._execute(calls.function("shelf_state", tenant, shelf))[0]\n',
        tests=(f"{CONTRACT}::test_what_is_deleted_or_lapses_leaves_nothing",),
    ),
    Mutation(
        name="sweep: another deployment's store is swept",
        removes="nobody's bytes are taken for rubbish",
        file="services/artifacts/outside.py",
        old="            if held is None or found is None or found != held.decode():\n",
        new="            if found is None:\n",
        tests=(f"{SWEEPING}::test_a_deployment_that_forgot_everything_sweeps_nothing",),
    ),
    Mutation(
        name="volume: written without its volume",
        removes="nothing is written to a folder that is not mounted",
        file="services/artifacts/volume.py",
        old="            if not (self._root / MARKER).is_file():\n",
        new="            if False:\n",
        tests=("tests/services/artifacts/test_outside.py::test_a_place_that_vanishes_is_unavailable_and_not_lost",),
    ),
    Mutation(
        name="volume: a part is not written to disk",
        removes="what was acknowledged is on disk",
        file="services/artifacts/volume.py",
        old="            os.fsync(file.fileno())\n",
        new="",
        tests=(
            "tests/services/artifacts/test_volume.py::test_a_part_reaches_the_disk_before_its_name_and_the_name_before_the_answer",
        ),
    ),
    Mutation(
        name="volume: the name is not written to disk",
        removes="what was acknowledged is on disk",
        file="services/artifacts/volume.py",
        old="        raise\n    _sync(path.parent)\n",
        new="        raise\n",
        tests=(
            "tests/services/artifacts/test_volume.py::test_a_part_reaches_the_disk_before_its_name_and_the_name_before_the_answer",
        ),
    ),
    Mutation(
        name="lost bytes: they can't be brought again",
        removes="what is said of lost bytes helps",
        file=OUTSIDE,
        old="    redis.call('HSET', manifest_key(tenant, sha), 'lost', 1)\n",
        new="",
        tests=(f"{CONTRACT}::test_lost_bytes_can_be_brought_again_even_of_what_is_pinned",),
    ),
    Mutation(
        name="move: what was deleted meanwhile comes back",
        removes="a move changes places only",
        file=OUTSIDE,
        old="  if not whole or (text or '') ~= before or not (copy or text) then\n",
        new="  if not size then\n    size, digests = 10, ''\n  end\n  if false then\n",
        tests=(f"{MOVE}::test_a_deleted_artifact_is_not_brought_back_by_a_move",),
    ),
    Mutation(
        name="preflight: a second Redis may lose bytes",
        removes="what was acknowledged is on disk",
        file="services/gateway/health.py",
        old="                if self._second is not None:\n",
        new="                if False:\n",
        tests=(
            "tests/services/gateway/test_artifacts_outside.py::test_a_second_redis_that_would_lose_bytes_is_refused",
        ),
    ),
)
