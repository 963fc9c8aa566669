"""Bytes in a folder: of this machine, or of a volume that all gateways and workers mount.

    ROOT/sparring-store                 the marker
    ROOT/tenants/TENANT/SHELF/PART      a part

A part is written under another name, reaches the disk, gets its name, and the name reaches the disk too, before anybody
is told. The marker is looked for before each write: on a folder whose volume is not mounted nothing is written.
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from services.artifacts.shelves import Buffer
from services.errors import ResourceExhausted, Unavailable

MARKER = "sparring-store"


class Volume:
    """A `ByteStore` in a folder."""

    part_chunks = 8

    def __init__(self, root: Path) -> None:
        self.shown = f"file://{root}"
        self._root = root
        self._tenants = root / "tenants"

    def marker(self) -> str | None:
        """See `ByteStore`."""
        with self._translated():
            if not self._root.is_dir():
                raise Unavailable(f"the folder {self._root} of the artifacts is not there; make it or mount it")
            try:
                return (self._root / MARKER).read_text(encoding="utf-8").strip()
            except FileNotFoundError:
                return None

    def mark(self, text: str) -> None:
        """See `ByteStore`."""
        with self._translated():
            self._tenants.mkdir(exist_ok=True)
            _write(self._root / MARKER, [text.encode()])

    def put(self, tenant: str, shelf: str, part: str, chunks: Sequence[Buffer]) -> None:
        """See `ByteStore`."""
        with self._translated():
            if not (self._root / MARKER).is_file():
                raise Unavailable(f"{self.shown} has no marker of a store of artifacts; is the volume mounted?")
            folder = self._tenants / tenant / shelf
            if not folder.is_dir():
                _make(folder.parent)
                _make(folder)
            _write(folder / part, chunks)

    def get(self, tenant: str, shelf: str, part: str, start: int, size: int) -> bytes | None:
        """See `ByteStore`."""
        with self._translated():
            try:
                with (self._tenants / tenant / shelf / part).open("rb", buffering=0) as file:
                    file.seek(start)
                    return file.read(size)
            except (FileNotFoundError, NotADirectoryError):
                return None

    def parts(self, tenant: str, shelf: str) -> list[str]:
        """See `ByteStore`."""
        with self._translated():
            return _names(self._tenants / tenant / shelf)

    def delete(self, tenant: str, shelf: str, parts: Collection[str]) -> None:
        """See `ByteStore`."""
        folder = self._tenants / tenant / shelf
        with self._translated():
            for part in parts:
                (folder / part).unlink(missing_ok=True)
            # Somebody may write there again, and then the folder stays.
            with suppress(FileNotFoundError, OSError):
                folder.rmdir()

    def shelves(self) -> Iterator[tuple[str, str]]:
        """See `ByteStore`."""
        for tenant in self._listed(self._tenants):
            for shelf in self._listed(self._tenants / tenant):
                yield tenant, shelf

    def share(self, extra_bytes: int = 0) -> float:
        """See `ByteStore`."""
        with self._translated():
            total, _, free = shutil.disk_usage(self._root)
        return 1 - (free - extra_bytes) / total

    def close(self) -> None:
        """See `ByteStore`."""

    def _listed(self, folder: Path) -> list[str]:
        with self._translated():
            return _names(folder)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or type(error).__name__
            if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
                raise ResourceExhausted(f"{self.shown} has no room: {reason}; make room there") from error
            raise Unavailable(f"{self.shown} can't be used: {reason}; see to the volume and to its rights") from error


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _write(path: Path, chunks: Sequence[Buffer]) -> None:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb", buffering=0) as file:
            for chunk in chunks:
                _write_all(file.fileno(), memoryview(chunk))
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _write_all(descriptor: int, view: memoryview) -> None:
    """Write it whole: the kernel may take less at a time."""
    while view:
        view = view[os.write(descriptor, view) :]


def _make(folder: Path) -> None:
    """Make a folder, its name on disk when this returns."""
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
