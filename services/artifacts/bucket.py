"""Bytes in a bucket of S3, or of anything that speaks its protocol, by fsspec's s3fs.

    PREFIX/sparring-store                 the marker
    PREFIX/tenants/TENANT/SHELF/PART      a part, one object

An object is there whole, and kept, once its PUT was answered. Credentials are those of the settings or, where these
have none, found as the AWS tools find theirs; errors are told by their code alone, since their words may name keys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from services.artifacts.shelves import Buffer
from services.errors import ResourceExhausted, Unavailable
from services.settings import BytesSettings

MARKER, MARKER_BYTES = "sparring-store", 100
CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 30
RETRIES = 3
# Connections of one process, for the gateway's threads.
CONNECTIONS = 32
# Codes of servers that have no room or allow no more; everything else that is wrong is waited for.
FULL = {"QuotaExceeded", "EntityTooLarge", "InsufficientStorage", "XMinioStorageFull"}


class Bucket:
    """A `ByteStore` in a bucket."""

    part_chunks = 8

    def __init__(self, settings: BytesSettings) -> None:
        # Imported here: who keeps bytes elsewhere needs none of it.
        from aiohttp import ClientError as ConnectionFailed
        from botocore.exceptions import BotoCoreError, ClientError
        from s3fs import S3FileSystem

        # What s3fs makes of the server's answers is an OSError; what it makes nothing of comes as it is.
        self._errors = (OSError, ClientError, BotoCoreError, ConnectionFailed)
        parts = urlsplit(settings.url)
        self._root = f"{parts.netloc}{parts.path}".rstrip("/")
        self.shown = f"s3://{self._root}"
        self._files = S3FileSystem(
            key=settings.s3_key,
            secret=settings.s3_secret,
            endpoint_url=settings.s3_endpoint,
            config_kwargs={
                "connect_timeout": CONNECT_TIMEOUT_S,
                "read_timeout": READ_TIMEOUT_S,
                "retries": {"max_attempts": RETRIES, "mode": "standard"},
                "max_pool_connections": CONNECTIONS,
            },
            use_listings_cache=False,
        )
        # Its own count of tries multiplies with the one above.
        self._files.retries = 1

    def marker(self) -> str | None:
        """See `ByteStore`."""
        with self._translated():
            found = self._read(f"{self._root}/{MARKER}", start=0, end=MARKER_BYTES)
            if found is None and not self._files.exists(self._root.partition("/")[0]):
                raise Unavailable(f"there is no bucket for {self.shown}; make it")
        return None if found is None else found.decode().strip()

    def mark(self, text: str) -> None:
        """See `ByteStore`."""
        with self._translated():
            self._files.pipe_file(f"{self._root}/{MARKER}", text.encode())

    def put(self, tenant: str, shelf: str, part: str, chunks: Sequence[Buffer]) -> None:
        """See `ByteStore`."""
        with self._translated():
            self._files.pipe_file(self._path(tenant, shelf, part), b"".join(chunks))

    def get(self, tenant: str, shelf: str, part: str, start: int, size: int) -> bytes | None:
        """See `ByteStore`."""
        with self._translated():
            return self._read(self._path(tenant, shelf, part), start=start, end=start + size)

    def parts(self, tenant: str, shelf: str) -> list[str]:
        """See `ByteStore`."""
        with self._translated():
            return self._names(self._path(tenant, shelf))

    def delete(self, tenant: str, shelf: str, parts: Collection[str]) -> None:
        """See `ByteStore`."""
        # One by one: of many at once s3fs does not say which the server has refused to delete.
        for part in parts:
            with self._translated(), suppress(FileNotFoundError):
                self._files.rm_file(self._path(tenant, shelf, part))

    def shelves(self) -> Iterator[tuple[str, str]]:
        """See `ByteStore`."""
        with self._translated():
            tenants = self._names(self._path())
        for tenant in tenants:
            with self._translated():
                names = self._names(self._path(tenant))
            for shelf in names:
                yield tenant, shelf

    def share(self, extra_bytes: int = 0) -> float:  # noqa: ARG002 - a bucket has no limit that it tells
        """See `ByteStore`."""
        return 0.0

    def close(self) -> None:
        """See `ByteStore`: connections end with the process, in the thread of fsspec."""

    def _path(self, *names: str) -> str:
        return "/".join((self._root, "tenants", *names))

    def _read(self, path: str, **bounds: int) -> bytes | None:
        try:
            found: bytes = self._files.cat_file(path, **bounds)
        except FileNotFoundError:
            return None
        return found

    def _names(self, path: str) -> list[str]:
        try:
            found: list[str] = self._files.ls(path, detail=False, refresh=True)
        except FileNotFoundError:
            return []
        return [name.rstrip("/").rpartition("/")[2] for name in found]

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            code = _code(error)
            if code in FULL:
                raise ResourceExhausted(f"{self.shown} has no room ({code}); make room there") from None
            raise Unavailable(
                f"{self.shown} can't be used ({code}); see to the server, the bucket and the credentials"
            ) from None


def _code(error: BaseException | None) -> str:
    """The server's code for what is wrong, AccessDenied say; else the innermost exception's name."""
    name = ""
    while error is not None:
        response: Any = getattr(error, "response", None)
        if isinstance(response, dict) and response.get("Error", {}).get("Code"):
            return str(response["Error"]["Code"])
        name = type(error).__name__
        error = error.__cause__
    return name
