"""The four places where bytes may be, each behind the same two stores, and a hand that does harm to what lies there."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.artifacts.bucket import Bucket
from services.artifacts.outside import Outside
from services.artifacts.shelves import ByteStore, Shelf
from services.artifacts.store import ArtifactStore, AsyncArtifactStore
from services.artifacts.sweeping import Sweeper
from services.artifacts.volume import Volume
from services.connection import AsyncRedis, Redis, connect
from services.jobs.store import JobStore
from services.local.valkey import ValkeyServer, start
from services.settings import BytesSettings, StoreSettings

OUTSIDE = ("second", "volume", "bucket")


@pytest.fixture(scope="session")
def second_valkey(fast_folder: Path, server_binary: str | None) -> Iterator[ValkeyServer]:
    """A Redis for bytes alone."""
    with start(fast_folder / "second", binary=server_binary) as server:
        yield server


@pytest.fixture
def place(request: pytest.FixtureRequest, fast_folder: Path) -> Callable[[str], BytesSettings]:
    """Makes an empty place of a kind."""

    def make(kind: str) -> BytesSettings:
        name = uuid.uuid4().hex
        if kind == "volume":
            (fast_folder / name).mkdir()
            return BytesSettings(url=f"file://{fast_folder / name}")
        if kind == "bucket":
            endpoint = request.getfixturevalue("s3_server")
            return BytesSettings(url=f"s3://sparring/{name}", s3_endpoint=endpoint, s3_key="key", s3_secret="secret")
        server: ValkeyServer = request.getfixturevalue("second_valkey")
        with connect(StoreSettings(server.url)) as client:
            client.flushdb()
        return BytesSettings(url=server.url)

    return make


@dataclass
class Backend:
    """One place, for workers (`store`) and gateways (`gateway`); `outside` is None where bytes are in the job Redis."""

    kind: str
    settings: StoreSettings
    redis: Redis
    jobs: JobStore
    store: ArtifactStore
    gateway: AsyncArtifactStore
    bytes: ByteStore | None

    def objects(self) -> list[tuple[str, str, str]]:
        """Everything that lies outside."""
        assert self.bytes is not None
        shelves = sorted(set(self.bytes.shelves()))
        return [(*shelf, part) for shelf in shelves for part in self.bytes.parts(*shelf)]

    def sweep(self) -> int:
        """Take away what was discarded."""
        return self._sweeper().sweep()

    def scrub(self) -> int:
        """Take away whatever nobody needs; how many parts."""
        return self._sweeper().scrub().parts

    def _sweeper(self) -> Sweeper:
        assert self.bytes is not None
        return Sweeper(Outside(self.bytes, self.redis, "file"), self.redis)

    def harm(self, tenant: str, sha256: str, index: int, how: str) -> None:
        """Change, cut or take away what holds a chunk."""
        if self.bytes is None:
            key = f"{{sparring}}:a:{tenant}:{sha256}:{index}"
            data = self.redis.get(key)
            self.redis.delete(key) if how == "gone" else self.redis.set(key, _harmed(data, how))
            return
        digests, text = self.redis.hmget(f"{{sparring}}:a:{tenant}:{sha256}:m", "digests", "shelf")
        shelf = Shelf.parse(text)
        part = shelf.part(index, digests)
        if how == "gone":
            self.bytes.delete(tenant, shelf.id, [part.name])
        else:
            data = self.bytes.get(tenant, shelf.id, part.name, 0, 1 << 30)
            self.bytes.put(tenant, shelf.id, part.name, [_harmed(data, how)])


def _harmed(data: bytes | None, how: str) -> bytes:
    assert data is not None
    return data[:-1] if how == "cut" else bytes([data[0] ^ 1, *data[1:10]]) + data[10:-1] + bytes([data[-1] ^ 1])


@pytest.fixture(params=["inside", *OUTSIDE])
async def backend(  # noqa: PLR0917 - each is a fixture
    request: pytest.FixtureRequest,
    place: Callable[[str], BytesSettings],
    job_store: JobStore,
    redis: Redis,
    async_redis: AsyncRedis,
    store_settings: StoreSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Backend]:
    """Each of the four places, empty; parts are small, so that little data has several."""
    for kind in (Volume, Bucket):
        monkeypatch.setattr(kind, "part_chunks", 2)
    where = None if request.param == "inside" else place(request.param)
    settings = dataclasses.replace(store_settings, artifacts=where)
    gateway = AsyncArtifactStore(async_redis, settings)
    yield Backend(
        kind=request.param,
        settings=settings,
        redis=redis,
        jobs=job_store,
        store=ArtifactStore(redis, settings),
        gateway=gateway,
        bytes=None if gateway._outside is None else gateway._outside.store,
    )
    await gateway.aclose()
