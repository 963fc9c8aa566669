"""The commands of the artifact store and how to read their answers. Pure; the keys are those of `jobs/functions`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from services.artifacts.digest import CHUNK_BYTES, DIGEST_BYTES, artifact_name, chunk_count, chunk_digest, is_sha256
from services.artifacts.shelves import Shelf
from services.errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound, OutOfRange, Violation
from services.jobs import functions
from services.jobs.calls import key

Data = TypeVar("Data", bytes, memoryview)
MEDIA_TYPE_LENGTH = 100


@dataclass(frozen=True, kw_only=True)
class ArtifactInfo:
    """An artifact; `expires_ms` is None while something is built on it."""

    sha256: str
    size_bytes: int
    media_type: str
    created_ms: int
    expires_ms: int | None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a reader needs: the size, the digest of each chunk, joined, and where the bytes are: None for here."""

    sha256: str
    size_bytes: int
    digests: bytes
    shelf: Shelf | None = None

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return chunk_count(self.size_bytes)

    def check(self, index: int, data: Data | None) -> Data:
        """A chunk that was read, if it is the right one. DataLoss."""
        expected = self.digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES]
        if data is None or chunk_digest(data) != expected:
            what = "is missing" if data is None else "is damaged"
            raise DataLoss(f"chunk {index} of artifact {self.sha256} {what}; upload or make it again")
        return data


@dataclass(frozen=True, kw_only=True)
class Staged:
    """An upload as the store knows it; `shelf` as for a manifest."""

    sha256: str
    size_bytes: int
    media_type: str
    chunks: int
    digests: bytes
    shelf: Shelf | None = None

    @property
    def committed_bytes(self) -> int:
        """Bytes that are kept."""
        return min(self.chunks * CHUNK_BYTES, self.size_bytes)


def function(name: str, *arguments: Any) -> tuple[Any, ...]:
    """The command that calls a function."""
    return ("FCALL", functions.name(name), 1, key("fence"), *arguments)


def chunk_key(tenant: str, sha256: str, index: int) -> str:
    """Where a chunk of an artifact is."""
    return key(f"a:{tenant}:{sha256}:{index}")


def staged_key(tenant: str, upload_id: str, index: int) -> str:
    """Where a chunk of an upload is."""
    return key(f"u:{tenant}:{upload_id}:{index}")


def read_manifest(tenant: str, sha256: str) -> tuple[Any, ...]:
    """The command whose answer `manifest` and `info` read."""
    return ("HMGET", key(f"a:{tenant}:{sha256}:m"), "size", "media", "created", "expires", "digests", "shelf")


def read_upload(tenant: str, upload_id: str) -> tuple[Any, ...]:
    """The command whose answer `staged` reads."""
    return ("HMGET", key(f"u:{tenant}:{upload_id}"), "sha", "size", "media", "chunks", "digests", "store", "parts")


def manifest(sha256: str, reply: Sequence[bytes | None]) -> Manifest:
    """The manifest. NotFound."""
    size, *_, digests, shelf = reply
    if size is None or digests is None:
        raise no_artifact(sha256)
    where = None if shelf is None else Shelf.parse(shelf)
    return Manifest(sha256=sha256, size_bytes=int(size), digests=digests, shelf=where)


def info(sha256: str, reply: Sequence[bytes | None] | None) -> ArtifactInfo:
    """What is known about an artifact, from the manifest or from a function that answers with its head. NotFound."""
    if reply is None:
        raise no_artifact(sha256)
    size, media, created, expires, *_ = reply
    if size is None or media is None or created is None or expires is None:
        raise no_artifact(sha256)
    return ArtifactInfo(
        sha256=sha256,
        size_bytes=int(size),
        media_type=media.decode(),
        created_ms=int(created),
        expires_ms=None if expires == b"0" else int(expires),
    )


def staged(upload_id: str, reply: Sequence[bytes | None]) -> Staged:
    """An upload. NotFound."""
    sha, size, media, count, digests, store, parts = reply
    if sha is None or size is None or media is None or count is None or digests is None:
        raise no_upload(upload_id)
    shelf = None
    if store is not None:
        shelf = Shelf.parse(b"/".join((store, upload_id.encode(), b"" if parts is None else parts)))
    return Staged(
        sha256=sha.decode(),
        size_bytes=int(size),
        media_type=media.decode(),
        chunks=int(count),
        digests=digests,
        shelf=shelf,
    )


def nothing_staged(sha256: str, size_bytes: int, media_type: str, shelf: Shelf) -> Staged:
    """An upload that has just begun."""
    return Staged(sha256=sha256, size_bytes=size_bytes, media_type=media_type, chunks=0, digests=b"", shelf=shelf)


def check_stored(upload_id: str, reply: bytes) -> None:
    """The answer of `upload_chunk` and `upload_part`. NotFound, OutOfRange."""
    if reply == b"NOT_FOUND":
        raise no_upload(upload_id)
    if reply == b"OFFSET":
        raise OutOfRange("another stream sends the same upload; ask for the committed offset and go on from there")


def check_done(sha256: str, reply: bytes) -> None:
    """The answer of `artifact_delete`, `artifact_pin` and `artifact_unpin`. NotFound, FailedPrecondition."""
    if reply == b"NOT_FOUND":
        raise no_artifact(sha256)
    if reply == b"PINNED":
        raise FailedPrecondition(
            f"a model or a dataset is built on artifact {sha256}; delete that first", reason="ARTIFACT_IN_USE"
        )


def check_declared(sha256: str, size_bytes: int, media_type: str, max_bytes: int) -> None:
    """What a client says that it will send. InvalidArgument with every bad field."""
    checks = (
        (is_sha256(sha256), Violation("sha256", "must be 64 lower-case hex digits")),
        (1 <= size_bytes <= max_bytes, Violation("size_bytes", f"must be between 1 and {max_bytes}")),
        (
            len(media_type) <= MEDIA_TYPE_LENGTH,
            Violation("media_type", f"must have at most {MEDIA_TYPE_LENGTH} characters"),
        ),
    )
    violations = [violation for right, violation in checks if not right]
    if violations:
        raise InvalidArgument(violations)


def no_artifact(sha256: str) -> NotFound:
    """What is said of an artifact that is not there."""
    return NotFound("Artifact", artifact_name(sha256))


def no_upload(upload_id: str) -> NotFound:
    """What is said of an upload that is not there."""
    return NotFound("Upload", upload_id, f"there is no upload {upload_id!r}; it may have lapsed, so begin again")
