"""An artifact's bytes as they come, for readers that neither keep the whole nor write it to a file.

A cut-off stream goes on where it stood. Where the whole is read, its SHA-256 is compared at the end, so DataLoss may
come after the last byte: a reader that passes bytes on has to break off then.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from sparring.channel import STREAM_S
from sparring.errors import DataLoss, ServiceError
from sparring.resume import INTERRUPTIONS, Patience
from sparring.v1.artifacts_pb2 import Artifact, DownloadArtifactRequest, DownloadArtifactResponse, GetArtifactRequest
from sparring.v1.artifacts_pb2_grpc import ArtifactServiceStub

if TYPE_CHECKING:
    from sparring.aio_caller import AsyncCaller
    from sparring.caller import Caller


class Reading:
    """Where the reading of one artifact stands: bytes [offset, end) are still to come."""

    def __init__(self, held: Artifact, offset: int, limit: int, patience: Patience) -> None:
        self._held = held
        self.offset = offset
        self.end = held.size_bytes if limit == 0 else min(held.size_bytes, offset + limit)
        self._digest = hashlib.sha256() if (offset, self.end) == (0, held.size_bytes) else None
        self._patience = patience

    def request(self) -> DownloadArtifactRequest:
        """Ask for what is left."""
        return DownloadArtifactRequest(name=self._held.name, offset=self.offset, limit=self.end - self.offset)

    def take(self, message: DownloadArtifactResponse) -> bytes:
        """Give the message's bytes, which have to be the next ones."""
        if message.offset != self.offset:
            raise DataLoss(f"bytes from {message.offset} on came where {self.offset} was due; download again")
        data = message.data
        self.offset += len(data)
        self._patience.progressed()
        if self._digest is not None:
            self._digest.update(data)
        return data

    def delay_s(self, cause: ServiceError | None) -> float:
        """Seconds to wait before going on; raises the cause once patience is spent."""
        short = DataLoss(f"the download of {self._held.name} ends before its {self.end} bytes")
        return self._patience.delay_s(short if cause is None else cause)

    def check(self) -> None:
        """Raise DataLoss where the whole was read and does not have its SHA-256."""
        if self._digest is not None and self._digest.hexdigest() != self._held.name.removeprefix("artifacts/"):
            raise DataLoss(f"the bytes of {self._held.name} have another SHA-256", reason="DIGEST_MISMATCH")


def read(caller: Caller, stub: ArtifactServiceStub, name: str, offset: int, limit: int) -> Iterator[bytes]:
    """Yield bytes with blocking calls."""
    held = caller.call(stub.GetArtifact, GetArtifactRequest(name=name))
    reading = Reading(held, offset, limit, caller.patience())
    while reading.offset < reading.end:
        cause = None
        try:
            for message in caller.stream(stub.DownloadArtifact, reading.request(), STREAM_S):
                yield reading.take(message)
        except INTERRUPTIONS as error:
            cause = error
        if reading.offset < reading.end:
            time.sleep(reading.delay_s(cause))
    reading.check()


async def read_async(caller: AsyncCaller, stub: Any, name: str, offset: int, limit: int) -> AsyncGenerator[bytes, None]:
    """Yield bytes on an event loop; `stub` is that of the artifacts on an asyncio channel."""
    held: Artifact = await caller.call(stub.GetArtifact, GetArtifactRequest(name=name))
    reading = Reading(held, offset, limit, caller.patience())
    while reading.offset < reading.end:
        cause = None
        try:
            async with aclosing(caller.stream(stub.DownloadArtifact, reading.request(), STREAM_S)) as messages:
                async for message in messages:
                    yield reading.take(message)
        except INTERRUPTIONS as error:
            cause = error
        if reading.offset < reading.end:
            await asyncio.sleep(reading.delay_s(cause))
    reading.check()
