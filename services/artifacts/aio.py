"""The artifacts, for the gateway: resumable uploads, reads that run ahead, hashing off the event loop.

Chunks are read by threads with connections of their own: there a chunk is copied less often than on its way through
asyncio, and is compared with its digest where it arrives, so a download keeps more than one core busy.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from services.artifacts import calls
from services.artifacts.ahead import PIECE_BYTES, Ahead
from services.artifacts.calls import ArtifactInfo, Manifest
from services.artifacts.care import Care
from services.artifacts.digest import CHUNK_BYTES, chunk_count
from services.artifacts.outside import connect_outside
from services.artifacts.reading import Reader
from services.artifacts.shelves import Shelf
from services.artifacts.staging import Inside, OnShelf, Staging, no_store_outside
from services.artifacts.uploads import Upload
from services.connection import AsyncRedis, MemoryGauge, connect, translated, unless_error
from services.errors import DataLoss, OutOfRange
from services.jobs.quotas import check_quota
from services.settings import StoreSettings

Result = TypeVar("Result")

# Uploads that one gateway keeps in mind; the one that was quiet longest has to be resumed. A quiet one holds less than
# 1 MiB, one whose bytes are coming also what has gathered and what is under way: 2 * `uploads.GATHERED` MiB.
UPLOADS_IN_MIND = 256
# Threads that read for all downloads, here and outside, where each waits longer for an answer.
THREADS, THREADS_OUTSIDE = 4, 16


class AsyncArtifactStore:
    """What the gateway reads and writes. New bytes are refused where the store is too full for them."""

    def __init__(self, redis: AsyncRedis, settings: StoreSettings) -> None:
        self._redis = redis
        self._reading = connect(settings)
        self._outside = connect_outside(settings.artifacts, self._reading)
        self._reader = Reader(self._reading, self._outside)
        self.care = Care(self._outside, self._reading)
        threads = THREADS if self._outside is None else THREADS_OUTSIDE
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="sparring-artifacts")
        self._settings = settings
        self._gauge = MemoryGauge(self._settings)
        self._ttl_ms = round(self._settings.artifact_ttl_s * 1000)
        self._ahead = Ahead(self._threads)
        self._uploads: OrderedDict[tuple[str, str], Upload] = OrderedDict()

    async def _execute(self, command: tuple[Any, ...]) -> Any:
        with translated():
            return await self._redis.execute_command(*command)  # type: ignore[no-untyped-call]

    async def aclose(self) -> None:
        """Close the connections of its own; the client that it was given is its owner's."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self._reading.close()
        if self._outside is not None:
            self._outside.close()

    async def _in_thread(self, call: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def _execute_all(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """Send several commands at once, in order; raises the first error."""
        with translated():
            async with self._redis.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                return unless_error(await pipeline.execute(raise_on_error=False))

    async def usage(self) -> float:
        """The share of the store's memory that is in use, 0 to 1; 0 where it has no limit."""
        if self._gauge.due():
            with translated():
                self._gauge.note(await self._redis.info("memory"))
        return self._gauge.share()

    async def begin(self, tenant: str, sha256: str, size: int, media_type: str) -> str | ArtifactInfo:
        """Open an upload and return its id, or the artifact where its bytes are held already.

        InvalidArgument: a bad digest, size or media type. ResourceExhausted: no room for the declared size;
        QuotaExceeded: the tenant's quota has none.
        """
        calls.check_declared(sha256, size, media_type, self._settings.max_artifact_bytes)
        held = await self._execute(calls.function("artifact_touch", tenant, sha256, self._ttl_ms))
        if held is not None:
            return calls.info(sha256, held)
        await self.usage()
        upload_id, store = uuid.uuid4().hex, []
        if self._outside is None:
            self._gauge.admit(size)
        else:
            self._gauge.admit()
            store = [await self._in_thread(self._outside.id)]
            await self._in_thread(partial(self._outside.admit, size))
        begin = calls.function("upload_begin", tenant, upload_id, sha256, size, media_type, *store)
        check_quota(tenant, await self._execute(begin))
        if store:
            # Kept in mind from the start: nobody else has written to its shelf.
            shelf = Shelf(store[0], upload_id, ())
            fresh = calls.nothing_staged(sha256, size, media_type, shelf)
            self._remember(Upload(tenant, upload_id, fresh, self._staging(tenant, upload_id, fresh)))
        return upload_id

    async def append(self, tenant: str, upload_id: str, offset: int, chunk: bytes) -> None:
        """Take bytes: the next ones, or those after the committed ones. NotFound, OutOfRange."""
        upload = await self._upload(tenant, upload_id)
        if not upload.follows(offset):
            upload = await self._caught_up(upload)
        async with self._kept(upload):
            await upload.append(offset, chunk)

    async def query(self, tenant: str, upload_id: str) -> tuple[int, int]:
        """Committed bytes and declared size. NotFound."""
        upload = self._uploads.get((tenant, upload_id))
        if upload is not None:
            async with self._kept(upload):
                await upload.flush()
        staged = await self._staged(tenant, upload_id)
        return staged.committed_bytes, staged.size_bytes

    async def seal(self, tenant: str, upload_id: str) -> ArtifactInfo:
        """Compare the whole with its digest and make it an artifact.

        NotFound. OutOfRange: bytes are missing. DataLoss: other bytes than declared; the upload is gone.
        """
        upload = await self._upload(tenant, upload_id)
        staged = upload.staged
        try:
            async with self._kept(upload):
                digests = await upload.whole()
        except DataLoss:
            await self._execute(calls.function("upload_drop", tenant, upload_id))
            raise
        what = (staged.sha256, staged.size_bytes, staged.media_type, digests, self._ttl_ms, "", int(upload.resumed))
        sealed = await self._execute(calls.function("artifact_seal", tenant, upload_id, *what))
        self._forget(tenant, upload_id)
        if sealed == b"INCOMPLETE":
            raise calls.no_upload(upload_id)
        return calls.info(staged.sha256, sealed)

    async def _caught_up(self, upload: Upload) -> Upload:
        """The upload as the store knows it: another gateway may have taken a part of it."""
        async with self._kept(upload):
            await upload.flush()
        if (await self._staged(upload.tenant, upload.id)).chunks != upload.sent_chunks:
            self._forget(upload.tenant, upload.id)
        return await self._upload(upload.tenant, upload.id)

    @asynccontextmanager
    async def _kept(self, upload: Upload) -> AsyncIterator[None]:
        """One stream at a time; after a failure only the store knows what is kept, so it is asked afresh."""
        async with upload.lock:
            try:
                yield
            except BaseException as error:
                if upload.broken or not isinstance(error, OutOfRange):
                    self._forget(upload.tenant, upload.id)
                raise

    async def _staged(self, tenant: str, upload_id: str) -> calls.Staged:
        return calls.staged(upload_id, await self._execute(calls.read_upload(tenant, upload_id)))

    async def _upload(self, tenant: str, upload_id: str) -> Upload:
        upload = self._uploads.get((tenant, upload_id))
        if upload is None:
            staged = await self._staged(tenant, upload_id)
            upload = Upload(tenant, upload_id, staged, self._staging(tenant, upload_id, staged))
            await upload.catch_up()
        self._remember(upload)
        return upload

    def _staging(self, tenant: str, upload_id: str, staged: calls.Staged) -> Staging:
        if staged.shelf is None:
            return Inside(tenant, upload_id, self._execute, self._execute_all)
        if self._outside is None:
            raise no_store_outside()
        return OnShelf(tenant, staged.shelf, self._execute_all, self._outside, self._in_thread)

    def _remember(self, upload: Upload) -> None:
        self._uploads[upload.tenant, upload.id] = upload
        self._uploads.move_to_end((upload.tenant, upload.id))
        while len(self._uploads) > UPLOADS_IN_MIND:
            self._forget(*next(iter(self._uploads)))

    def _forget(self, tenant: str, upload_id: str) -> None:
        upload = self._uploads.pop((tenant, upload_id), None)
        if upload is not None:
            upload.abandon()

    # Artifacts

    async def stat(self, tenant: str, sha256: str) -> ArtifactInfo:
        """What is known about an artifact. NotFound."""
        return calls.info(sha256, await self._execute(calls.read_manifest(tenant, sha256)))

    async def touch(self, tenant: str, sha256: str, ttl_s: float | None = None) -> ArtifactInfo:
        """Keep an artifact for `ttl_s` more at least (as the settings say, if None). NotFound."""
        ttl_ms = self._ttl_ms if ttl_s is None else round(ttl_s * 1000)
        return calls.info(sha256, await self._execute(calls.function("artifact_touch", tenant, sha256, ttl_ms)))

    async def delete(self, tenant: str, sha256: str) -> None:
        """Drop an artifact. NotFound; FailedPrecondition: it is pinned."""
        calls.check_done(sha256, await self._execute(calls.function("artifact_delete", tenant, sha256)))

    async def pin(self, tenant: str, sha256: str) -> None:
        """Keep an artifact until it is unpinned as often as it was pinned; see `ArtifactStore.pin`. NotFound."""
        calls.check_done(sha256, await self._execute(calls.function("artifact_pin", tenant, sha256)))

    async def unpin(self, tenant: str, sha256: str) -> None:
        """Undo one pin; without pins an artifact lapses after the usual time. NotFound."""
        calls.check_done(sha256, await self._execute(calls.function("artifact_unpin", tenant, sha256, self._ttl_ms)))

    async def read_all(self, tenant: str, sha256: str, limit: int) -> bytes:
        """All bytes of an artifact of at most `limit`. NotFound, DataLoss; OutOfRange: it is larger."""
        size_bytes = (await self.stat(tenant, sha256)).size_bytes
        if size_bytes > limit:
            raise OutOfRange(f"artifact {sha256} has {size_bytes} bytes, {limit} are read at once")
        return b"".join([data async for _, data in self.read(tenant, sha256)])

    async def read(
        self, tenant: str, sha256: str, offset: int = 0, limit: int = 0
    ) -> AsyncIterator[tuple[int, memoryview]]:
        """Pieces of at most 256 KiB with their offsets; `limit` 0 means to the end. NotFound, OutOfRange, DataLoss."""
        manifest = calls.manifest(sha256, await self._execute(calls.read_manifest(tenant, sha256)))
        if not 0 <= offset <= manifest.size_bytes:
            raise OutOfRange(f"artifact {sha256} has {manifest.size_bytes} bytes, there is none at {offset}")
        end = manifest.size_bytes if limit == 0 else min(manifest.size_bytes, offset + limit)
        if offset == end:
            return
        fetch = partial(self._fetch, tenant, manifest)
        indices = range(offset // CHUNK_BYTES, chunk_count(end))
        async for index, data in self._ahead.chunks(fetch, indices):
            start = index * CHUNK_BYTES
            view, high = memoryview(data), min(end, start + len(data))
            for low in range(max(offset, start), high, PIECE_BYTES):
                yield low, view[low - start : min(low + PIECE_BYTES, high) - start]

    def _fetch(self, tenant: str, manifest: Manifest, index: int) -> bytes:
        return self._reader.chunk(tenant, manifest, index)
