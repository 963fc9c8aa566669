"""Models and datasets on their way in, through a real gateway and a real store."""

import asyncio
import hashlib
import json
import struct

import pytest
from google.rpc import status_pb2
from sparring.v1 import artifacts_pb2, attacks_pb2, datasets_pb2, jobs_pb2, models_pb2

from services.jobs.record import Registration

M, D = models_pb2.Model, datasets_pb2.Dataset


def safetensors(**tensors):
    """A safetensors file of zeros; each tensor is (dtype, shape, bytes per element)."""
    header, position = {}, 0
    for name, (dtype, shape, width) in tensors.items():
        size = width
        for side in shape:
            size *= side
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + size]}
        position += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(position)


def npy(descr, shape, width):
    size = width
    for side in shape:
        size *= side
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {tuple(shape)}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(size)


WEIGHTS = safetensors(w=("F32", [10, 4], 4))
PICTURES = ("U8", [6, 1, 5, 5], 1)
LABELS = ("I64", [6], 8)
BOTH = safetensors(x=PICTURES, y=LABELS)


@pytest.fixture
def put(artifact_store):
    """Puts bytes, and returns their name."""
    return lambda data: "artifacts/" + artifact_store.put("default", data)


def signature(**fields):
    base = {"architecture": "softmax_regression", "input_shape": [1, 2, 2], "classes": 10}
    return models_pb2.ModelSignature(**{**base, **fields})


async def register_model(stubs, weights, model_id="", **fields):
    request = models_pb2.RegisterModelRequest(model_id=model_id, weights=weights, signature=signature(**fields))
    return await stubs.models.RegisterModel(request)


async def get_model(stubs, name):
    return await stubs.models.GetModel(models_pb2.GetModelRequest(name=name))


async def register_dataset(stubs, images, labels="", dataset_id="", classes=10):
    request = datasets_pb2.RegisterDatasetRequest(dataset_id=dataset_id, images=images, labels=labels, classes=classes)
    return await stubs.datasets.RegisterDataset(request)


async def test_a_model_is_checked_by_a_job_and_then_ready(stubs, put, worker):
    weights = put(WEIGHTS)
    model = await register_model(stubs, weights, "first")
    assert (model.name, model.state, model.weights) == ("models/first", M.STATE_CHECKING, weights)
    assert await get_model(stubs, "models/first") == model
    intake = (await stubs.jobs.ListJobs(jobs_pb2.ListJobsRequest(filter="kind = intake"))).jobs[0]
    assert (intake.name, intake.intake.model.name, intake.display_name) == (
        model.job,
        model.name,
        f"check of {model.name}",
    )
    assert not (await stubs.jobs.ListJobs(jobs_pb2.ListJobsRequest())).jobs, "intakes are listed on request only"

    ready = M()
    ready.CopyFrom(model)
    ready.state, ready.parameters = M.STATE_READY, 50
    registration = Registration(kind="model", id="first", record=ready.SerializeToString())
    await asyncio.to_thread(worker.finish_all, None, registration)
    assert await get_model(stubs, "models/first") == ready


async def test_the_same_registration_is_the_same_model(stubs, put, refusal):
    weights = put(WEIGHTS)
    first = await register_model(stubs, weights)
    assert first.name == f"models/{weights.removeprefix('artifacts/')[:16]}"
    assert await register_model(stubs, weights) == first
    found = await refusal(register_model(stubs, weights, classes=11))
    assert (found.code, found.reason) == ("ALREADY_EXISTS", "NAME_TAKEN")
    assert len((await stubs.jobs.ListJobs(jobs_pb2.ListJobsRequest(filter="kind = intake"))).jobs) == 1


async def test_racing_registrations_make_one_model(stubs, put):
    weights = put(WEIGHTS)
    models = await asyncio.gather(*(register_model(stubs, weights, "m") for _ in range(8)))
    assert len({model.job for model in models}) == 1
    assert len((await stubs.jobs.ListJobs(jobs_pb2.ListJobsRequest(filter="kind = intake"))).jobs) == 1


async def test_every_bad_field_of_a_model_comes_at_once(stubs, refusal):
    request = models_pb2.RegisterModelRequest(
        model_id="a/b",
        weights="weights.bin",
        signature=signature(architecture="resnet19", input_shape=[3, 0], classes=1, mean=[float("nan")], std=[-1.0]),
    )
    found = await refusal(stubs.models.RegisterModel(request))
    assert set(found.fields) == {
        "model_id",
        "weights",
        "signature.architecture",
        "signature.input_shape",
        "signature.classes",
        "signature.mean[0]",
        "signature.std[0]",
    }
    assert "did you mean 'resnet1" in found.fields["signature.architecture"]
    three = await refusal(register_model(stubs, "artifacts/" + "0" * 64, mean=[0.5, 0.5, 0.5]))
    assert set(three.fields) == {"signature.mean"}
    huge = await refusal(register_model(stubs, "artifacts/" + "0" * 64, input_shape=[4, 4096, 4096]))
    assert set(huge.fields) == {"signature.input_shape"}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"PK\x03\x04" + bytes(60), "is it safetensors?"),
        (WEIGHTS[:-1], "bytes"),
        (npy("<f4", [3], 4), "must be a safetensors file"),
        (safetensors(), "must be a safetensors file"),
        (b"x", "too short"),
    ],
)
async def test_a_file_that_is_no_safetensors_is_refused_at_once(stubs, put, refusal, data, words):
    found = await refusal(register_model(stubs, put(data)))
    assert (found.code, found.reason) == ("INVALID_ARGUMENT", "BAD_WEIGHTS")
    assert words in found.fields["weights"]


async def test_weights_that_were_never_uploaded_are_not_found(stubs, refusal):
    name = "artifacts/" + "0" * 64
    found = await refusal(register_model(stubs, name))
    assert (found.code, found.resource) == ("NOT_FOUND", name)


async def test_a_rejected_model_says_why_and_can_not_be_used(stubs, put, worker, refusal, attack):
    model = await register_model(stubs, put(WEIGHTS), "bad", architecture="wong_cnn", input_shape=[1, 28, 28])
    attack.attack.model = model.name
    waiting = await refusal(stubs.jobs.CreateJob(attack))
    assert (waiting.code, waiting.reason) == ("FAILED_PRECONDITION", "NOT_READY")
    assert model.job in waiting.message

    error = status_pb2.Status(code=9, message="tensor w does not fit")
    lease = worker.claim()
    worker.store.fail(lease, "w1", error.SerializeToString(), None)
    rejected = await get_model(stubs, model.name)
    assert (rejected.state, rejected.error) == (M.STATE_REJECTED, error)
    found = await refusal(stubs.jobs.CreateJob(attack))
    assert (found.code, found.reason) == ("FAILED_PRECONDITION", "REJECTED")
    assert "tensor w does not fit" in found.message


async def test_a_check_that_was_cancelled_or_deleted_rejects(stubs, put):
    model = await register_model(stubs, put(WEIGHTS))
    await stubs.jobs.CancelJob(jobs_pb2.CancelJobRequest(name=model.job))
    found = await get_model(stubs, model.name)
    assert (found.state, found.error.message.split(";")[0]) == (
        M.STATE_REJECTED,
        f"the check of {model.name} was cancelled",
    )
    await stubs.jobs.DeleteJob(jobs_pb2.DeleteJobRequest(name=model.job))
    assert "is gone" in (await get_model(stubs, model.name)).error.message


async def test_a_registered_file_is_kept_and_a_deleted_model_lets_go_of_it(stubs, put, refusal):
    weights = put(WEIGHTS)
    model = await register_model(stubs, weights)
    artifact = artifacts_pb2.GetArtifactRequest(name=weights)
    assert not (await stubs.artifacts.GetArtifact(artifact)).HasField("expire_time")
    delete_artifact = artifacts_pb2.DeleteArtifactRequest(name=weights)
    assert (await refusal(stubs.artifacts.DeleteArtifact(delete_artifact))).code == "FAILED_PRECONDITION"

    delete = models_pb2.DeleteModelRequest(name=model.name)
    await stubs.models.DeleteModel(delete)
    assert (await refusal(get_model(stubs, model.name))).code == "NOT_FOUND"
    assert (await refusal(stubs.models.DeleteModel(delete))).code == "NOT_FOUND"
    assert (await stubs.artifacts.GetArtifact(artifact)).HasField("expire_time")
    job = await stubs.jobs.GetJob(jobs_pb2.GetJobRequest(name=model.job))
    assert job.state == jobs_pb2.Job.STATE_CANCELLED, "its check can't bring it back"
    assert (await register_model(stubs, weights)).job != model.job


async def test_models_are_listed_newest_first_in_pages(stubs, put):
    names = [(await register_model(stubs, put(WEIGHTS), f"m{i}")).name for i in range(3)]
    first = await stubs.models.ListModels(models_pb2.ListModelsRequest(page_size=2))
    request = models_pb2.ListModelsRequest(page_size=2, page_token=first.next_page_token)
    second = await stubs.models.ListModels(request)
    assert [model.name for model in (*first.models, *second.models)] == names[::-1]
    assert not second.next_page_token


async def test_a_dataset_is_checked_by_a_job_and_then_ready(stubs, put, worker, attack, model):
    images, labels = put(npy("|u1", [6, 28, 28], 1)), put(npy("<i8", [6], 8))
    dataset = await register_dataset(stubs, images, labels, "mine")
    assert (dataset.name, dataset.state, dataset.source) == ("datasets/mine", D.STATE_CHECKING, 3)
    assert list(dataset.input_shape) == [1, 28, 28]
    assert [(split.name, split.count, list(split.class_counts)) for split in dataset.splits] == [("all", 6, [])]
    sha = [name.removeprefix("artifacts/") for name in (images, labels)]
    assert dataset.digest == "+".join(sha)
    intake = (await stubs.jobs.GetJob(jobs_pb2.GetJobRequest(name=dataset.job))).intake.dataset
    assert [intake.images_sha256, intake.labels_sha256] == sha

    ready = D()
    ready.CopyFrom(dataset)
    ready.state = D.STATE_READY
    registration = Registration(kind="dataset", id="mine", record=ready.SerializeToString())
    await asyncio.to_thread(worker.finish_all, None, registration)
    attack.attack.data.CopyFrom(datasets_pb2.DataSelection(dataset="mine"))
    job = await stubs.jobs.CreateJob(attack)
    assert [job.resolution.data.images_sha256, job.resolution.data.labels_sha256] == sha
    assert (job.resolution.data.split, job.resolution.data.count) == ("all", 6)


async def test_one_file_may_hold_pictures_and_labels(stubs, put):
    both = put(BOTH)
    dataset = await register_dataset(stubs, both)
    assert dataset.digest == both.removeprefix("artifacts/")
    assert dataset.name == f"datasets/{hashlib.sha256(dataset.digest.encode()).hexdigest()[:16]}"
    assert await register_dataset(stubs, both) == dataset
    assert await register_dataset(stubs, both, both) == dataset


@pytest.mark.parametrize(
    ("images", "labels", "fields"),
    [
        (safetensors(x=("F64", [6, 1, 5, 5], 8)), npy("<f4", [6], 4), {"images", "labels"}),
        (npy("|u1", [6, 5], 1), npy("<i8", [6, 1], 8), {"images", "labels"}),
        (npy("|u1", [6, 5, 5], 1), npy("<i8", [7], 8), {"labels"}),
        (npy("|u1", [0, 5, 5], 1), npy("<i8", [0], 8), {"images"}),
        (npy("|u1", [2, 1, 5000, 2], 1), npy("<i8", [2], 8), {"images"}),
        (safetensors(pictures=PICTURES), safetensors(labels=LABELS), {"images", "labels"}),
        (BOTH[:-1], None, {"images"}),
        (safetensors(x=PICTURES), None, {"labels"}),
        (npy("|u1", [6, 5, 5], 1), None, {"labels"}),
    ],
)
async def test_arrays_that_do_not_fit_are_refused_at_once(request, stubs, images, labels, fields):
    put, refusal = request.getfixturevalue("put"), request.getfixturevalue("refusal")
    found = await refusal(register_dataset(stubs, put(images), "" if labels is None else put(labels)))
    assert found.code == "INVALID_ARGUMENT"
    assert set(found.fields) == fields


async def test_every_bad_field_of_a_dataset_comes_at_once(stubs, refusal):
    found = await refusal(register_dataset(stubs, "", "labels.npy", "a b", classes=1))
    assert set(found.fields) == {"dataset_id", "images", "labels", "classes"}


async def test_the_names_of_built_in_and_mounted_data_are_taken(stubs, put, job_store, refusal):
    mounted = D(name="datasets/flowers", state=D.STATE_READY, source=datasets_pb2.DATASET_SOURCE_MOUNTED)
    job_store.announce_mount(mounted.SerializeToString(), "flowers")
    for name in ("mnist10k", "flowers"):
        assert (await refusal(register_dataset(stubs, put(BOTH), dataset_id=name))).code == "ALREADY_EXISTS"
        delete = datasets_pb2.DeleteDatasetRequest(name=f"datasets/{name}")
        found = await refusal(stubs.datasets.DeleteDataset(delete))
        assert (found.code, found.reason) == ("FAILED_PRECONDITION", "NOT_UPLOADED")


@pytest.mark.parametrize("size", [1, 2, 3, 4, 100])
async def test_datasets_are_listed_built_in_first_then_mounted_then_uploaded(stubs, put, job_store, size):
    for name in ("b", "a"):
        mounted = D(name=f"datasets/{name}", state=D.STATE_READY, source=datasets_pb2.DATASET_SOURCE_MOUNTED)
        job_store.announce_mount(mounted.SerializeToString(), name)
    for name in ("old", "new"):
        await register_dataset(stubs, put(BOTH), dataset_id=name)
    listed, token = [], ""
    while True:
        page = await stubs.datasets.ListDatasets(datasets_pb2.ListDatasetsRequest(page_size=size, page_token=token))
        assert len(page.datasets) <= size
        listed += [dataset.name.removeprefix("datasets/") for dataset in page.datasets]
        token = page.next_page_token
        if not token:
            break
    assert listed == ["mnist10k", "digits", "imagenet20", "a", "b", "new", "old"]


async def test_an_uploaded_dataset_is_deleted(stubs, put, refusal):
    dataset = await register_dataset(stubs, put(BOTH))
    await stubs.datasets.DeleteDataset(datasets_pb2.DeleteDatasetRequest(name=dataset.name))
    found = await refusal(stubs.datasets.GetDataset(datasets_pb2.GetDatasetRequest(name=dataset.name)))
    assert (found.code, found.resource) == ("NOT_FOUND", dataset.name)


async def test_a_mounted_folder_is_resolved_by_name(stubs, attack, job_store):
    mounted = D(
        name="datasets/flowers",
        state=D.STATE_READY,
        source=datasets_pb2.DATASET_SOURCE_MOUNTED,
        input_shape=[1, 28, 28],
        classes=10,
        splits=[datasets_pb2.Split(name="val", count=70)],
    )
    job_store.announce_mount(mounted.SerializeToString(), "flowers")
    attack.attack.data.CopyFrom(datasets_pb2.DataSelection(dataset="flowers", split="val"))
    attack.attack.attack.CopyFrom(attacks_pb2.Attack(bim=attacks_pb2.Bim()))
    data = (await stubs.jobs.CreateJob(attack)).resolution.data
    assert (data.dataset, data.source, data.split, data.count) == ("flowers", 2, "val", 70)
