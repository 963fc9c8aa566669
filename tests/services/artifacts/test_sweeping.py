"""Whatever is killed, wherever: nothing that was acknowledged is missing, and what nobody needs goes away."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services import faultpoints
from services.artifacts import calls
from services.artifacts.digest import CHUNK_BYTES, sha256_hex
from services.errors import NotFound, Unavailable

from .conftest import OUTSIDE

TENANT = "t"
DATA = os.urandom(2 * CHUNK_BYTES + 99)
SHA = sha256_hex(DATA)
outside_only = pytest.mark.parametrize("backend", OUTSIDE, indirect=True)


@pytest.fixture
def dies(backend, tmp_path):
    """Run `dying.py` and have it killed at a point; with None it comes to its end."""

    def run(what, point):
        where = backend.settings.artifacts
        environment = {**os.environ, "SPARRING_REDIS_URL": backend.settings.redis_url, "SPARRING_ARTIFACTS": where.url}
        if where.s3_endpoint is not None:
            (tmp_path / "key").write_text("key")
            (tmp_path / "secret").write_text("secret")
            environment["SPARRING_S3_ENDPOINT"] = where.s3_endpoint
            environment["SPARRING_S3_KEY_FILE"] = str(tmp_path / "key")
            environment["SPARRING_S3_SECRET_FILE"] = str(tmp_path / "secret")
        if point is not None:
            environment["SPARRING_FAULTS"] = f"{point}:kill"
        program = Path(__file__).with_name("dying.py")
        ended = subprocess.run(
            [sys.executable, program, what], input=DATA, env=environment, capture_output=True, timeout=120, check=False
        )
        assert ended.returncode == (0 if point is None else -signal.SIGKILL), ended.stderr.decode()

    return run


def everything_lapses(backend):
    for key in (b"lapse", b"uploads"):
        for member in backend.redis.zrange(b"{sparring}:" + key, 0, -1):
            backend.redis.zadd(b"{sparring}:" + key, {member: 1})
    backend.jobs.expire(100)


@pytest.mark.parametrize("backend", ["volume", "bucket"], indirect=True)
@pytest.mark.parametrize("point", ["artifacts.part_written", "artifacts.written"])
def test_a_put_that_is_killed_leaves_no_artifact_and_in_the_end_no_bytes(backend, dies, point):
    dies("put", point)
    with pytest.raises(NotFound):
        backend.store.stat(TENANT, SHA)
    assert backend.objects() != []
    assert backend.scrub() == 0, "it might still be under way"
    backend.store.put(TENANT, DATA)
    backend.redis.zadd("{sparring}:uploads", dict.fromkeys(backend.redis.zrange("{sparring}:uploads", 0, -1), 1))
    assert backend.jobs.expire(10) == 1
    assert backend.sweep() == 1
    assert backend.store.get(TENANT, SHA) == DATA
    backend.store.delete(TENANT, SHA)
    backend.sweep()
    assert backend.objects() == []


@pytest.mark.parametrize("backend", ["volume", "bucket"], indirect=True)
def test_a_sweep_that_is_killed_is_done_by_the_next(backend, dies):
    backend.store.put(TENANT, DATA)
    backend.store.put(TENANT, DATA + b"kept")
    backend.store.delete(TENANT, SHA)
    dies("sweep", "artifacts.bytes_deleted")
    assert backend.sweep() == 1
    assert backend.sweep() == 0
    assert backend.store.get(TENANT, sha256_hex(DATA + b"kept")) == DATA + b"kept"
    assert {shelf for _, shelf, _ in backend.objects()} == {
        name.decode() for name in backend.redis.hkeys(f"{{sparring}}:shelves:{TENANT}")
    }


@pytest.mark.parametrize("backend", ["volume"], indirect=True)
def test_what_a_process_put_that_went_on_is_there_for_others(backend, dies):
    dies("put", None)
    assert backend.store.get(TENANT, SHA) == DATA


@outside_only
def test_bytes_of_a_writer_who_woke_up_too_late_are_found(backend):
    outside = backend.store._outside
    shelf = outside.begin(TENANT)
    outside.put(TENANT, shelf, 0, b"d" * 32, [b"early"])
    everything_lapses(backend)
    backend.sweep()
    assert backend.objects() == []
    outside.put(TENANT, shelf, 1, b"e" * 32, [b"late"])
    sealed = calls.function("artifact_seal", TENANT, shelf, SHA, 5, "", b"d" * 32, 1000, "1")
    assert backend.redis.execute_command(*sealed) == b"INCOMPLETE"
    assert backend.scrub() == 1
    assert backend.objects() == []


@outside_only
async def test_parts_that_count_for_nothing_go_away_when_the_upload_was_taken_over(backend):
    upload_id = await backend.gateway.begin(TENANT, SHA, len(DATA), "")
    faultpoints.configure({"SPARRING_FAULTS": "artifacts.part_written:fail:1:1"})
    try:
        with pytest.raises(OSError, match="a fault was asked for"):  # noqa: PT012 - the failure comes with the answer
            await backend.gateway.append(TENANT, upload_id, 0, DATA)
            await backend.gateway.query(TENANT, upload_id)
    finally:
        faultpoints.configure({})
    stray = backend.objects()
    assert await backend.gateway.query(TENANT, upload_id) == (0, len(DATA))
    await backend.gateway.append(TENANT, upload_id, 0, DATA[: 2 * CHUNK_BYTES])
    await backend.gateway.query(TENANT, upload_id)
    await backend.gateway.append(TENANT, upload_id, 2 * CHUNK_BYTES, DATA[2 * CHUNK_BYTES :])
    await backend.gateway.seal(TENANT, upload_id)
    assert backend.sweep() == 1
    counts = backend.redis.hget(f"{{sparring}}:a:{TENANT}:{SHA}:m", "shelf").split(b"/")[2].split(b",")
    assert len(backend.objects()) == len(counts)
    assert backend.store.get(TENANT, SHA) == DATA
    assert len(stray) == 1


@outside_only
def test_a_shelf_that_is_discarded_again_during_the_sweep_stays_on_the_list(backend):
    backend.store.put(TENANT, DATA)
    store = backend.store._outside.id()
    shelf = backend.redis.hkeys(f"{{sparring}}:shelves:{TENANT}")[0].decode()
    backend.redis.zadd(f"{{sparring}}:discarded:{store}", {f"{TENANT}/{shelf}": 1})
    backend.store.delete(TENANT, SHA)
    swept = calls.function("shelf_swept", store, TENANT, shelf, "LIVE")
    assert backend.redis.execute_command(*swept) == 0
    assert backend.sweep() == 1
    assert backend.objects() == []


@pytest.mark.parametrize("backend", ["volume"], indirect=True)
def test_a_deployment_that_forgot_everything_sweeps_nothing(backend):
    backend.store.put(TENANT, DATA)
    there = backend.objects()
    backend.redis.flushdb()
    for sweep in (backend.sweep, backend.scrub):
        with pytest.raises(Unavailable, match="another deployment"):
            sweep()
    assert backend.objects() == there


@pytest.mark.parametrize("backend", ["volume"], indirect=True)
async def test_a_gateway_sweeps_by_itself(backend):
    backend.store.put(TENANT, DATA)
    backend.store.delete(TENANT, SHA)
    caring = asyncio.create_task(backend.gateway.care.run(period_s=0.01, scrub_s=0.05))
    outside = backend.store._outside
    outside.put(TENANT, "f" * 32, 0, b"d" * 32, [b"nobody's"])
    async with asyncio.timeout(60):
        while backend.objects():  # noqa: ASYNC110 - a folder tells nobody
            await asyncio.sleep(0.01)
    caring.cancel()
