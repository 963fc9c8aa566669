"""Names, request ids, page tokens and bytes of one tenant mean nothing to another."""

import hashlib
import uuid

from sparring.v1 import artifacts_pb2 as a
from sparring.v1 import datasets_pb2, jobs_pb2, models_pb2, tenants_pb2

from services.jobs.record import Registration

SECRET = b"beta's own bytes"
SHA = hashlib.sha256(SECRET).hexdigest()


def training(request_id="", **more):
    data = datasets_pb2.DataSelection(dataset="mnist10k", count=10)
    spec = jobs_pb2.TrainingSpec(architecture="wong_cnn", data=data, evaluation_data=data, **more)
    return jobs_pb2.CreateJobRequest(training=spec, request_id=request_id)


async def test_names_that_another_has_are_free(client, methods, job_store):
    record = models_pb2.Model(name="models/net", state=models_pb2.Model.STATE_READY).SerializeToString()
    for tenant in ("alpha", "beta"):
        job_store.register(tenant, Registration(kind="model", id="net", record=record))
    delete = methods["/sparring.v1.ModelService/DeleteModel"]
    assert (await client("alpha").call(delete, models_pb2.DeleteModelRequest(name="models/net"))).code == "OK"
    assert job_store.lookup("beta", "model", "net") == record, "each deletes its own"
    create = methods["/sparring.v1.JobService/CreateJob"]
    assert (await client("alpha").call(create, training(model_id="net"))).code == "OK"
    assert (await client("beta").call(create, training(model_id="net"))).code == "INVALID_ARGUMENT"


async def test_a_request_id_of_another_makes_a_job_of_ones_own(client, methods):
    create, request = methods["/sparring.v1.JobService/CreateJob"], training(request_id=str(uuid.uuid4()))
    found = [(await client(tenant).call(create, request)).messages[0].name for tenant in ("alpha", "beta", "alpha")]
    assert found[0] == found[2] != found[1]


async def test_a_page_token_of_another_is_none(client, methods):
    create, listing = methods["/sparring.v1.JobService/CreateJob"], methods["/sparring.v1.JobService/ListJobs"]
    audit = methods["/sparring.v1.TenantService/ListAuditEntries"]
    for tenant in ("alpha", "beta"):
        for _ in range(3):
            await client(tenant).call(create, training())
    for method, kind in ((listing, jobs_pb2.ListJobsRequest), (audit, tenants_pb2.ListAuditEntriesRequest)):
        token = ""
        while not token:
            (page,) = (await client("beta").call(method, kind(page_size=1))).messages
            token = page.next_page_token
        found = await client("alpha").call(method, kind(page_size=1, page_token=token))
        assert (found.code, found.reason) == ("INVALID_ARGUMENT", "BAD_PAGE_TOKEN")


async def test_equal_bytes_are_uploaded_twice_and_deleted_once(client, methods, artifact_store):
    artifact_store.put("beta", SECRET)
    alpha = client("alpha")
    begin, upload = (
        methods["/sparring.v1.ArtifactService/BeginUpload"],
        methods["/sparring.v1.ArtifactService/UploadArtifact"],
    )
    request = a.BeginUploadRequest(sha256=SHA, size_bytes=len(SECRET))
    (begun,) = (await alpha.call(begin, request)).messages
    assert begun.upload_id, "whether beta has the bytes is not told"
    sent = await alpha.call(upload, a.UploadArtifactRequest(upload_id=begun.upload_id, data=SECRET))
    assert sent.messages[0].artifact.name == f"artifacts/{SHA}"
    (again,) = (await alpha.call(begin, request)).messages
    assert again.artifact.name, "one's own are known"
    delete = methods["/sparring.v1.ArtifactService/DeleteArtifact"]
    assert (await alpha.call(delete, a.DeleteArtifactRequest(name=f"artifacts/{SHA}"))).code == "OK"
    assert artifact_store.get("beta", SHA) == SECRET
