"""ArtifactService: bytes in and out."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import grpc
from sparring.v1 import artifacts_pb2, artifacts_pb2_grpc
from typing_extensions import override

from services import faultpoints
from services.artifacts.store import ArtifactInfo, AsyncArtifactStore
from services.errors import InvalidArgument, NotFound, Violation
from services.gateway import wire
from services.gateway.identity import current
from services.gateway.names import required_digest, shown
from services.gateway.render import timestamp

Context = grpc.aio.ServicerContext[Any, Any]

DEFAULT_MEDIA_TYPE = "application/octet-stream"
MAX_MESSAGE_BYTES = 2 << 20
_UPLOAD_ID = re.compile(r"[0-9a-f]{32}")


class Artifacts(artifacts_pb2_grpc.ArtifactServiceServicer):
    """Translates between the contract and the artifact store."""

    def __init__(self, store: AsyncArtifactStore) -> None:
        self._store = store

    @override
    async def BeginUpload(
        self, request: artifacts_pb2.BeginUploadRequest, context: Context
    ) -> artifacts_pb2.BeginUploadResponse:
        media_type = request.media_type or DEFAULT_MEDIA_TYPE
        begun = await self._store.begin(current().tenant, request.sha256, request.size_bytes, media_type)
        if isinstance(begun, ArtifactInfo):
            return artifacts_pb2.BeginUploadResponse(artifact=artifact(begun))
        return artifacts_pb2.BeginUploadResponse(upload_id=begun)

    @override
    async def UploadArtifact(
        self, request_iterator: AsyncIterator[artifacts_pb2.UploadArtifactRequest], context: Context
    ) -> artifacts_pb2.UploadArtifactResponse:
        tenant, upload_id = current().tenant, ""
        position = size = 0
        async for message in request_iterator:
            if not upload_id:
                upload_id, position = required_upload(message.upload_id), message.offset
                _, size = await self._store.query(tenant, upload_id)
            data = message.data  # each reading of the field copies it
            _check_message(message.upload_id, len(data), upload_id)
            await self._store.append(tenant, upload_id, position, data)
            faultpoints.reach("gateway.chunk_kept")
            position += len(data)
        if not upload_id:
            raise InvalidArgument([Violation("upload_id", "must be set in the first message, and there was none")])
        if position == size:
            sealed = await self._store.seal(tenant, upload_id)
            return artifacts_pb2.UploadArtifactResponse(committed_bytes=size, artifact=artifact(sealed))
        committed, _ = await self._store.query(tenant, upload_id)
        return artifacts_pb2.UploadArtifactResponse(committed_bytes=committed)

    @override
    async def QueryUpload(
        self, request: artifacts_pb2.QueryUploadRequest, context: Context
    ) -> artifacts_pb2.QueryUploadResponse:
        committed, size = await self._store.query(current().tenant, required_upload(request.upload_id))
        return artifacts_pb2.QueryUploadResponse(committed_bytes=committed, size_bytes=size)

    @override
    async def DownloadArtifact(  # type: ignore[override]  # messages come encoded: see `wire`
        self, request: artifacts_pb2.DownloadArtifactRequest, context: Context
    ) -> AsyncIterator[bytes]:
        digest = required_digest(request.name)
        if request.limit < 0:
            raise InvalidArgument([Violation("limit", f"must not be negative, not {request.limit}; 0 means all")])
        async for offset, data in self._store.read(current().tenant, digest, request.offset, request.limit):
            yield wire.download_response(offset, data)
            faultpoints.reach("gateway.chunk_sent")

    @override
    async def GetArtifact(self, request: artifacts_pb2.GetArtifactRequest, context: Context) -> artifacts_pb2.Artifact:
        return artifact(await self._store.stat(current().tenant, required_digest(request.name)))

    @override
    async def DeleteArtifact(
        self, request: artifacts_pb2.DeleteArtifactRequest, context: Context
    ) -> artifacts_pb2.DeleteArtifactResponse:
        await self._store.delete(current().tenant, required_digest(request.name))
        return artifacts_pb2.DeleteArtifactResponse()


def add_to_server(servicer: Artifacts, server: grpc.aio.Server) -> None:
    """Register the service, its download by the way that does not copy."""
    artifacts_pb2_grpc.add_ArtifactServiceServicer_to_server(servicer, server)
    wire.register_download(servicer.DownloadArtifact, server)


def artifact(info: ArtifactInfo) -> artifacts_pb2.Artifact:
    """Describe an artifact."""
    return artifacts_pb2.Artifact(
        name=f"artifacts/{info.sha256}",
        size_bytes=info.size_bytes,
        media_type=info.media_type,
        create_time=timestamp(info.created_ms),
        expire_time=None if info.expires_ms is None else timestamp(info.expires_ms),
    )


def required_upload(upload_id: str) -> str:
    """Return the id of an upload; one that no BeginUpload has made is not there."""
    if not upload_id:
        raise InvalidArgument([Violation("upload_id", "must be set to what BeginUpload answered")])
    if _UPLOAD_ID.fullmatch(upload_id) is None:
        raise NotFound("Upload", upload_id[:80], f"there is no upload {shown(upload_id)}")
    return upload_id


def _check_message(named: str, size_bytes: int, upload_id: str) -> None:
    """Check what the store does not look at: one stream is one upload, in messages of a bounded size."""
    violations = []
    if named not in ("", upload_id):
        violations.append(Violation("upload_id", "is another one than in the first message"))
    if size_bytes > MAX_MESSAGE_BYTES:
        violations.append(Violation("data", f"must have at most {MAX_MESSAGE_BYTES} bytes, not {size_bytes}"))
    if violations:
        raise InvalidArgument(violations)
