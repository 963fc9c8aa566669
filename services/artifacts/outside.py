"""The store of bytes outside, as this deployment uses it: the right one, declared shelves, parts that are counted.

A deployment has one store of bytes, and a store of bytes one deployment: the marker in the one and `outside` in the
store of jobs hold the same id. So neither a folder whose volume is not mounted nor another deployment's bucket is
taken for the own one, and nobody's bytes are swept away as rubbish.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from services import faultpoints
from services.artifacts import calls
from services.artifacts.digest import CHUNK_BYTES
from services.artifacts.shelves import Buffer, ByteStore, Shelf, offset_in, part_name
from services.connection import Redis, translated
from services.environment import SettingsError
from services.errors import ResourceExhausted, Unavailable
from services.jobs.calls import key
from services.settings import BytesSettings, StoreSettings

# A store that was found to be right is not asked again for so long.
TRUSTED_S = 10.0
# New bytes are refused above this share of its room. A disk has others' files on it, so it may be fuller than memory.
ADMISSION_LIMIT = {"file": 0.95, "redis": 0.8, "rediss": 0.8, "unix": 0.8, "s3": 1.0}


def open_store(settings: BytesSettings) -> ByteStore:
    """The store of bytes that an address leads to; nothing is sent yet.

    SettingsError: what it needs is not installed.
    """
    scheme = urlsplit(settings.url).scheme
    # Imported here: each brings its own libraries along.
    if scheme == "file":
        from services.artifacts.volume import Volume

        return Volume(Path(unquote(urlsplit(settings.url).path)))
    if scheme == "s3":
        try:
            from services.artifacts.bucket import Bucket

            return Bucket(settings)
        except ImportError as error:
            raise SettingsError(
                f"SPARRING_ARTIFACTS: s3:// needs s3fs: pip install 'sparring[storage]' ({error})"
            ) from error
    from services.artifacts.second import SecondRedis

    return SecondRedis(settings)


class Outside:
    """Puts and gets parts in threads; `redis` is a client of the store of jobs, for threads."""

    def __init__(self, store: ByteStore, redis: Redis, scheme: str) -> None:
        self.store = store
        self.part_chunks = store.part_chunks
        self._redis = redis
        self._limit = ADMISSION_LIMIT[scheme]
        self._id = ""
        self._checked_at_s = 0.0
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections to the store of bytes; the other client is its owner's."""
        self.store.close()

    def id(self) -> str:
        """The id of the store, once it was found to be the right one. Unavailable."""
        if not self._id:
            self.check()
        return self._id

    def check(self, *, trusted_s: float = 0.0) -> None:
        """Make sure that the store is there and is this deployment's; one that nobody has used becomes so.

        Unavailable: it can't be reached, or is another one. Not looked at again within `trusted_s`.
        """
        with self._lock:
            if self._id and time.monotonic() - self._checked_at_s < trusted_s:
                return
            found = self.store.marker()
            held = self._execute(("GET", key("outside")))
            if found is None and held is None:
                found, held = self._begin()
            if held is None or found is None or found != held.decode():
                self._id = ""
                raise self._another(found, held)
            self._id = found
            self._checked_at_s = time.monotonic()

    def _begin(self) -> tuple[str, bytes]:
        """Take an empty store into use. Of several processes that do so at once one has its way."""
        self.store.mark(uuid.uuid4().hex)
        found = self.store.marker() or ""
        held: bytes = self._execute(calls.function("store_use", found, ""))
        if held.decode() != found:
            self.store.mark(held.decode())
        return held.decode(), held

    def _another(self, found: str | None, held: bytes | None) -> Unavailable:
        shown = self.store.shown
        if held is None:
            what = f"{shown} belongs to another deployment; give this one a folder, prefix or database of its own"
        elif found is None:
            what = f"{shown} is empty, but this deployment has a store of artifacts; mount or name that one"
        else:
            what = f"{shown} is not this deployment's store of artifacts; mount or name that one"
        message = f"{what}, or change the store by `python -m services.artifacts.move`"
        return Unavailable(message, reason="ANOTHER_ARTIFACT_STORE")

    def admit(self, extra_bytes: int) -> None:
        """Refuse what would fill it too far. ResourceExhausted."""
        if self.store.share(extra_bytes) > self._limit:
            raise ResourceExhausted(
                f"{self.store.shown}, which keeps the artifacts, is {self.store.share():.0%} full and takes new bytes "
                f"up to {self._limit:.0%}; delete artifacts, wait until some lapse, or make room there"
            )

    def begin(self, tenant: str) -> str:
        """Declare the shelf of a put; its id."""
        shelf = uuid.uuid4().hex
        self._execute(calls.function("shelf_begin", tenant, shelf, self.id()))
        return shelf

    def must_be(self, store: str) -> None:
        """Unavailable: bytes are in another store than this one."""
        if store != self.id():
            raise Unavailable(
                f"these bytes are in the store of artifacts {store}, not in {self.store.shown}; set SPARRING_ARTIFACTS "
                "back, or move them by `python -m services.artifacts.move`",
                reason="ANOTHER_ARTIFACT_STORE",
            )

    def put(self, tenant: str, shelf: str, first: int, digests: bytes, chunks: Sequence[Buffer]) -> None:
        """Write one part: chunks from number `first` on, with their digests joined. It is not counted yet."""
        self.store.put(tenant, shelf, part_name(first, digests), chunks)
        faultpoints.reach("artifacts.part_written")

    def get(self, tenant: str, shelf: Shelf, digests: bytes, index: int, chunks: int = 1) -> bytes | None:
        """Chunk `index` and those behind it, `chunks` at most, of one part; unchecked, None where they are missing."""
        self.must_be(shelf.store)
        part = shelf.part(index, digests)
        data = self.store.get(tenant, shelf.id, part.name, offset_in(part, index), chunks * CHUNK_BYTES)
        if data is None:
            # Not mounted, emptied or exchanged is not the same as lost.
            self.check()
        return data

    def _execute(self, command: tuple[Any, ...]) -> Any:
        with translated():
            return self._redis.execute_command(*command)  # type: ignore[no-untyped-call]


def redis_of(settings: BytesSettings | None) -> StoreSettings | None:
    """How the second Redis is connected to; None where there is none."""
    if settings is None or urlsplit(settings.url).scheme in {"file", "s3"}:
        return None
    from services.artifacts.second import as_store

    return as_store(settings)


def connect_outside(settings: BytesSettings | None, redis: Redis) -> Outside | None:
    """The store of bytes of the settings; None where bytes are in the store of jobs."""
    return None if settings is None else Outside(open_store(settings), redis, urlsplit(settings.url).scheme)
