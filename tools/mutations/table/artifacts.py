"""Bytes by digest: what is checked before an artifact is one, and whenever it is read."""

from __future__ import annotations

from tools.mutations.mutation import Mutation

FUNCTIONS = "services/jobs/functions/6_artifacts.lua"

MUTATIONS = (
    Mutation(
        name="seal: chunks are not counted",
        removes="an artifact that can be seen is whole",
        file=FUNCTIONS,
        old="return bytes == tonumber(size)",
        new="return true",
        tests=("tests/services/artifacts/test_store.py::test_a_put_whose_chunks_lapsed_on_the_way_can_be_repeated",),
    ),
    Mutation(
        name="read: chunks are not compared with their digests",
        removes="no damaged byte is handed out",
        file="services/artifacts/calls.py",
        old="if data is None or chunk_digest(data) != expected:",
        new="if data is None:",
        tests=(
            "tests/services/artifacts/test_store.py::test_a_damaged_chunk_is_noticed",
            "tests/services/gateway/test_artifacts_service.py::test_a_damaged_chunk_is_never_sent",
        ),
    ),
    Mutation(
        name="upload: a gap is not noticed",
        removes="an upload has no holes",
        file=FUNCTIONS,
        old="  if index ~= chunks then\n    return 'OFFSET'\n  end\n",
        new="",
        tests=("tests/services/artifacts/test_aio.py::test_of_two_streams_of_one_upload_one_is_refused",),
    ),
    Mutation(
        name="delete: pins are not looked at",
        removes="what a model is built on stays",
        file=FUNCTIONS,
        old="if pins ~= '0' then",
        new="if false then",
        tests=(
            "tests/services/artifacts/test_store.py::test_a_pinned_artifact_is_kept_until_it_was_unpinned_as_often",
        ),
    ),
)
