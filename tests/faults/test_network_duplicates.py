"""F6: every function of the store may be asked twice, because an answer that is lost makes its client ask again.

A life of several jobs is told twice: once as it is, and once through a proxy that loses the first answer to every
request. Both must be told the same, and leave the same behind.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from services.artifacts.store import ArtifactStore, AsyncArtifactStore
from services.connection import Redis, connect, connect_async
from services.errors import SparringError
from services.jobs.record import Lease, NewJob, Quota, Registration, WorkerRecord
from services.jobs.states import State
from services.jobs.store import JobStore
from services.local.valkey import start
from services.settings import StoreSettings

from . import net_functions
from .net_gateway import free_port
from .net_proxy import Proxy
from .results import Row
from .stack import store_binary

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

LEASE_MS = 60_000
DIGEST = "d" * 64
# What differs between two lives anyway: times, and ids that are drawn.
_TIMES = re.compile(r"\b1[6-9]\d{8}(\d{3})?(\.\d+|-\d+)?\b")
_LEFT = re.compile(r"((?:remaining_seconds|ran)(?:\W+b)?\W+)[\d.e-]+")
# Told only where a millisecond has passed.
_REST = re.compile(
    r"(\W+b)?'remaining_seconds': [\d.e-]+,?|\"remaining_seconds\":[\d.e-]+,?|,\s*'remaining_seconds': [\d.e-]+"
)
_TABLE = re.compile(r"\{([^{}]*)\}")
_DRAWN = re.compile(r"\b[0-9a-f]{32}\b")
# Bound to one try each by name: see their docstrings, which send callers to registrations.
ONCE = {"artifact_pin", "artifact_unpin"}


class Teller:
    """Notes what every call answers, or what it raises."""

    def __init__(self, settings: StoreSettings, redis: Redis) -> None:
        self.store = JobStore(redis, settings)
        self.artifacts = ArtifactStore(redis, settings)
        self.told: list[str] = []

    def tell(self, what: str, call: Any) -> Any:
        """Call, note, and return the answer; None for an error."""
        try:
            answer = call()
        except SparringError as error:
            self.told.append(f"{what}: {type(error).__name__} {error.reason} {error.message}")
            return None
        # A commit and a loss say whether it was this very call that did it, which is the one thing that may differ.
        self.told.append(f"{what}: {'yes or no' if isinstance(answer, bool) else answer!r}")
        return answer

    def new(self, name: str, **changes: Any) -> Any:
        job = NewJob(**{"id": name, "kind": "attack", "spec": b"s", "spec_hash": name, "units": 2, **changes})
        return self.tell(f"submit {name}", lambda: self.store.submit(job))

    def claim(self, claim_id: str, worker: str = "w-1-a") -> Lease:
        lease = self.tell(f"claim {claim_id}", lambda: self.store.claim(claim_id, worker, "cpu", LEASE_MS))
        assert isinstance(lease, Lease)
        return lease


def jobs(teller: Teller) -> None:
    """Jobs that succeed, fail, are lost, cancelled, retried and forgotten."""
    store, tell = teller.store, teller.tell
    tell("quota", lambda: store.set_quota("default", Quota(max_queued_jobs=50, weight=2.0)))
    teller.new("a", request_id="r", giga_ops=5.0)
    teller.new("b", request_id="r", spec_hash="a", giga_ops=5.0)
    tell("place", lambda: store.submit_and_place(NewJob(id="c", kind="attack", spec=b"", spec_hash="c", units=1)))
    first = teller.claim("1")
    tell("renew", lambda: store.renew(first, "w-1-a", LEASE_MS, progress={"fraction": 0.5}, checkpoint=DIGEST))
    tell("metric", lambda: store.metric(first, "loss", 0.5, 1))
    tell("commit", lambda: store.commit(first, "w-1-a", DIGEST, {"s": 1}))
    second = teller.claim("2")
    tell("release", lambda: store.release(second, "w-1-a"))
    again = teller.claim("3")
    tell("lose", lambda: store.lose(again.job_id, again.unit, again.token, "killed by SIGKILL"))
    last = teller.claim("4")
    tell("commit", lambda: store.commit(last, "w-1-a", DIGEST, {}))
    closing = teller.claim("5")
    made = Registration(kind="model", id="m", record=b"model", fallback_id="m-2", fallback_record=b"model 2")
    tell("finish", lambda: store.finish(closing, "w-1-a", b"result", made))
    failing = teller.claim("6")
    tell("fail", lambda: store.fail(failing, "w-1-a", b"error"))
    tell("retry", lambda: store.retry("default", failing.job_id))
    held = teller.claim("7")
    tell("cancel", lambda: store.cancel("default", held.job_id))
    tell("stopped", lambda: store.stopped(held, "w-1-a"))
    tell("delete", lambda: store.delete("default", held.job_id))
    tell("late", lambda: store.commit(held, "w-1-a", DIGEST, {}))
    teller.new("d", queue_ms=1)

    def overdue() -> bool:
        while store.get("default", "d").state is not State.FAILED:
            store.reap()
        return True

    tell("reap", overdue)


def names(teller: Teller) -> None:
    """Registrations, artifacts, workers and housekeeping."""
    store, tell, artifacts = teller.store, teller.tell, teller.artifacts
    sha256 = tell("put", lambda: artifacts.put("default", b"bytes of an artifact"))
    record = Registration(kind="dataset", id="d", record=b"dataset", pins=(sha256,))
    tell("register", lambda: store.register("default", record))
    tell("pinned", lambda: artifacts.delete("default", sha256))
    tell("unregister", lambda: store.unregister("default", "dataset", "d"))
    tell("touch", lambda: artifacts.touch("default", sha256).size_bytes)
    tell("unpinned", lambda: artifacts.delete("default", sha256))
    worker = WorkerRecord(id="w-1-a", lane="cpu", device_name="cpu", unit=None, last_seen_ms=0)
    tell("announce", lambda: store.announce(worker, 60.0))
    tell("workers", lambda: [worker.id for worker in store.workers()])
    tell("forget", lambda: store.forget_worker("w-1-a"))
    tell("audit", lambda: store.audit("default", b"entry"))
    tell("entries", lambda: store.audit_entries("default"))
    tell("ring", lambda: store.ring("cpu"))
    tell("expire", store.expire)
    tell("usage", lambda: store.usage("default"))
    tell("list", lambda: [record.id for record in store.list("default")])
    for name in ("a", "c", "d"):
        tell(f"results {name}", lambda name=name: store.unit_results("default", name))
        tell(f"events {name}", lambda name=name: store.events(name, 0, 100))


async def uploads(teller: Teller, settings: StoreSettings) -> None:
    """What the gateway does with the bytes of a client."""
    async with connect_async(settings) as redis:
        artifacts = AsyncArtifactStore(redis, settings)
        content = bytes(range(256)) * 8192
        for declared in (hashlib.sha256(content).hexdigest(), "0" * 64):
            upload_id = await artifacts.begin("default", declared, len(content), "text/plain")
            assert isinstance(upload_id, str)
            for at in range(0, len(content), 1 << 20):
                await artifacts.append("default", upload_id, at, content[at : at + (1 << 20)])
            teller.told.append(repr(await artifacts.query("default", upload_id)))
            try:
                sealed = await artifacts.seal("default", upload_id)
            except SparringError as error:
                teller.told.append(type(error).__name__)
            else:
                teller.told.append(f"{sealed.size_bytes} {sealed.sha256}")
        await artifacts.aclose()


def everything(redis: Redis) -> list[tuple[str, str]]:
    """All that the store holds, without times and drawn ids."""
    read = {
        b"string": redis.get,
        b"hash": lambda key: sorted(redis.hgetall(key).items()),
        b"zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
        b"set": lambda key: sorted(redis.smembers(key)),
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"stream": redis.xrange,
    }
    held = {key: f"{read[redis.type(key)](key)!r}" for key in redis.scan_iter(count=1000) if b":cel:" not in key}
    return sorted((neutral(key.decode()), neutral(value)) for key, value in held.items())


def neutral(text: str) -> str:
    text = _REST.sub("", _TIMES.sub("TIME", text))
    # Where that is missing, the rest of its table comes in another order; everything else keeps its place.
    return _TABLE.sub(_in_order, _DRAWN.sub("ID", _LEFT.sub(r"\1SOME", text)))


def _in_order(table: re.Match[str]) -> str:
    return "{" + ",".join(sorted(entry.strip() for entry in table[1].split(",") if entry.strip())) + "}"


@contextmanager
def life(folder: Path, binary: str | None) -> Iterator[tuple[StoreSettings, int]]:
    """An empty store."""
    with start(folder, binary=binary) as server:
        settings = StoreSettings(server.url)
        with connect(settings) as redis:
            JobStore(redis, settings).load_functions()
        yield settings, server.port


async def told(settings: StoreSettings) -> list[str]:
    with connect(settings) as redis:
        teller = Teller(settings, redis)
        jobs(teller)
        names(teller)
        await uploads(teller, settings)
    return [neutral(line) for line in teller.told]


async def test_a_life_in_which_every_first_answer_is_lost_is_the_same_life(tmp_path, store, report):
    binary = store_binary(store)
    with life(tmp_path / "quiet", binary) as (settings, _):
        expected = await told(settings)
        with connect(settings) as redis:
            left = everything(redis)
            published = functions(redis)
    asked: set[str] = set()
    seen: set[bytes] = set()

    def lossy(request: bytes) -> bool:
        """Whether it is the first time that this is asked."""
        names = net_functions.called(request)
        if not (names or request.startswith(b"*5\r\n$3\r\nSET")) or request in seen:
            return False
        seen.add(request)
        asked.update(names)
        return True

    with life(tmp_path / "lossy", binary) as (settings, port):
        proxy = Proxy(port, free_port())
        proxy.lossy = lossy
        with proxy.running():
            through = StoreSettings(settings.redis_url.replace(str(port), str(proxy.port)))
            assert different(await told(through), expected) == []
        with connect(settings) as redis:
            assert different(everything(redis), left) == []
    lost = proxy.done["answer lost"]
    report(Row(fault="F6 first answer lost", store=store, runs=1, injections=lost, jobs=4))
    assert lost >= len(seen) > 40
    assert asked | ONCE >= published, "every function is asked twice"


def different(found: list[Any], expected: list[Any]) -> list[tuple[Any, Any]]:
    """What is not as it should be, each beside what was expected."""
    return [pair for pair in zip_longest(found, expected) if pair[0] != pair[1]]


def functions(redis: Redis) -> set[str]:
    """The names of the functions that change something."""
    listed = redis.execute_command("FUNCTION", "LIST")
    return {
        dict(zip(function[::2], function[1::2], strict=True))[b"name"].decode().partition("_")[2]
        for library in listed
        for function in dict(zip(library[::2], library[1::2], strict=True))[b"functions"]
        if b"no-writes" not in dict(zip(function[::2], function[1::2], strict=True))[b"flags"]
    }
