"""deploy/users.acl: each part of Sparring can do its work as its own user of Redis, and nothing else."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.artifacts.outside import connect_outside
from services.artifacts.store import ArtifactStore
from services.artifacts.sweeping import Sweeper
from services.connection import Redis, connect, translated
from services.errors import Unavailable
from services.jobs import functions
from services.jobs.previews import PreviewBoard
from services.jobs.record import Lease, ModelPart, NewJob, Quota, Registration, WorkerRecord
from services.jobs.store import JobStore
from services.local import valkey
from services.settings import BytesSettings, StoreSettings

RULES = Path(__file__).resolve().parents[2] / "deploy" / "users.acl"
USERS = ("init", "gateway", "worker", "probe")
DIGEST = "d" * 64


@pytest.fixture(scope="module")
def administrator(tmp_path_factory: pytest.TempPathFactory, server_binary: str | None) -> Iterator[Redis]:
    """A server with the users of the file; their passwords are their names."""
    folder = tmp_path_factory.mktemp("store")
    with valkey.start(folder, binary=server_binary) as server, connect(StoreSettings(server.url)) as redis:
        for line in RULES.read_text().splitlines():
            _, user, *rules = line.split()
            if user in USERS:
                given = [f">{user}" if rule.startswith("#") else rule for rule in rules]
                redis.execute_command("ACL", "SETUSER", user, "reset", *given)
        JobStore(as_user(redis, "init")).load_functions()
        yield redis


def as_user(administrator: Redis, user: str) -> Redis:
    port = administrator.connection_pool.connection_kwargs["port"]
    return connect(StoreSettings(f"redis://{user}@127.0.0.1:{port}/0", redis_password=user))


@pytest.fixture(autouse=True)
def clean(administrator: Redis) -> None:
    administrator.execute_command("ACL", "LOG", "RESET")


def denials(administrator: Redis) -> list[Any]:
    return list(administrator.acl_log())


@pytest.fixture
def gateway(administrator: Redis) -> Iterator[Redis]:
    with as_user(administrator, "gateway") as redis:
        yield redis


@pytest.fixture
def worker(administrator: Redis) -> Iterator[Redis]:
    with as_user(administrator, "worker") as redis:
        yield redis


def new_job(name: str, **changes: Any) -> NewJob:
    job = NewJob(id=name, kind="attack", spec=b"spec", spec_hash="hash", units=1)
    return dataclasses.replace(job, **changes)


def claimed(worker: JobStore, claim: str) -> Lease:
    lease = worker.claim(claim, "w", "cpu", 15_000)
    assert lease is not None
    return lease


def test_a_job_goes_its_way_from_the_gateway_s_user_to_the_worker_s(
    administrator: Redis, gateway: Redis, worker: Redis
) -> None:
    asking, working = JobStore(gateway), JobStore(worker)
    bytes_ = ArtifactStore(worker)
    working.announce(WorkerRecord(id="w", lane="cpu", device_name="", unit=None, last_seen_ms=0), 15)
    asking.set_quota("default", Quota(max_queued_jobs=9))
    training = {"kind": "training", "makes": "m", "content": "c" * 64, "pins": ""}
    asking.submit_and_place(new_job("first", request_id="r", deadline_ms=60_000, **training))
    part = ModelPart(message=b"", made_by="first")
    asking.submit_and_place(new_job("waiting", after=("first",), rest=b"", models=(part,)))
    assert asking.making("default", "m") == "first"
    lease = claimed(working, "one")
    working.metric(lease, "loss", 1.0, 1)
    working.renew(lease, "w", 15_000, progress={"fraction": 0.5, "message": "half"}, checkpoint=DIGEST)
    working.release(lease, "w")
    lease = claimed(working, "two")
    working.lose(lease.job_id, lease.unit, lease.token, "killed by SIGKILL")
    lease = claimed(working, "three")
    digest = bytes_.put("default", b"shard")
    assert bytes_.get("default", digest) == b"shard"
    working.commit(lease, "w", digest, {})
    closing = claimed(working, "four")
    working.unit_results("default", "first")
    model = Registration(kind="model", id="m", record=b"record", pins=(digest,))
    working.finish(closing, "w", b"result", model)
    assert asking.get("default", "first").result == b"result"
    assert working.lookup("default", "model", "m") == b"record"
    assert asking.events("first", 0, 100)
    same = asking.same(new_job("again", **training))
    assert same is not None
    assert same.id == "first"
    assert claimed(working, "after the first").job_id == "waiting"
    asking.unregister("default", "model", "m")
    asking.delete("default", "first")
    assert denials(administrator) == []


def test_bytes_that_are_kept_outside_need_no_more_rights(
    administrator: Redis, gateway: Redis, worker: Redis, tmp_path: Path
) -> None:
    settings = StoreSettings(artifacts=BytesSettings(url=f"file://{tmp_path}"))
    kept = ArtifactStore(worker, settings).put("default", b"outside")
    asking = ArtifactStore(gateway, settings)
    assert asking.get("default", kept) == b"outside"
    asking.delete("default", kept)
    outside = connect_outside(settings.artifacts, gateway)
    assert outside is not None
    assert Sweeper(outside, gateway).sweep() == 1
    assert Sweeper(outside, gateway).scrub().parts == 0
    assert denials(administrator) == []


def test_a_job_can_be_cancelled_failed_retried_and_reaped(administrator: Redis, gateway: Redis, worker: Redis) -> None:
    asking, working = JobStore(gateway), JobStore(worker)
    asking.submit(new_job("second"))
    lease = claimed(working, "five")
    asking.cancel("default", "second")
    working.stopped(lease, "w")
    asking.retry("default", "second")
    working.fail(claimed(working, "six"), "w", b"")
    asking.reap()
    asking.expire()
    asking.ring("cpu")
    asking.audit("default", b"entry")
    asking.audit_entries("default", 0, 10)
    asking.usage("default")
    asking.workers()
    working.announce_mount(b"record", "mount")
    asking.mounts()
    working.forget_worker("w")
    asking.delete("default", "second")
    assert denials(administrator) == []


def test_a_preview_goes_its_way_from_the_gateway_s_user_to_the_worker_s_and_back(
    administrator: Redis, gateway: Redis, worker: Redis
) -> None:
    JobStore(worker).announce(WorkerRecord(id="w", lane="cpu", device_name="", unit=None, last_seen_ms=0), 15)
    board = PreviewBoard(worker, worker, "w")
    board.listen()
    gateway.fcall(functions.name("preview_ask"), 1, "{sparring}:fence", "p", "default", b"task", 5000, 8)
    posted = board.wait_awake(1.0)
    assert posted is not None
    board.answer("p", "default", posted.task)
    assert gateway.blpop(["{sparring}:preview:p"], timeout=1) == (b"{sparring}:preview:p", b"task")
    board.leave()
    assert denials(administrator) == []


REFUSED = {
    "FLUSHALL": ("FLUSHALL",),
    "CONFIG SET": ("CONFIG", "SET", "appendfsync", "no"),
    "KEYS": ("KEYS", "*"),
    "a key of somebody else": ("SET", "other", "1"),
    "loading functions": ("FUNCTION", "LOAD", "REPLACE", "#!lua name=sparring\nredis.register_function('x', print)"),
    "deleting functions": ("FUNCTION", "FLUSH"),
    "ACL": ("ACL", "SETUSER", "me", "on"),
    "PUBLISH": ("PUBLISH", "a", "b"),
    "SHUTDOWN": ("SHUTDOWN",),
    "CLIENT KILL": ("CLIENT", "KILL", "ID", "1"),
    "MODULE": ("MODULE", "LIST"),
}


@pytest.mark.parametrize("user", ["gateway", "worker", "probe"])
@pytest.mark.parametrize("what", REFUSED)
def test_what_nobody_needs_is_refused(administrator: Redis, user: str, what: str) -> None:
    with as_user(administrator, user) as redis, pytest.raises(Exception, match=r"(?i)no permissions"):
        redis.execute_command(*REFUSED[what])


def test_a_worker_can_neither_read_nor_write_the_audit_log_or_answer_requests(worker: Redis) -> None:
    for command in (
        ("XRANGE", "{sparring}:audit:default", "-", "+"),
        ("XADD", "{sparring}:audit:default", "*", "e", "x"),
    ):
        with pytest.raises(Exception, match=r"(?i)no permissions"):
            worker.execute_command(*command)
    with pytest.raises(Exception, match=r"(?i)no permissions"):
        worker.set("{sparring}:req:default:id", "hash job")
    with pytest.raises(Unavailable, match="access list"):
        JobStore(worker).audit("default", b"entry")


@pytest.mark.parametrize("server", ["embedded", "redis-server"])
def test_a_server_that_is_killed_reads_back_what_functions_wrote(
    tmp_path: Path, server: str, server_binary: str | None
) -> None:
    """Redis replays its log as the user `default`: one that may do nothing would lose every job, and without a word."""
    binary = server_binary if server == "embedded" else shutil.which(server)
    if server != "embedded" and binary is None:
        pytest.skip("there is no redis-server")
    users = tmp_path / "users.acl"
    users.write_text(re.sub(r"#@(\w+)@", r">\1", RULES.read_text()))
    folder = tmp_path / "store"
    for start in range(2):
        with valkey.start(folder, password="unused", binary=binary) as started:
            pass
        config = folder / "valkey.conf"
        config.write_text(config.read_text().replace('requirepass "unused"', f'aclfile "{users}"'))
        process = subprocess.Popen([started.process.args[-2], str(config)], stdout=subprocess.DEVNULL)
        try:
            administrator = connect(StoreSettings(f"redis://admin@127.0.0.1:{started.port}/0", redis_password="admin"))
            wait_until_up(administrator)
            if start == 0:
                JobStore(as_user(administrator, "init")).load_functions()
                JobStore(as_user(administrator, "gateway")).submit(new_job("kept"))
            assert JobStore(as_user(administrator, "gateway")).get("default", "kept").id == "kept"
        finally:
            process.kill()
            process.wait()


def wait_until_up(redis: Redis) -> None:
    for _ in range(200):
        try:
            redis.ping()
        except Exception:  # noqa: BLE001 - whatever keeps it from answering yet
            time.sleep(0.05)
        else:
            return
    pytest.fail("the server did not come up")


def test_init_may_load_functions_and_touch_nothing(administrator: Redis) -> None:
    with as_user(administrator, "init") as redis:
        for command in (("GET", "{sparring}:fence"), ("SET", "{sparring}:fence", "0"), ("FUNCTION", "FLUSH")):
            with pytest.raises(Exception, match=r"(?i)no permissions"):
                redis.execute_command(*command)


def test_a_gateway_that_may_not_load_functions_says_so_as_an_outage(gateway: Redis) -> None:
    with pytest.raises(Unavailable, match="access list") as caught, translated():
        gateway.function_load("#!lua name=x")
    assert caught.value.reason == "STORE_DENIES"
