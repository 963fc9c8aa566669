"""Artifacts of the fake: uploads that keep whole chunks, downloads from an offset."""

# ruff: noqa: N802 - the contract's names
from __future__ import annotations

import hashlib

import grpc
from sparring.v1 import artifacts_pb2, artifacts_pb2_grpc

from .base import MIB, status_of


class Artifacts(artifacts_pb2_grpc.ArtifactServiceServicer):
    def __init__(self):
        super().__init__()
        self.artifacts, self.uploads = {}, {}
        self.corrupt = False  # downloads send a wrong last byte
        self.cut_with = (grpc.StatusCode.UNAVAILABLE, "connection reset")  # how a cut upload ends

    def keep(self, content, media_type="application/octet-stream"):
        name = f"artifacts/{hashlib.sha256(content).hexdigest()}"
        self.artifacts[name] = (content, media_type)
        return name

    def describe(self, name):
        content, media_type = self.artifacts[name]
        return artifacts_pb2.Artifact(name=name, size_bytes=len(content), media_type=media_type)

    def BeginUpload(self, request, context):
        self.enter("BeginUpload", request, context)
        name = f"artifacts/{request.sha256}"
        if name in self.artifacts:
            return artifacts_pb2.BeginUploadResponse(artifact=self.describe(name))
        upload_id = f"upload-{len(self.uploads) + 1}"
        self.uploads[upload_id] = (request, bytearray())
        return artifacts_pb2.BeginUploadResponse(upload_id=upload_id)

    def UploadArtifact(self, request_iterator, context):
        first = next(request_iterator)
        self.enter("UploadArtifact", first, context)
        if first.upload_id not in self.uploads:
            self.missing(context, first.upload_id)
        declared, kept = self.uploads[first.upload_id]
        if first.offset != len(kept):
            self.abort(context, status_of(grpc.StatusCode.OUT_OF_RANGE, f"{len(kept)} bytes are kept"))
        cut = self.cut_after("UploadArtifact")
        for taken, message in enumerate((first, *request_iterator)):
            if taken == cut:
                break
            kept.extend(message.data)
        if cut is not None and cut != "unanswered":
            context.abort(*self.cut_with)
        if hashlib.sha256(kept).hexdigest() != declared.sha256:
            self.abort(context, status_of(grpc.StatusCode.DATA_LOSS, "wrong digest", reason="DIGEST_MISMATCH"))
        name = self.keep(bytes(kept), declared.media_type)
        del self.uploads[first.upload_id]
        if cut == "unanswered":
            context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")
        return artifacts_pb2.UploadArtifactResponse(committed_bytes=len(kept), artifact=self.describe(name))

    def QueryUpload(self, request, context):
        self.enter("QueryUpload", request, context)
        if request.upload_id not in self.uploads:
            self.missing(context, request.upload_id)
        declared, kept = self.uploads[request.upload_id]
        # Half a chunk is not kept.
        whole = len(kept) if len(kept) == declared.size_bytes else len(kept) // MIB * MIB
        del kept[whole:]
        return artifacts_pb2.QueryUploadResponse(committed_bytes=whole, size_bytes=declared.size_bytes)

    def GetArtifact(self, request, context):
        self.enter("GetArtifact", request, context)
        if request.name not in self.artifacts:
            self.missing(context, request.name)
        return self.describe(request.name)

    def DownloadArtifact(self, request, context):
        self.enter("DownloadArtifact", request, context)
        content, _ = self.artifacts[request.name]
        if self.corrupt:
            content = content[:-1] + b"?"
        cut = self.cut_after("DownloadArtifact")
        for sent, offset in enumerate(range(request.offset, len(content), MIB // 2)):
            if sent == cut:
                break
            yield artifacts_pb2.DownloadArtifactResponse(offset=offset, data=content[offset : offset + MIB // 2])
        if cut is not None:
            context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")

    def DeleteArtifact(self, request, context):
        self.enter("DeleteArtifact", request, context)
        if self.artifacts.pop(request.name, None) is None:
            self.missing(context, request.name)
        return artifacts_pb2.DeleteArtifactResponse()
