"""The store of bytes outside: the right one or none, what is said of one that is not there, and what it is told."""

import dataclasses
import errno
import os
import socket
import stat

import pytest

from services.artifacts.digest import CHUNK_BYTES, sha256_hex
from services.artifacts.outside import connect_outside, redis_of
from services.artifacts.store import ArtifactStore, AsyncArtifactStore
from services.connection import connect
from services.environment import SettingsError
from services.errors import ResourceExhausted, Unavailable
from services.settings import BytesSettings, StoreSettings

TENANT = "t"
DATA = bytes(range(256)) * 5000


@pytest.fixture(params=["volume", "second", "bucket"])
def place_of_a_kind(request, place):
    return place(request.param)


def store_on(redis, store_settings, where):
    return ArtifactStore(redis, dataclasses.replace(store_settings, artifacts=where))


def test_a_place_of_another_deployment_is_not_taken(redis, store_settings, job_store, place_of_a_kind):
    store_on(redis, store_settings, place_of_a_kind).put(TENANT, DATA)
    redis.flushdb()
    with pytest.raises(Unavailable, match="belongs to another deployment") as refused:
        store_on(redis, store_settings, place_of_a_kind).put(TENANT, DATA)
    assert refused.value.reason == "ANOTHER_ARTIFACT_STORE"


def test_another_or_an_empty_place_is_not_taken_for_the_own_one(redis, store_settings, job_store, place):
    first, empty = place("volume"), place("volume")
    digest = store_on(redis, store_settings, first).put(TENANT, DATA)
    with pytest.raises(Unavailable, match="is empty, but this deployment has a store"):
        store_on(redis, store_settings, empty).get(TENANT, digest)
    redis.set("{sparring}:outside", "other")
    with pytest.raises(Unavailable, match="is not this deployment's"):
        store_on(redis, store_settings, first).get(TENANT, digest)


def test_a_place_that_vanishes_is_unavailable_and_not_lost(redis, store_settings, job_store, fast_folder, place):
    where = place("volume")
    store = store_on(redis, store_settings, where)
    digest = store.put(TENANT, DATA)
    folder = fast_folder / where.url.rpartition("/")[2]
    folder.rename(folder.with_suffix(".away"))
    for asked in (lambda: store.get(TENANT, digest), lambda: store.put(TENANT, DATA + b"x")):
        with pytest.raises(Unavailable, match=r"is not there; make it or mount it|is the volume mounted"):
            asked()
    folder.mkdir()
    for asked in (lambda: store.get(TENANT, digest), lambda: store.put(TENANT, DATA + b"x")):
        with pytest.raises(Unavailable, match=r"is empty, but this deployment|is the volume mounted"):
            asked()
    assert list(folder.iterdir()) == []
    folder.rmdir()
    folder.with_suffix(".away").rename(folder)
    assert store.get(TENANT, digest) == DATA


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("kind", ["redis", "s3"])
async def test_a_server_that_is_not_there_is_unavailable_and_named(redis, async_redis, store_settings, job_store, kind):
    port = free_port()
    where = BytesSettings(url=f"redis://user:hidden@127.0.0.1:{port}/0", password="hidden")
    if kind == "s3":
        endpoint = f"http://127.0.0.1:{port}"
        where = BytesSettings(url="s3://bucket/x", s3_endpoint=endpoint, s3_key="hidden-key", s3_secret="hidden")
    settings = dataclasses.replace(store_settings, artifacts=where)
    with pytest.raises(Unavailable) as refused:
        ArtifactStore(redis, settings).put(TENANT, DATA)
    assert where.url.replace("user:hidden@", "") in refused.value.message
    assert "hidden" not in refused.value.message + repr(settings)
    gateway = AsyncArtifactStore(async_redis, settings)
    assert "hidden" not in (await gateway.care.problem() or "hidden")
    await gateway.aclose()


def test_what_the_server_refuses_is_told_by_its_code_alone(redis, store_settings, job_store, place):
    where = dataclasses.replace(place("bucket"), url="s3://no-such-bucket/x")
    with pytest.raises(Unavailable, match="there is no bucket"):
        store_on(redis, store_settings, where).put(TENANT, DATA)


def test_a_place_without_room_says_so_and_takes_nothing(redis, store_settings, job_store, place, monkeypatch):
    outside = connect_outside(place("volume"), redis)
    assert outside is not None
    outside.check()
    assert 0 < outside.store.share() < 1
    outside.admit(1)
    with pytest.raises(ResourceExhausted, match=r"full and takes new bytes up to 95%"):
        outside.admit(1 << 60)
    monkeypatch.setattr(os, "fsync", no_space)
    store = store_on(redis, store_settings, None)
    store._outside = outside
    with pytest.raises(ResourceExhausted, match="has no room"):
        store.put(TENANT, DATA)
    assert [part for shelf in outside.store.shelves() for part in outside.store.parts(*shelf)] == []


def no_space(descriptor):
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_gateway_without_room_outside_refuses_the_upload(async_redis, store_settings, job_store, place):
    settings = dataclasses.replace(store_settings, max_artifact_bytes=1 << 62, artifacts=place("volume"))
    gateway = AsyncArtifactStore(async_redis, settings)
    with pytest.raises(ResourceExhausted, match="which keeps the artifacts"):
        await gateway.begin(TENANT, "a" * 64, 1 << 60, "")
    await gateway.aclose()


def test_a_second_redis_has_its_own_measure(redis, store_settings, job_store, place):
    where = place("second")
    with connect(redis_of(where)) as client:
        held = b"held" * (1 << 18)
        client.set("held", held)
        limit = 10 * client.info("memory")["used_memory"]
    outside = connect_outside(dataclasses.replace(where, memory_bytes=limit), redis)
    assert outside is not None
    assert len(held) / limit < outside.store.share() < 0.5
    outside.admit(limit // 100)
    with pytest.raises(ResourceExhausted, match="which keeps the artifacts"):
        outside.admit(limit)


def test_bytes_written_before_the_change_are_still_read(redis, store_settings, job_store, place):
    digest = store_on(redis, store_settings, None).put(TENANT, DATA)
    outside = store_on(redis, store_settings, place("volume"))
    assert outside.get(TENANT, digest) == DATA
    later = outside.put(TENANT, DATA + b"later")
    with pytest.raises(Unavailable, match="give all gateways and workers the same SPARRING_ARTIFACTS"):
        store_on(redis, store_settings, None).get(TENANT, later)


async def test_an_upload_goes_on_where_it_began(redis, async_redis, store_settings, job_store, place):
    before = AsyncArtifactStore(async_redis, store_settings)
    after = AsyncArtifactStore(async_redis, dataclasses.replace(store_settings, artifacts=place("volume")))
    data = bytes(2 * CHUNK_BYTES)
    digest = sha256_hex(data)
    upload_id = await before.begin(TENANT, digest, len(data), "")
    await before.append(TENANT, upload_id, 0, data[:CHUNK_BYTES])
    await before.query(TENANT, upload_id)
    await after.append(TENANT, upload_id, CHUNK_BYTES, data[CHUNK_BYTES:])
    await after.seal(TENANT, upload_id)
    assert ArtifactStore(redis, store_settings).get(TENANT, digest) == data
    for store in (before, after):
        await store.aclose()


def test_the_variables_are_read(tmp_path):
    for name in ("password", "key", "secret"):
        (tmp_path / name).write_text(f"the {name}\n")
    environ = {
        "SPARRING_ARTIFACTS": "s3://bucket/prefix",
        "SPARRING_ARTIFACTS_PASSWORD_FILE": str(tmp_path / "password"),
        "SPARRING_ARTIFACTS_MEMORY_BYTES": "7",
        "SPARRING_S3_ENDPOINT": "http://127.0.0.1:9000",
        "SPARRING_S3_KEY_FILE": str(tmp_path / "key"),
        "SPARRING_S3_SECRET_FILE": str(tmp_path / "secret"),
    }
    settings = StoreSettings.from_env(environ)
    assert settings.artifacts == BytesSettings(
        url="s3://bucket/prefix",
        password="the password",
        memory_bytes=7,
        s3_endpoint="http://127.0.0.1:9000",
        s3_key="the key",
        s3_secret="the secret",
    )
    assert "the " not in repr(settings)
    assert StoreSettings.from_env({}).artifacts is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"SPARRING_ARTIFACTS": "s3://hidden:hidden@bucket"},
        {"SPARRING_ARTIFACTS": "file://host/hidden"},
        {"SPARRING_ARTIFACTS": "file:///"},
        {"SPARRING_ARTIFACTS": "ftp://hidden"},
        {"SPARRING_S3_ENDPOINT": "127.0.0.1:9000"},
    ],
    ids=str,
)
def test_wrong_variables_are_named_without_what_may_be_secret(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))) as refused:
        StoreSettings.from_env(wrong)
    assert "hidden" not in str(refused.value)


def test_a_key_without_its_secret_is_refused(tmp_path):
    (tmp_path / "key").write_text("x")
    with pytest.raises(SettingsError, match="go together"):
        StoreSettings.from_env({"SPARRING_S3_KEY_FILE": str(tmp_path / "key")})
