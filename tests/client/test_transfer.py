"""Uploads and downloads survive disconnects, end with the right bytes, and leave nothing behind when they can't."""

from __future__ import annotations

import asyncio
import hashlib
import threading

import grpc
import pytest
import sparring
from sparring import content, errors

MIB = 2**20
CONTENT = bytes(range(256)) * (5 * MIB // 256) + b"the last half chunk" * 1000
UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "connection reset")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_upload_sends_every_byte_once(either, service):
    artifact = either.artifacts.upload(CONTENT, media_type="text/plain")
    assert service.artifacts[artifact.name] == (CONTENT, "text/plain")
    assert artifact.name == f"artifacts/{hashlib.sha256(CONTENT).hexdigest()}"


def test_bytes_that_the_service_holds_are_not_sent(either, service):
    name = service.keep(CONTENT)
    assert either.artifacts.upload(CONTENT).name == name
    assert service.requests("UploadArtifact") == []


def test_an_upload_from_a_file_resumes_at_the_committed_offset(either, service, tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(CONTENT)
    service.cuts["UploadArtifact"].extend([2, 1])
    seen = []
    artifact = either.artifacts.upload(path, on_progress=lambda done, total: seen.append((done, total)))
    assert service.artifacts[artifact.name][0] == CONTENT
    assert [first.offset for first in service.requests("UploadArtifact")] == [0, 2 * MIB, 3 * MIB]
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_an_upload_whose_last_answer_was_lost_finds_its_artifact(either, service):
    service.cuts["UploadArtifact"].append("unanswered")
    assert service.artifacts[either.artifacts.upload(CONTENT).name][0] == CONTENT
    assert len(service.requests("UploadArtifact")) == 1


def test_an_upload_goes_on_when_the_question_for_the_offset_fails_too(either, service):
    service.cuts["UploadArtifact"].append(2)
    service.failures["QueryUpload"].extend([UNAVAILABLE] * 5)
    assert service.artifacts[either.artifacts.upload(CONTENT).name][0] == CONTENT


def test_an_upload_gives_up_when_the_outage_outlasts_patience(connect, service):
    impatient = connect(patience_s=0.3)
    service.cuts["UploadArtifact"].extend([0] * 100)
    with pytest.raises(errors.Unreachable):
        impatient.artifacts.upload(CONTENT)


def test_an_upload_with_the_wrong_digest_is_not_repeated(either, service):
    service.failures["UploadArtifact"].append((grpc.StatusCode.DATA_LOSS, "wrong digest"))
    with pytest.raises(errors.DataLoss, match="wrong digest"):
        either.artifacts.upload(CONTENT)
    assert len(service.requests("UploadArtifact")) == 1


def test_a_service_that_ends_an_upload_in_its_midst_is_heard(either, service, monkeypatch):
    monkeypatch.setattr(content, "CHUNK_BYTES", 2**16)
    service.cut_with = (grpc.StatusCode.DATA_LOSS, "wrong digest")
    service.cuts["UploadArtifact"].extend([3] * 100)
    for number in range(100):
        with pytest.raises(errors.DataLoss, match="wrong digest"):
            either.artifacts.upload(CONTENT[number : number + 12 * 2**16])
    assert len(service.requests("UploadArtifact")) == 100


def test_a_write_that_fails_before_the_status_comes_does_not_stand_for_it(either, service, monkeypatch):
    # What grpc.aio makes of a call that the service ends while a message is being written, in one case of a hundred.
    async def lost():
        metadata = grpc.aio.Metadata()
        raise grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, metadata, metadata, "Internal error from Core")

    monkeypatch.setattr("grpc.aio._channel.StreamUnaryMultiCallable.__call__", lambda *_, **__: lost())
    service.failures["UploadArtifact"].append((grpc.StatusCode.DATA_LOSS, "wrong digest"))
    with pytest.raises(errors.DataLoss, match="wrong digest"):
        either.artifacts.upload(CONTENT)


def test_a_file_that_can_not_be_read_to_its_end_says_so_itself(either, service, tmp_path, monkeypatch):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(CONTENT)
    service.cuts["UploadArtifact"].append(2)

    def gone(_done, _total):
        path.unlink(missing_ok=True)

    with pytest.raises(FileNotFoundError):
        either.artifacts.upload(path, on_progress=gone)


def test_an_upload_that_is_abandoned_cancels_its_call(server, service):
    async def leave():
        sending, ended = asyncio.Event(), threading.Event()
        service.delays_s["UploadArtifact"] = 0.2
        loop = asyncio.get_running_loop()

        def slowly(_done, _total):
            loop.call_soon_threadsafe(sending.set)
            ended.wait(5)

        async with sparring.connect_async(server.target) as client:
            upload = asyncio.create_task(client.artifacts.upload(CONTENT, on_progress=slowly))
            await sending.wait()
            upload.cancel()
            with pytest.raises(asyncio.CancelledError):
                await upload
            ended.set()

    asyncio.run(leave())
    assert service.artifacts == {}


@pytest.mark.parametrize("held", [bytearray(CONTENT), memoryview(CONTENT)], ids=type)
def test_buffers_upload_as_bytes_do(client, service, held):
    assert service.artifacts[client.artifacts.upload(held).name][0] == CONTENT


def test_a_download_into_a_file_resumes_by_offset(either, service, tmp_path):
    name = service.keep(CONTENT)
    service.cuts["DownloadArtifact"].extend([3, 0, 4])
    seen = []
    path = either.artifacts.download(
        name, tmp_path / "got.bin", on_progress=lambda done, total: seen.append((done, total))
    )
    assert path.read_bytes() == CONTENT
    assert [r.offset for r in service.requests("DownloadArtifact")] == [0, 3 * MIB // 2, 3 * MIB // 2, 7 * MIB // 2]
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert names(tmp_path) == ["got.bin"]


def test_a_download_into_memory(either, service):
    assert either.artifacts.read(service.keep(CONTENT).removeprefix("artifacts/")) == CONTENT


def test_a_download_with_the_wrong_digest_leaves_nothing(either, service, tmp_path):
    name = service.keep(CONTENT)
    service.corrupt = True
    with pytest.raises(errors.DataLoss, match="nothing was kept"):
        either.artifacts.download(name, tmp_path / "got.bin")
    assert names(tmp_path) == []


def test_a_failed_download_keeps_the_file_that_was_there(either, service, tmp_path):
    name = service.keep(CONTENT)
    service.corrupt = True
    (tmp_path / "got.bin").write_bytes(b"older")
    with pytest.raises(errors.DataLoss):
        either.artifacts.download(name, tmp_path / "got.bin")
    assert (tmp_path / "got.bin").read_bytes() == b"older"


def test_a_downloaded_file_has_the_usual_permissions(client, service, tmp_path):
    usual = tmp_path / "usual"
    usual.touch()
    got = client.artifacts.download(service.keep(b"x"), tmp_path / "got")
    assert got.stat().st_mode == usual.stat().st_mode


def test_an_unknown_artifact_is_not_found(either, tmp_path):
    with pytest.raises(errors.NotFound):
        either.artifacts.download("artifacts/" + "0" * 64, tmp_path / "got")
    assert names(tmp_path) == []


def test_a_model_is_uploaded_registered_and_checked(either, service):
    service.checks = 2
    model = either.models.upload(CONTENT, architecture="wong_cnn", input_shape=(1, 28, 28), classes=10, model_id="net")
    assert model.name == "models/net"
    assert model.state == model.STATE_READY
    (request,) = service.requests("RegisterModel")
    assert request.weights in service.artifacts
    assert list(request.signature.input_shape) == [1, 28, 28]
    assert len(service.requests("GetModel")) == 3


def test_a_rejected_model_raises_what_is_wrong_with_it(either, service, fake):
    service.verdict = fake.status_of(
        grpc.StatusCode.INVALID_ARGUMENT, "fc1.weight has the wrong shape", reason="WRONG_SHAPE"
    )
    with pytest.raises(errors.InvalidArgument, match=r"fc1\.weight") as caught:
        either.models.upload(b"x", architecture="wong_cnn", input_shape=(1, 28, 28), classes=10, model_id="net")
    assert caught.value.reason == "WRONG_SHAPE"


def test_a_model_that_nobody_checks_times_out_with_advice(either, service):
    service.checks = 1000
    with pytest.raises(errors.TimedOut, match="no worker has checked"):
        either.models.upload(
            b"x", architecture="mlp", input_shape=(1, 28, 28), classes=10, model_id="net", timeout_s=0.3
        )


def test_a_dataset_is_uploaded_in_two_parts(either, service):
    dataset = either.datasets.upload(b"images", b"labels", classes=10, dataset_id="mine", wait=False)
    assert dataset.state == dataset.STATE_CHECKING
    (request,) = service.requests("RegisterDataset")
    assert service.artifacts[request.images][0] == b"images"
    assert service.artifacts[request.labels][0] == b"labels"
