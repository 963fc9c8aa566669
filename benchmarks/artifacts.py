"""100 MiB up and down, for each place where the bytes of artifacts may be, against the bare loop on the same place.

    python benchmarks/artifacts.py [--rounds N] [--mebibytes N] [--parts]

The places take turns within each round. What is ours hashes everything twice (chunk and whole) and tells the store of
jobs; the bare loop only writes (the file with one fsync for each part) or reads. The S3 server is moto, a simulator in
Python in a process of its own, so its figures compare ways to use a server, and say nothing about servers.
`--parts` compares parts of 1 to 64 MiB instead.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rounds import Ratio, aclock, clock, write
from s3fs import S3FileSystem

from services.artifacts.bucket import Bucket
from services.artifacts.digest import CHUNK_BYTES, sha256_hex
from services.artifacts.outside import connect_outside
from services.artifacts.store import ArtifactStore, AsyncArtifactStore
from services.artifacts.sweeping import Sweeper
from services.artifacts.volume import Volume
from services.connection import connect, connect_async
from services.jobs.store import JobStore
from services.local import launch, valkey
from services.settings import BytesSettings, StoreSettings

RESULTS = Path("out/benchmarks/artifacts.json")
TENANT = "bench"
PART_BYTES = 8 * CHUNK_BYTES
START_S = 60.0
ACTIONS = ("gateway upload", "gateway download", "worker put", "worker get")


@dataclass
class Place:
    """One place: settings that lead there, and the bare loop on it."""

    name: str
    settings: StoreSettings
    bare_write: Callable[[bytes], object]
    bare_read: Callable[[], object]
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def note(self, what: str, seconds: float) -> None:
        self.seconds.setdefault(what, []).append(seconds)


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of a server with a bucket `bench`."""
    port = launch.free_ports(0, 1)[0]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            endpoint = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + START_S
            while True:
                try:
                    bare_bucket(endpoint).mkdir("bench")
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.2)
            yield endpoint
        finally:
            server.terminate()


def bare_bucket(endpoint: str) -> S3FileSystem:
    return S3FileSystem(key="key", secret="secret", endpoint_url=endpoint)


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def redis_place(name: str, settings: StoreSettings, url: str) -> Place:
    client = connect(StoreSettings(url))
    keys: list[str] = []

    def bare_write(data: bytes) -> None:
        keys[:] = [f"bare:{number}" for number in range(len(cut(data, CHUNK_BYTES)))]
        for key, chunk in zip(keys, cut(data, CHUNK_BYTES), strict=True):
            client.set(key, chunk)

    return Place(name, settings, bare_write, lambda: b"".join(client.get(key) for key in keys))


def file_place(settings: StoreSettings, folder: Path) -> Place:
    names: list[Path] = []

    def bare_write(data: bytes) -> None:
        names[:] = [folder / str(number) for number in range(len(cut(data, PART_BYTES)))]
        for name, part in zip(names, cut(data, PART_BYTES), strict=True):
            with name.open("wb", buffering=0) as file:
                file.write(part)
                os.fsync(file.fileno())

    return Place("file", settings, bare_write, lambda: b"".join(name.read_bytes() for name in names))


def s3_place(settings: StoreSettings, endpoint: str) -> Place:
    files = bare_bucket(endpoint)
    names: list[str] = []

    def bare_write(data: bytes) -> None:
        names[:] = [f"bench/bare/{number}" for number in range(len(cut(data, PART_BYTES)))]
        for name, part in zip(names, cut(data, PART_BYTES), strict=True):
            files.pipe_file(name, part)

    return Place("s3", settings, bare_write, lambda: b"".join(files.cat_file(name) for name in names))


@contextmanager
def places(folder: Path) -> Iterator[list[Place]]:
    """All of them, each with a store of jobs of its own."""
    with ExitStack() as stack:

        def jobs(name: str) -> StoreSettings:
            settings = StoreSettings(stack.enter_context(valkey.start(folder / name)).url)
            with connect(settings) as redis:
                JobStore(redis, settings).load_functions()
            return settings

        def outside(name: str, where: BytesSettings) -> StoreSettings:
            return StoreSettings(jobs(name).redis_url, artifacts=where)

        second = stack.enter_context(valkey.start(folder / "second")).url
        endpoint = stack.enter_context(s3_server())
        bucket = BytesSettings(url="s3://bench/ours", s3_endpoint=endpoint, s3_key="key", s3_secret="secret")
        for name in ("volume", "bare"):
            (folder / name).mkdir()
        inside = jobs("inside")
        volume = BytesSettings(url=f"file://{folder / 'volume'}")
        yield [
            redis_place("redis (default)", inside, inside.redis_url),
            redis_place("second redis", outside("of-second", BytesSettings(url=second)), second),
            file_place(outside("of-volume", volume), folder / "bare"),
            s3_place(outside("of-bucket", bucket), endpoint),
        ]


@asynccontextmanager
async def gateway_of(place: Place) -> AsyncIterator[AsyncArtifactStore]:
    async with connect_async(place.settings) as redis:
        store = AsyncArtifactStore(redis, place.settings)
        yield store
        await store.aclose()


async def up(gateway: AsyncArtifactStore, data: bytes, sha256: str) -> None:
    upload_id = await gateway.begin(TENANT, sha256, len(data), "")
    for offset in range(0, len(data), CHUNK_BYTES):
        await gateway.append(TENANT, upload_id, offset, data[offset : offset + CHUNK_BYTES])
    await gateway.seal(TENANT, upload_id)


async def down(gateway: AsyncArtifactStore, sha256: str) -> None:
    async for _ in gateway.read(TENANT, sha256):
        pass


async def one_round(place: Place, data: bytes) -> None:
    """Everything once at one place; what was put is taken away again."""
    sha256 = sha256_hex(data)
    with connect(place.settings) as redis:
        worker = ArtifactStore(redis, place.settings)
        async with gateway_of(place) as gateway:
            place.note("gateway upload", await aclock(lambda: up(gateway, data, sha256)))
            place.note("gateway download", await aclock(lambda: down(gateway, sha256)))
        worker.delete(TENANT, sha256)
        place.note("worker put", clock(lambda: worker.put(TENANT, data)))
        place.note("worker get", clock(lambda: worker.get(TENANT, sha256)))
        worker.delete(TENANT, sha256)
        outside = connect_outside(place.settings.artifacts, redis)
        if outside is not None:
            Sweeper(outside, redis).sweep()
    place.note("bare write", clock(lambda: place.bare_write(data)))
    place.note("bare read", clock(place.bare_read))


def ratios(place: Place) -> list[Ratio]:
    found = []
    for action in ACTIONS:
        bare = place.seconds["bare write" if action.endswith(("upload", "put")) else "bare read"]
        ours = place.seconds[action]
        ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
        ours_ms, bare_ms = statistics.median(ours) * 1e3, statistics.median(bare) * 1e3
        found.append(Ratio(f"{place.name}: {action}", ours_ms, bare_ms, ratio, "", held=True))
    return found


def compare_parts(all_places: list[Place], data: bytes, rounds: int) -> None:
    """A worker's put and get, in milliseconds, by the size of a part."""
    sizes = (1, 2, 4, 8, 16, 64)
    for place in all_places[2:]:
        kind: type[Volume | Bucket] = Volume if place.name == "file" else Bucket
        taken: dict[int, list[tuple[float, float]]] = {size: [] for size in sizes}
        with connect(place.settings) as redis:
            for number in range(rounds):
                for size in sizes:
                    kind.part_chunks = size
                    worker, content = ArtifactStore(redis, place.settings), number.to_bytes(4, "little") + data[4:]
                    put = clock(lambda w=worker, c=content: w.put(TENANT, c))
                    get = clock(lambda w=worker, c=content: w.get(TENANT, sha256_hex(c)))
                    worker.delete(TENANT, sha256_hex(content))
                    taken[size].append((put, get))
        for size, pairs in taken.items():
            put_ms, get_ms = (statistics.median(seconds) * 1e3 for seconds in zip(*pairs, strict=True))
            print(f"{place.name}: parts of {size:2} MiB: put {put_ms:6.0f} ms, get {get_ms:6.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mebibytes", type=int, default=100)
    parser.add_argument("--parts", action="store_true", help="compare sizes of parts")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sparring-artifacts-"))
    try:
        with places(folder) as all_places:
            if options.parts:
                compare_parts(all_places, os.urandom(options.mebibytes * CHUNK_BYTES), options.rounds)
                return
            for _ in range(options.rounds):
                for place in all_places:
                    asyncio.run(one_round(place, os.urandom(options.mebibytes * CHUNK_BYTES)))
            found = [ratio for place in all_places for ratio in ratios(place)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for ratio in found:
        print(ratio.line())
    write(RESULTS, found)


if __name__ == "__main__":
    main()
