"""What belongs to one tenant is not there for another: every RPC of the running server, called for another's things.

Each RPC has a recipe: requests of tenant alpha that name what is beta's, and what has to come of them. A method
without a recipe fails the test.
"""

import hashlib
from dataclasses import dataclass

import pytest
from sparring.v1 import artifacts_pb2 as a
from sparring.v1 import (
    attacks_pb2,
    catalog_pb2,
    datasets_pb2,
    jobs_pb2,
    models_pb2,
    poisoning_pb2,
    preview_pb2,
    tenants_pb2,
)

from services.jobs.record import Registration, WorkerRecord

SECRET = b"beta's own bytes"
SHA = hashlib.sha256(SECRET).hexdigest()
NOWHERE = "f" * 64


@dataclass
class Belongings:
    """What beta has; every text in here is a secret."""

    queued: str
    ended: str
    trained: str
    upload: str
    model: str = "beta-model"
    data: str = "beta-pictures"
    words: str = "beta's plan"
    sha: str = SHA

    @property
    def secrets(self):
        return {
            text.encode()
            for text in (self.queued, self.ended, self.trained, self.upload, self.model, self.data, self.words, SHA)
        }


def attack(model="beta-model", dataset="mnist10k", **more):
    spec = jobs_pb2.AttackSpec(
        model=model,
        data=datasets_pb2.DataSelection(dataset=dataset, count=100),
        attack=attacks_pb2.Attack(fgsm=attacks_pb2.Fgsm()),
    )
    return jobs_pb2.CreateJobRequest(attack=spec, **more)


def training(**more):
    data = datasets_pb2.DataSelection(dataset="mnist10k", count=10)
    return jobs_pb2.CreateJobRequest(
        training=jobs_pb2.TrainingSpec(**{"architecture": "wong_cnn", "data": data, "evaluation_data": data} | more)
    )


def signature():
    return models_pb2.ModelSignature(architecture="wong_cnn", input_shape=[1, 28, 28], classes=10)


def ready(kind, name):
    if kind == "model":
        return models_pb2.Model(
            name=f"models/{name}", state=models_pb2.Model.STATE_READY, weights=f"artifacts/{SHA}", signature=signature()
        )
    return datasets_pb2.Dataset(
        name=f"datasets/{name}",
        state=datasets_pb2.Dataset.STATE_READY,
        source=datasets_pb2.DATASET_SOURCE_UPLOADED,
        input_shape=[1, 28, 28],
        classes=10,
        splits=[datasets_pb2.Split(name="all", count=100)],
        digest=SHA,
    )


def register(store, tenant, kind, name):
    record = ready(kind, name).SerializeToString()
    store.register(tenant, Registration(kind=kind, id=name, record=record))


@pytest.fixture
async def belongings(client, methods, job_store, artifact_store):
    """Jobs that wait, that failed and that trained a model, a model, a dataset, bytes, an upload, a busy worker."""
    beta = client("beta")
    artifact_store.put("beta", SECRET)
    register(job_store, "beta", "model", "beta-model")
    register(job_store, "beta", "dataset", "beta-pictures")

    async def create(request):
        (job,) = (await beta.call(methods["/sparring.v1.JobService/CreateJob"], request)).messages
        return job.name.removeprefix("jobs/")

    trained = await create(training())
    lease = job_store.claim("c1", "w1", "cpu", 60_000)
    job_store.commit(lease, "w1", SHA, {})
    closing = job_store.claim("c2", "w1", "cpu", 60_000)
    job_store.finish(closing, "w1", jobs_pb2.JobResult(model="models/beta-model").SerializeToString(), None)
    ended = await create(attack(display_name="beta's plan"))
    cancel = jobs_pb2.CancelJobRequest(name=f"jobs/{ended}")
    await beta.call(methods["/sparring.v1.JobService/CancelJob"], cancel)
    queued = await create(attack(display_name="beta's plan"))
    lease = job_store.claim("c3", "w1", "cpu", 60_000)
    job_store.announce(
        WorkerRecord(id="w1", lane="cpu", device_name="a CPU", unit=f"{lease.job_id}/0", tenant="beta", last_seen_ms=0),
        60.0,
    )
    begin = a.BeginUploadRequest(sha256=hashlib.sha256(b"more").hexdigest(), size_bytes=4)
    (begun,) = (await beta.call(methods["/sparring.v1.ArtifactService/BeginUpload"], begin)).messages
    return Belongings(queued=queued, ended=ended, trained=trained, upload=begun.upload_id)


def poisoning(**fields):
    mine = datasets_pb2.DataSelection(dataset="mnist10k", split="train", count=100)
    poison = poisoning_pb2.Poison(label_flip=poisoning_pb2.LabelFlip())
    given = {"architecture": "linear_svm", "data": mine, "poison": poison, "fractions": [0.1], **fields}
    return jobs_pb2.CreateJobRequest(poisoning=poisoning_pb2.PoisoningSpec(**given))


def preview(model, dataset="mnist10k"):
    sample = preview_pb2.SampleName(dataset=dataset)
    return preview_pb2.PreviewAttackRequest(models=[model], sample=sample)


def names(collection, *identifiers):
    return [f"{collection}/{identifier}" for identifier in identifiers]


def of_jobs(kind):
    return lambda b: [kind(name=name) for name in names("jobs", b.queued, b.ended, b.trained)]


# Requests of alpha for what is beta's, and what they must come to: "NOT_FOUND", or "OK" with nothing of beta in it.
RECIPES = {
    "JobService.CreateJob": (
        "NOT_FOUND",
        lambda b: [
            attack(f"models/{b.model}"),
            attack(f"jobs/{b.trained}"),
            attack(b.model, dataset=b.data),
            training(initial_model=b.model, architecture=""),
            jobs_pb2.CreateJobRequest(
                evaluation=jobs_pb2.EvaluationSpec(
                    models=[b.model], data=datasets_pb2.DataSelection(dataset="mnist10k", count=10)
                )
            ),
            jobs_pb2.CreateJobRequest(poisoning=poisoning().poisoning, after=names("jobs", b.queued)),
            jobs_pb2.CreateJobRequest(poisoning=poisoning().poisoning, after=names("jobs", b.trained), reuse=True),
            poisoning(data=datasets_pb2.DataSelection(dataset=b.data, split="all")),
            poisoning(evaluation_data=datasets_pb2.DataSelection(dataset=b.data, split="all")),
        ],
    ),
    "JobService.GetJob": ("NOT_FOUND", of_jobs(jobs_pb2.GetJobRequest)),
    "JobService.ListJobs": (
        "OK",
        lambda _: [jobs_pb2.ListJobsRequest(), jobs_pb2.ListJobsRequest(filter="kind=intake")],
    ),
    "JobService.WatchJob": ("NOT_FOUND", of_jobs(jobs_pb2.WatchJobRequest)),
    "JobService.CancelJob": ("NOT_FOUND", of_jobs(jobs_pb2.CancelJobRequest)),
    "JobService.RetryJob": ("NOT_FOUND", of_jobs(jobs_pb2.RetryJobRequest)),
    "JobService.DeleteJob": ("NOT_FOUND", of_jobs(jobs_pb2.DeleteJobRequest)),
    "ModelService.RegisterModel": (
        "NOT_FOUND",
        lambda b: [models_pb2.RegisterModelRequest(weights=f"artifacts/{b.sha}", signature=signature())],
    ),
    "ModelService.GetModel": ("NOT_FOUND", lambda b: [models_pb2.GetModelRequest(name=f"models/{b.model}")]),
    "ModelService.ListModels": ("OK", lambda _: [models_pb2.ListModelsRequest()]),
    "ModelService.DeleteModel": ("NOT_FOUND", lambda b: [models_pb2.DeleteModelRequest(name=f"models/{b.model}")]),
    "DatasetService.RegisterDataset": (
        "NOT_FOUND",
        lambda b: [datasets_pb2.RegisterDatasetRequest(images=f"artifacts/{b.sha}", classes=10)],
    ),
    "DatasetService.GetDataset": ("NOT_FOUND", lambda b: [datasets_pb2.GetDatasetRequest(name=f"datasets/{b.data}")]),
    "DatasetService.ListDatasets": ("OK", lambda _: [datasets_pb2.ListDatasetsRequest()]),
    "DatasetService.DeleteDataset": (
        "NOT_FOUND",
        lambda b: [datasets_pb2.DeleteDatasetRequest(name=f"datasets/{b.data}")],
    ),
    "ArtifactService.BeginUpload": ("OK", lambda b: [a.BeginUploadRequest(sha256=b.sha, size_bytes=len(SECRET))]),
    "ArtifactService.UploadArtifact": (
        "NOT_FOUND",
        lambda b: [a.UploadArtifactRequest(upload_id=b.upload, data=b"more")],
    ),
    "ArtifactService.QueryUpload": ("NOT_FOUND", lambda b: [a.QueryUploadRequest(upload_id=b.upload)]),
    "ArtifactService.DownloadArtifact": ("NOT_FOUND", lambda b: [a.DownloadArtifactRequest(name=f"artifacts/{b.sha}")]),
    "ArtifactService.GetArtifact": ("NOT_FOUND", lambda b: [a.GetArtifactRequest(name=f"artifacts/{b.sha}")]),
    "ArtifactService.DeleteArtifact": ("NOT_FOUND", lambda b: [a.DeleteArtifactRequest(name=f"artifacts/{b.sha}")]),
    "CatalogService.GetServerInfo": ("OK", lambda _: [catalog_pb2.GetServerInfoRequest()]),
    "CatalogService.ListAttacks": ("OK", lambda _: [catalog_pb2.ListAttacksRequest()]),
    "CatalogService.ListDefenses": ("OK", lambda _: [catalog_pb2.ListDefensesRequest()]),
    "CatalogService.ListPoisons": ("OK", lambda _: [catalog_pb2.ListPoisonsRequest()]),
    "CatalogService.ListArchitectures": ("OK", lambda _: [catalog_pb2.ListArchitecturesRequest()]),
    "CatalogService.ListBuiltInDatasets": ("OK", lambda _: [catalog_pb2.ListBuiltInDatasetsRequest()]),
    "PreviewService.PreviewAttack": (
        "NOT_FOUND",
        lambda b: [preview(f"models/{b.model}"), preview(b.model, b.data)],
    ),
    "PreviewService.ListSamples": ("NOT_FOUND", lambda b: [preview_pb2.ListSamplesRequest(dataset=b.data)]),
    "TenantService.GetTenant": ("OK", lambda _: [tenants_pb2.GetTenantRequest()]),
    "TenantService.ListAuditEntries": ("OK", lambda _: [tenants_pb2.ListAuditEntriesRequest()]),
}


def swapped(request, b):
    """The same request for things that nobody has."""
    raw = request.SerializeToString()
    for text in b.secrets:
        raw = raw.replace(text, (NOWHERE * 2)[: len(text)].encode())
    return type(request).FromString(raw)


async def test_no_rpc_gives_away_or_touches_what_is_anothers(client, methods, belongings, job_store, artifact_store):
    contract = {path: method for path, method in methods.items() if path.startswith("/sparring.")}
    assert {f"{m.containing_service.name}.{m.name}" for m in contract.values()} == set(RECIPES)
    alpha, b = client("alpha"), belongings
    before = list(job_store.list("beta"))
    sent = b""
    # The audit log first, as later it holds what alpha has asked for itself.
    for method in sorted(contract.values(), key=lambda method: method.containing_service.name != "TenantService"):
        code, recipe = RECIPES[f"{method.containing_service.name}.{method.name}"]
        for request in recipe(b):
            found = await alpha.call(method, request)
            assert found.code == code, (method.full_name, found.text)
            sent += request.SerializeToString()
            told = {text for text in b.secrets if text in found.raw and text not in sent}
            assert not told, f"{method.full_name} tells {told}"
            if code == "NOT_FOUND":
                # Word for word what is said of things that nobody has.
                nothing = await alpha.call(method, swapped(request, b))
                spoken = found.text
                for text in b.secrets:
                    spoken = spoken.replace(text.decode(), (NOWHERE * 2)[: len(text)])
                assert (nothing.code, nothing.text) == (found.code, spoken), method.full_name
    assert list(job_store.list("beta")) == before
    assert artifact_store.get("beta", SHA) == SECRET
    for kind, name in (("model", b.model), ("dataset", b.data)):
        assert job_store.lookup("beta", kind, name) == ready(kind, name).SerializeToString()


async def test_what_is_anothers_is_found_by_its_owner(client, methods, belongings):
    beta, b = client("beta", "read"), belongings
    for name in (
        "JobService.GetJob",
        "ModelService.GetModel",
        "DatasetService.GetDataset",
        "ArtifactService.GetArtifact",
    ):
        service, _, method = name.partition(".")
        for request in RECIPES[name][1](b):
            found = await beta.call(methods[f"/sparring.v1.{service}/{method}"], request)
            assert found.code == "OK", "or the recipes would prove nothing"
