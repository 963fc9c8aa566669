"""Artifacts of several tenants: apart from each other, counted each, and held to a quota."""

import hashlib

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from services.artifacts import calls
from services.artifacts.calls import ArtifactInfo
from services.artifacts.digest import CHUNK_BYTES
from services.artifacts.store import ArtifactStore
from services.errors import NotFound, QuotaExceeded
from services.jobs.quotas import check_quota
from services.jobs.record import Quota, Registration

DATA = hashlib.shake_128(b"artifact").digest(CHUNK_BYTES + 1000)
SIZE, SHA = len(DATA), hashlib.sha256(DATA).hexdigest()


async def upload(store, tenant, data=DATA):
    upload_id = await store.begin(tenant, hashlib.sha256(data).hexdigest(), len(data), "")
    await store.append(tenant, upload_id, 0, data)
    return upload_id


def held_bytes(job_store, tenant):
    return job_store.usage(tenant).artifact_bytes


async def test_what_one_tenant_has_another_one_does_not_see(async_artifact_store, artifact_store):
    artifact_store.put("a", DATA)
    for asked in (artifact_store.get, artifact_store.stat, artifact_store.touch, artifact_store.delete):
        with pytest.raises(NotFound):
            asked("b", SHA)
    for asked in (artifact_store.pin, artifact_store.unpin):
        with pytest.raises(NotFound):
            asked("b", SHA)
    with pytest.raises(NotFound):
        await async_artifact_store.read_all("b", SHA, SIZE)
    assert isinstance(await async_artifact_store.begin("b", SHA, SIZE, ""), str)
    assert isinstance(await async_artifact_store.begin("a", SHA, SIZE, ""), ArtifactInfo)


async def test_nobody_goes_on_with_another_tenants_upload(async_artifact_store):
    store = async_artifact_store
    upload_id = await upload(store, "a")
    for asked in (store.query("b", upload_id), store.seal("b", upload_id), store.append("b", upload_id, 0, DATA)):
        with pytest.raises(NotFound):
            await asked
    await store.seal("a", upload_id)
    assert await store.read_all("a", SHA, SIZE) == DATA


async def test_equal_bytes_of_two_tenants_are_two_artifacts(async_artifact_store, artifact_store, job_store):
    await async_artifact_store.seal("a", await upload(async_artifact_store, "a"))
    artifact_store.put("b", DATA)
    assert [held_bytes(job_store, tenant) for tenant in "ab"] == [SIZE, SIZE]
    artifact_store.delete("a", SHA)
    assert artifact_store.get("b", SHA) == DATA
    assert [held_bytes(job_store, tenant) for tenant in "ab"] == [0, SIZE]


def test_a_registration_pins_the_artifact_of_its_own_tenant(artifact_store, job_store):
    for tenant in ("a", "b"):
        artifact_store.put(tenant, DATA)
    job_store.register("a", Registration(kind="model", id="m", record=b"m", pins=(SHA,)))
    assert [artifact_store.stat(tenant, SHA).expires_ms is None for tenant in ("a", "b")] == [True, False]
    job_store.unregister("a", "model", "m")
    assert artifact_store.stat("a", SHA).expires_ms is not None


async def test_an_upload_is_counted_from_its_beginning(async_artifact_store, job_store):
    store = async_artifact_store
    upload_id = await store.begin("a", SHA, SIZE, "")
    assert held_bytes(job_store, "a") == SIZE
    await store.append("a", upload_id, 0, DATA)
    await store.seal("a", upload_id)
    assert held_bytes(job_store, "a") == SIZE


async def test_an_upload_beyond_the_quota_is_refused(async_artifact_store, artifact_store, job_store, redis):
    job_store.set_quota("a", Quota(max_artifact_bytes=2 * SIZE))
    first = await upload(async_artifact_store, "a")
    await async_artifact_store.begin("a", "0" * 64, SIZE, "")
    keys = set(redis.keys("*"))
    with pytest.raises(QuotaExceeded) as refused:
        await async_artifact_store.begin("a", "1" * 64, 1, "")
    assert (refused.value.subject, refused.value.limit) == ("tenants/a", "max_artifact_bytes")
    assert set(redis.keys("*")) == keys
    await async_artifact_store.begin("b", "1" * 64, 1, "")
    await async_artifact_store.seal("a", first)
    artifact_store.delete("a", SHA)
    await async_artifact_store.begin("a", "1" * 64, SIZE, "")


async def test_bytes_that_are_held_may_be_declared_again_though_the_quota_is_full(async_artifact_store, job_store):
    job_store.set_quota("a", Quota(max_artifact_bytes=SIZE))
    await async_artifact_store.seal("a", await upload(async_artifact_store, "a"))
    assert isinstance(await async_artifact_store.begin("a", SHA, SIZE, ""), ArtifactInfo)


def test_what_a_worker_puts_is_counted_and_not_refused(artifact_store, job_store):
    job_store.set_quota("a", Quota(max_artifact_bytes=1))
    artifact_store.put("a", DATA)
    assert held_bytes(job_store, "a") == SIZE


def execute(redis, name, *arguments):
    return redis.execute_command(*calls.function(name, *arguments))


class Machine(RuleBasedStateMachine):
    """Any order of begin, chunk, seal, drop, put, delete and expiry, each also repeated; `bytes` is what is there."""

    def __init__(self):
        super().__init__()
        self.redis.flushdb()
        self.artifacts = ArtifactStore(self.redis)
        self.uploads = []

    @rule(tenant=st.sampled_from("ab"), data=st.sampled_from([b"x", b"yy" * 50, b"zzz" * 7]))
    def begin(self, tenant, data):
        sha256 = hashlib.sha256(data).hexdigest()
        name = f"u{len(self.uploads)}"
        most = int(self.redis.hget(f"{{sparring}}:tenant:{tenant}", "max_artifact_bytes") or 0)
        room = most == 0 or self.counted(tenant) + len(data) <= most
        reply = execute(self.redis, "upload_begin", tenant, name, sha256, len(data), "")
        if room:
            assert reply == [b"OK"]
            self.uploads.append((tenant, name, data))
        else:
            with pytest.raises(QuotaExceeded):
                check_quota(tenant, reply)

    @precondition(lambda self: self.uploads)
    @rule(which=st.integers(0, 3), step=st.sampled_from(["begin", "chunk", "seal", "drop"]))
    def go_on(self, which, step):
        tenant, name, data = self.uploads[-1 - which % len(self.uploads)]
        digest = hashlib.sha256(data)
        if step == "begin" and self.redis.exists(f"{{sparring}}:u:{tenant}:{name}"):
            execute(self.redis, "upload_begin", tenant, name, digest.hexdigest(), len(data), "")
        elif step == "chunk":
            execute(self.redis, "upload_chunk", tenant, name, 0, digest.digest(), data)
        elif step == "seal":
            what = (digest.hexdigest(), len(data), "", digest.digest(), 1000)
            execute(self.redis, "artifact_seal", tenant, name, *what)
        elif step == "drop":
            execute(self.redis, "upload_drop", tenant, name)

    @rule(tenant=st.sampled_from("ab"), data=st.sampled_from([b"x", b"put" * 9]))
    def put(self, tenant, data):
        self.artifacts.put(tenant, data)

    @rule(tenant=st.sampled_from("ab"), data=st.sampled_from([b"x", b"yy" * 50, b"put" * 9]))
    def delete(self, tenant, data):
        execute(self.redis, "artifact_delete", tenant, hashlib.sha256(data).hexdigest())

    @rule(tenant=st.sampled_from("ab"), most=st.sampled_from([0, 100, 150]))
    def limit(self, tenant, most):
        self.redis.hset(f"{{sparring}}:tenant:{tenant}", "max_artifact_bytes", most)

    @rule(what=st.sampled_from(["lapse", "uploads"]))
    def everything_lapses(self, what):
        key = f"{{sparring}}:{what}"
        for member in self.redis.zrange(key, 0, -1):
            self.redis.zadd(key, {member: 1})
        self.job_store.expire(100)
        assert self.redis.zcard(key) == 0

    def counted(self, tenant):
        """What is there, key by key."""
        manifests = self.redis.keys(f"{{sparring}}:a:{tenant}:*:m")
        uploads = [name for owner, name, _ in self.uploads if owner == tenant]
        sizes = [self.redis.hget(key, "size") for key in manifests]
        sizes += [self.redis.hget(f"{{sparring}}:u:{tenant}:{name}", "size") or 0 for name in uploads]
        return sum(map(int, sizes))

    @invariant()
    def the_sum_is_that_of_what_is_there(self):
        for tenant in "ab":
            assert self.job_store.usage(tenant).artifact_bytes == self.counted(tenant)


def test_the_count_of_bytes_never_drifts(redis, job_store):
    machine = type("Seeded", (Machine,), {"redis": redis, "job_store": job_store})
    phases = [Phase.explicit, Phase.generate, Phase.shrink]
    chosen = settings(max_examples=60, stateful_step_count=30, deadline=None, phases=phases)
    run_state_machine_as_test(machine, settings=settings(chosen, suppress_health_check=list(HealthCheck)))
