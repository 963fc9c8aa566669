"""Who changed what, and who was refused: in the tenant's audit log, in the gateway's log, and never with a key."""

import asyncio
import logging

import pytest
from sparring.v1 import artifacts_pb2 as a
from sparring.v1 import datasets_pb2, jobs_pb2, tenants_pb2

from services.errors import FailedPrecondition, Unavailable
from services.gateway import audit
from services.gateway.audit import Auditor, Call
from services.gateway.identity import Identity
from services.gateway.tasks import end
from services.tenants.table import Role

AUDIT = "/sparring.v1.TenantService/ListAuditEntries"
CREATE = "/sparring.v1.JobService/CreateJob"


def training(**more):
    data = datasets_pb2.DataSelection(dataset="mnist10k", count=10)
    spec = jobs_pb2.TrainingSpec(architecture="wong_cnn", data=data, evaluation_data=data)
    return jobs_pb2.CreateJobRequest(training=spec, **more)


@pytest.fixture
def entries(client, methods, until):
    """Wait until a tenant's audit log has so many entries; return them, newest first."""

    async def wait(count, tenant="alpha"):
        found = []

        async def there():
            answer = await client(tenant).call(methods[AUDIT], tenants_pb2.ListAuditEntriesRequest())
            found[:] = answer.messages[0].entries
            return len(found) >= count

        await until(there, 5)
        assert len(found) == count
        return found

    return wait


async def test_every_change_is_kept_with_who_and_what_and_what_came_of_it(client, methods, entries):
    alpha = client("alpha", "submit")
    (job,) = (await alpha.call(methods[CREATE], training())).messages
    await alpha.call(methods["/sparring.v1.JobService/CancelJob"], jobs_pb2.CancelJobRequest(name=job.name))
    await alpha.call(methods["/sparring.v1.JobService/DeleteJob"], jobs_pb2.DeleteJobRequest(name="jobs/none"))
    await alpha.call(methods["/sparring.v1.JobService/GetJob"], jobs_pb2.GetJobRequest(name=job.name))
    digest = "a" * 64
    begin = a.BeginUploadRequest(sha256=digest, size_bytes=3)
    await alpha.call(methods["/sparring.v1.ArtifactService/BeginUpload"], begin)
    await alpha.call(methods[CREATE], training(display_name="x" * 300))
    kept = await entries(5)
    # A few are written at once, so their order is that of the calls only by and large.
    told = {(e.rpc, e.resource, e.code, e.reason) for e in kept}
    assert told == {
        ("JobService.CreateJob", job.name, "OK", ""),
        ("JobService.CancelJob", job.name, "OK", ""),
        ("JobService.DeleteJob", "jobs/none", "NOT_FOUND", "RESOURCE_NOT_FOUND"),
        ("ArtifactService.BeginUpload", f"artifacts/{digest}", "OK", ""),
        ("JobService.CreateJob", "", "INVALID_ARGUMENT", "INVALID_FIELDS"),
    }
    assert {e.key for e in kept} == {"submit"}
    assert all(e.peer.startswith("ipv4:127.0.0.1:") and e.time.seconds > 1.7e9 for e in kept)


async def test_refusals_of_a_known_tenant_are_kept(client, methods, entries, tenants_file, until):
    text = tenants_file.add("alpha", "admin", "old", expires="2020-01-01T00:00:00Z")
    tenants_file.write()
    old = client(key=text)

    async def known():
        return (await old.call(methods[CREATE], b"")).reason == "KEY_EXPIRED"

    await until(known)
    await client("alpha", "read").call(methods[CREATE], training())
    await client("alpha", "submit").call(methods[AUDIT], b"")
    kept = await entries(3)
    assert {(e.key, e.rpc, e.code, e.reason) for e in kept} == {
        ("old", "JobService.CreateJob", "UNAUTHENTICATED", "KEY_EXPIRED"),
        ("read", "JobService.CreateJob", "PERMISSION_DENIED", "ROLE_TOO_LOW"),
        ("submit", "TenantService.ListAuditEntries", "PERMISSION_DENIED", "ROLE_TOO_LOW"),
    }
    assert not (await entries(0, "beta"))


async def test_entries_come_newest_first_in_pages(client, methods, entries, job_store):
    for number in range(5):
        job_store.audit("alpha", tenants_pb2.AuditEntry(resource=str(number)).SerializeToString())
    await entries(5)
    listed, token = [], None
    while token != "":
        request = tenants_pb2.ListAuditEntriesRequest(page_size=2, page_token=token or "")
        (page,) = (await client("alpha").call(methods[AUDIT], request)).messages
        listed += [entry.resource for entry in page.entries]
        token = page.next_page_token
    assert listed == ["4", "3", "2", "1", "0"]


async def test_no_key_is_in_any_log_or_error_or_entry(client, methods, tenants_file, entries, caplog):
    caplog.set_level(logging.DEBUG)
    secret = tenants_file.texts["alpha", "read"]
    stranger = client(key="spk_ci_" + "S" * 43)
    raw = b""
    for caller in (client(key=secret), stranger):
        for method in methods.values():
            if "Health" not in method.containing_service.full_name:
                raw += (await caller.call(method, b"")).raw
    raw += b"".join(entry.SerializeToString() for entry in await entries(13))
    logged = caplog.text.encode() + raw
    assert b"audit tenant=alpha key=read" in logged
    assert b"reason=KEY_UNKNOWN" in logged
    for text in (
        secret,
        secret[-43:],
        "S" * 43,
        *(k["sha256"] for k in tenants_file.tables["alpha"]["keys"]),
    ):
        assert text.strip('"').encode() not in logged


async def test_strangers_do_not_fill_the_log(client, methods, caplog):
    for _ in range(100):
        await client().call(methods[CREATE], b"")
    lines = [record for record in caplog.records if "KEY_MISSING" in record.getMessage()]
    assert 20 <= len(lines) <= 30, "a burst of twenty, then one a second"


class Store:
    """Takes entries, after some failures."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.kept = []

    async def audit(self, tenant, entry):
        if self.failures:
            raise self.failures.pop(0)
        self.kept.append((tenant, tenants_pb2.AuditEntry.FromString(entry).rpc))


def changed(number):
    who = Identity(tenant="t", key="k", role=Role.ADMIN)
    return Call(rpc=str(number), peer="ipv4:1.2.3.4:5", identity=who)


async def test_an_outage_of_the_store_delays_entries_and_calls_nothing_off(monkeypatch, until):
    monkeypatch.setattr(audit, "PAUSE_S", 0.01)
    auditor, store = Auditor(), Store(Unavailable("gone"), Unavailable("gone"))
    auditor.note(changed(1))
    task = asyncio.create_task(auditor.run(store))

    async def kept():
        return bool(store.kept)

    await until(kept, 5)
    task.cancel()
    assert store.kept == [("t", "1")]


async def test_what_finds_no_room_is_counted_and_told(monkeypatch, caplog):
    monkeypatch.setattr(audit, "QUEUED", 3)
    auditor, store = Auditor(), Store()
    for number in range(10):
        auditor.note(changed(number))
    task = asyncio.create_task(auditor.run(store))
    await asyncio.sleep(0.05)
    task.cancel()
    assert sorted(store.kept) == [("t", "0"), ("t", "1"), ("t", "2")]
    assert "7 audit entries were dropped" in caplog.text


async def test_an_entry_that_the_store_refuses_is_logged_and_left(caplog):
    auditor, store = Auditor(), Store(FailedPrecondition("no"))
    auditor.note(changed(1))
    auditor.note(changed(2))
    await auditor.flush(store)
    assert store.kept == [("t", "2")]
    assert "was not taken: no" in caplog.text


async def test_what_is_left_at_the_end_is_brought_or_told(monkeypatch, caplog):
    monkeypatch.setattr(audit, "CLOSING_S", 0.05)
    auditor = Auditor()
    for number in range(20):
        auditor.note(changed(number))
    await auditor.flush(Store(*[Unavailable("gone")] * 100))
    assert "20 audit entries did not reach the store" in caplog.text


async def test_entries_that_are_on_their_way_at_the_end_are_brought_again():
    class Slow(Store):
        async def audit(self, tenant, entry):
            await asyncio.sleep(0 if self.kept else 60)
            await super().audit(tenant, entry)

    auditor, store = Auditor(), Slow()
    for number in range(3):
        auditor.note(changed(number))
    task = asyncio.create_task(auditor.run(store))
    await asyncio.sleep(0.05)
    await end([task])
    store.kept.append("awake")
    await auditor.flush(store)
    assert sorted(store.kept[1:]) == [("t", "0"), ("t", "1"), ("t", "2")]


async def test_a_clients_text_is_one_line_and_bounded(caplog):
    caplog.set_level(logging.INFO)
    call = changed(1)
    call.resource = "jobs/x\nINFO audit tenant=root " + "y" * 10_000
    Auditor().note(call)
    (line,) = [record.getMessage() for record in caplog.records if "audit tenant" in record.getMessage()]
    assert "\n" not in line
    assert len(line) < 500
