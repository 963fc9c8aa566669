"""`python -m services.artifacts.move`: take the bytes of all artifacts to where SPARRING_ARTIFACTS says.

    SPARRING_ARTIFACTS=file:///srv/artifacts python -m services.artifacts.move
    SPARRING_ARTIFACTS=s3://bucket/prefix python -m services.artifacts.move --from file:///srv/artifacts
    python -m services.artifacts.move --from file:///srv/artifacts          back into the store of jobs

The former store is let into with the same variables; where they differ, SPARRING_BEFORE_S3_KEY_FILE and the like stand
for its SPARRING_S3_KEY_FILE and the like.

Each chunk is compared with its digest on the way, each artifact is handed over in one step, and only then are its old
bytes taken away; whatever ends this program, the next run goes on. What can't be read is named and left where it is.
"""

from __future__ import annotations

import argparse
import os
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from services.artifacts import calls
from services.artifacts.digest import chunk_digest
from services.artifacts.outside import Outside, open_store
from services.artifacts.reading import Reader
from services.artifacts.shelves import ByteStore
from services.artifacts.sweeping import Sweeper
from services.artifacts.writing import PartsWriter, Writer
from services.connection import Redis, connect, translated
from services.environment import SettingsError
from services.errors import DataLoss, NotFound, SparringError, Unavailable
from services.jobs.calls import key
from services.settings import BytesSettings, StoreSettings

EX_DATA, EX_CONFIG = 1, 2


@dataclass(frozen=True)
class Moved:
    """How many artifacts were moved, and what could not be read, a sentence each."""

    artifacts: int
    left: tuple[str, ...]


class Former(Outside):
    """A store of bytes that is read and swept, and not the one in use."""

    def check(self, *, trusted_s: float = 0.0) -> None:  # noqa: ARG002 - it is looked at once
        """See `Outside`: any store is good that has a marker."""
        found = self.store.marker()
        if found is None:
            raise Unavailable(f"{self.store.shown} is no store of artifacts; it has no marker")
        self._id = found


class Mover:
    """Takes artifacts from the store of jobs, and from `source` if there is one, to `target`, None for the former."""

    def __init__(self, redis: Redis, source: Outside | None, target: Outside | None) -> None:
        self._redis, self._source, self._target = redis, source, target

    def move(self) -> Moved:
        """Move everything that is not there yet, and sweep the source."""
        moved, left = 0, []
        for tenant, sha256 in self._artifacts():
            try:
                moved += self._one(tenant, sha256)
            except NotFound:
                continue
            except DataLoss as error:
                left.append(f"{tenant}: {error.message}")
        if self._source is not None:
            sweeper = Sweeper(self._source, self._redis)
            while sweeper.sweep() > 0:
                pass
        return Moved(moved, tuple(left))

    def _artifacts(self) -> Iterator[tuple[str, str]]:
        """Every artifact that there is from the beginning to the end; one may come twice."""
        cursor = 0
        while True:
            cursor, keys = self._execute(("SCAN", cursor, "MATCH", key("a:*:m"), "COUNT", 1000))
            for name in keys:
                _, _, tenant, sha256, _ = name.decode().split(":")
                yield tenant, sha256
            if int(cursor) == 0:
                return

    def _one(self, tenant: str, sha256: str) -> bool:
        """Move an artifact if it is not there yet; whether it was moved. NotFound, DataLoss."""
        found = self._execute(calls.read_manifest(tenant, sha256))
        manifest, before = calls.manifest(sha256, found), found[-1]
        here = None if manifest.shelf is None else manifest.shelf.store
        if here == (None if self._target is None else self._target.id()):
            return False
        writer = self._writer(tenant)
        reader = Reader(self._redis, self._source)
        for index in range(manifest.chunks):
            chunk = reader.chunk(tenant, manifest, index)
            writer.add(chunk_digest(chunk), chunk)
        _, counts = writer.end()
        arguments = (tenant, writer.id, sha256, b"" if before is None else before, counts)
        return bool(self._execute(calls.function("shelf_move", *arguments)) == b"OK")

    def _writer(self, tenant: str) -> Writer:
        if self._target is None:
            return Writer(self._execute, tenant)
        return PartsWriter(self._target, self._execute, tenant)

    def _execute(self, command: tuple[Any, ...]) -> Any:
        with translated():
            return self._redis.execute_command(*command)  # type: ignore[no-untyped-call]


def take_into_use(store: ByteStore, redis: Redis, *, adopt: bool) -> None:
    """Make a store this deployment's own, in place of the one before.

    Unavailable: it has the marker of another one, and `adopt` does not say to take it all the same.
    """
    with translated():
        held: Any = redis.get(key("outside"))
    found = store.marker()
    if found is not None and not adopt and (held is None or held.decode() != found):
        raise Unavailable(
            f"{store.shown} is a store of artifacts already, and not this deployment's; name an empty place, or, if no "
            "other deployment uses it, say --adopt"
        )
    if found is None:
        found = uuid.uuid4().hex
        store.mark(found)
    with translated():
        used = calls.function("store_use", found, b"" if held is None else held)
        redis.execute_command(*used)  # type: ignore[no-untyped-call]


def opened(settings: BytesSettings, redis: Redis, kind: type[Outside]) -> Outside:
    """A store of bytes by its settings."""
    return kind(open_store(settings), redis, urlsplit(settings.url).scheme)


def run(settings: StoreSettings, source: BytesSettings | None, *, adopt: bool = False) -> Moved:
    """Move all artifacts; `source` is the store outside that they were in until now. Raises SparringError."""
    with connect(settings) as redis:
        former = None
        if source is not None:
            former = opened(source, redis, Former)
            former.check()
        target = None
        if settings.artifacts is not None:
            target = opened(settings.artifacts, redis, Outside)
            take_into_use(target.store, redis, adopt=adopt)
        return Mover(redis, former, target).move()


def before(url: str) -> dict[str, str]:
    """The variables as they were with the former store: those of this process, each behind its SPARRING_BEFORE_."""
    former = {
        name.replace("SPARRING_BEFORE_", "SPARRING_", 1): value
        for name, value in os.environ.items()
        if name.startswith("SPARRING_BEFORE_")
    }
    return {**os.environ, **former, "SPARRING_ARTIFACTS": url}


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status: 0 where all is moved, 1 where something is left, 2 for wrong settings."""
    parser = argparse.ArgumentParser(
        prog="python -m services.artifacts.move", description="Move all artifacts to where SPARRING_ARTIFACTS says."
    )
    parser.add_argument("--from", dest="source", metavar="URL", help="the store outside that was used until now")
    parser.add_argument("--adopt", action="store_true", help="take a place that has been a store of artifacts before")
    options = parser.parse_args(arguments)
    try:
        settings = StoreSettings.from_env()
        source = None if options.source is None else StoreSettings.from_env(before(options.source)).artifacts
        moved = run(settings, source, adopt=options.adopt)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return EX_CONFIG
    except SparringError as error:
        print(f"not all was moved, run it again: {error.message}", file=sys.stderr)
        return EX_DATA
    print(f"{moved.artifacts} artifacts were moved")
    for sentence in moved.left:
        print(f"left where it was: {sentence}", file=sys.stderr)
    return EX_DATA if moved.left else 0


if __name__ == "__main__":
    sys.exit(main())
