"""Uploads and downloads as flows: resumed where they were cut off, verified at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from sparring.content import Sink, Source
from sparring.errors import DataLoss, NotFound, OutOfRange, ServiceError
from sparring.flow import Call, Flow, Pause, Receive, Send, Work
from sparring.resume import INTERRUPTIONS, Patience
from sparring.v1.artifacts_pb2 import (
    Artifact,
    BeginUploadRequest,
    BeginUploadResponse,
    DownloadArtifactRequest,
    DownloadArtifactResponse,
    GetArtifactRequest,
    QueryUploadRequest,
    QueryUploadResponse,
    UploadArtifactRequest,
    UploadArtifactResponse,
)
from sparring.v1.artifacts_pb2_grpc import ArtifactServiceStub

Report = Callable[[int, int], None]  # (bytes done, bytes in all)


def upload(
    stub: ArtifactServiceStub, source: Source, media_type: str, patience: Patience, report: Report | None
) -> Flow[Artifact]:
    """Upload bytes that the service does not hold yet; a cut-off stream goes on at the committed offset."""
    yield Work(source.measure)
    begin = BeginUploadRequest(sha256=source.sha256, size_bytes=source.size_bytes, media_type=media_type)
    while True:
        begun: BeginUploadResponse = yield Call(stub.BeginUpload, begin)
        if begun.HasField("artifact"):
            return begun.artifact
        # An upload that is not known any more has lapsed, or was sealed and its answer lost: beginning again tells.
        try:
            return (yield from _send(stub, source, begun.upload_id, patience, report))
        except NotFound as error:
            yield Pause(patience.delay_s(error))


def _send(
    stub: ArtifactServiceStub, source: Source, upload_id: str, patience: Patience, report: Report | None
) -> Flow[Artifact]:
    committed = 0
    while True:
        try:
            sent: UploadArtifactResponse = yield Send(partial(_messages, source, upload_id, committed, report))
        except (*INTERRUPTIONS, OutOfRange) as error:
            cause: ServiceError = error
        else:
            if sent.HasField("artifact"):
                return sent.artifact
            cause = DataLoss("the service kept only a part of the upload; was the file cut short meanwhile?")
        yield Pause(patience.delay_s(cause))
        with suppress(*INTERRUPTIONS):
            kept: QueryUploadResponse = yield Call(stub.QueryUpload, QueryUploadRequest(upload_id=upload_id))
            if kept.committed_bytes > committed:
                patience.progressed()
            committed = kept.committed_bytes


def _messages(source: Source, upload_id: str, offset: int, report: Report | None) -> Iterator[UploadArtifactRequest]:
    """What is left of an upload; at least one message, so that one that is whole but not sealed gets sealed."""
    done = offset
    if done == source.size_bytes:
        yield UploadArtifactRequest(upload_id=upload_id, offset=done)
    for chunk in source.chunks(offset):
        # A file that grows while it is sent is sent as it was measured.
        data = chunk[: source.size_bytes - done]
        if not data:
            return
        yield UploadArtifactRequest(upload_id=upload_id, offset=done, data=data)
        done += len(data)
        if report is not None:
            report(done, source.size_bytes)


def download(
    stub: ArtifactServiceStub, name: str, path: Path | None, patience: Patience, report: Report | None
) -> Flow[bytes]:
    """Download an artifact into memory, or into a file (the answer is empty then); resumed by offset, then checked."""
    held: Artifact = yield Call(stub.GetArtifact, GetArtifactRequest(name=name))
    sink: Sink = yield Work(partial(Sink, path))

    def take(message: DownloadArtifactResponse) -> None:
        sink.take(message)
        patience.progressed()
        if report is not None:
            report(sink.offset, held.size_bytes)

    try:
        while sink.offset < held.size_bytes:
            request = DownloadArtifactRequest(name=name, offset=sink.offset)
            cause: ServiceError = DataLoss(f"the download of {name} ends before its {held.size_bytes} bytes")
            try:
                yield Receive(stub.DownloadArtifact, request, take)
            except INTERRUPTIONS as error:
                cause = error
            if sink.offset < held.size_bytes:
                yield Pause(patience.delay_s(cause))
        content: bytes = yield Work(partial(sink.seal, held.name.removeprefix("artifacts/")))
        return content
    finally:
        sink.close()
