"""What the service costs over its floors: `python benchmarks/service.py [--rounds 9]`.

Starts an embedded stack of its own, and measures each thing and its floor in alternating rounds of one run:

    CreateJob                against a bare unary call whose handler does one fsynced SET
    submit to claim          against Celery's publish to start, through the same worker process
    upload                   of 100 MiB, against the bare loop of 1 MiB SETs on the same store
    download                 of 100 MiB, against the bare loop of 1 MiB GETs; against that loop doing what a download
                             has to do with the bytes (keep them, check their SHA-256); and the same behind a bare
                             gRPC stream, which shows what grpcio itself costs
    the engine's BIM         against a bare loop of forward and input gradient (benchmarks/engine.py)

Prints medians and ratios, writes out/benchmarks/service.json, and ends with 1 if a bar was missed.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import sparring
from rounds import Ratio, clock, compare, write
from sparring.v1 import jobs_pb2, jobs_pb2_grpc

from services.connection import connect, connect_async
from services.jobs.record import NewJob
from services.jobs.store import JobStore
from services.local import LocalStack
from services.settings import StoreSettings

MIB = 1 << 20
SIZE_MIB = 100
HERE = Path(__file__).resolve().parent
OUT = Path("out/benchmarks")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="alternating rounds of each pair")
    parser.add_argument("--floor-server", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.floor_server:
        asyncio.run(floor_server())
        return 0
    ratios: list[Ratio] = []
    with tempfile.TemporaryDirectory() as folder, LocalStack(workers=0, data_dir=folder) as stack:
        os.environ |= stack.store_environment
        settings = StoreSettings.from_env()
        for measure in (create_job, submit_to_claim, transfers):
            for ratio in measure(stack.target, settings, arguments.rounds):
                print(ratio.line(), flush=True)
                ratios.append(ratio)
    for ratio in engine(arguments.rounds):
        print(ratio.line(), flush=True)
        ratios.append(ratio)
    write(OUT / "service.json", ratios)
    return 0 if all(ratio.held for ratio in ratios) else 1


def create_job(target: str, _: StoreSettings, rounds: int, calls: int = 60) -> Iterator[Ratio]:
    """The job asks for a GPU that is not there, so it stays queued and nothing runs beside the measurement."""
    spec = jobs_pb2.TrainingSpec(architecture="wong_cnn", device=jobs_pb2.DEVICE_GPU, data={"dataset": "mnist10k"})
    made: list[str] = []
    with floor() as port, grpc.insecure_channel(target) as channel, grpc.insecure_channel(port) as bare:
        jobs = jobs_pb2_grpc.JobServiceStub(channel)
        set_one = bare.unary_unary("/floor.Floor/Set")

        def create() -> None:
            request = jobs_pb2.CreateJobRequest(training=spec, request_id=str(uuid.uuid4()))
            made.append(jobs.CreateJob(request).name)

        body = jobs_pb2.CreateJobRequest(training=spec, request_id=str(uuid.uuid4())).SerializeToString()
        ours, theirs = alternate(rounds, calls, create, lambda: set_one(body))
        for name in made:
            jobs.CancelJob(jobs_pb2.CancelJobRequest(name=name))
            jobs.DeleteJob(jobs_pb2.DeleteJobRequest(name=name))
    yield compare("CreateJob against unary + fsynced SET", ours, theirs, at_most=2.0)


@contextmanager
def floor() -> Iterator[str]:
    """A bare aio server in a process of its own; yields its address."""
    command = [sys.executable, __file__, "--floor-server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


async def floor_server() -> None:
    redis = connect_async(StoreSettings.from_env())

    async def set_one(body: bytes, context: object) -> bytes:
        del context
        await redis.set("bench:floor", body)
        return b"ok"

    async def get_all(body: bytes, context: object) -> AsyncIterator[bytes]:
        del body, context
        for number in range(SIZE_MIB):
            yield await redis.get(f"bench:{number}")

    handlers = {
        "Set": grpc.unary_unary_rpc_method_handler(set_one),
        "GetAll": grpc.unary_stream_rpc_method_handler(get_all),
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("floor.Floor", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


def submit_to_claim(_: str, settings: StoreSettings, rounds: int, calls: int = 30) -> Iterator[Ratio]:
    """Both go through one Celery worker, with the pool and the options that Sparring runs with."""
    with bell_worker(settings) as (notes, publish):
        store = JobStore(connect(settings), settings)

        def submit(name: str) -> None:
            store.submit(new_job(name))

        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(statistics.median(noted(notes, submit) for _ in range(calls)))
            theirs.append(statistics.median(noted(notes, publish) for _ in range(calls)))
    yield compare("submit to claim against Celery's publish to start", ours, theirs, at_most=1.5)


def new_job(name: str) -> NewJob:
    return NewJob(
        id=name,
        tenant="default",
        kind="training",
        lane="cpu",
        spec=b"",
        spec_hash=name,
        request_id="",
        units=1,
        display_name="",
    )


@contextmanager
def bell_worker(settings: StoreSettings) -> Iterator[tuple[Path, Callable[[str], None]]]:
    """The worker of bell_worker.py, on the queue of the bells; yields its notes and a publisher of the floor's task."""
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "notes"
        notes.touch()
        environment = os.environ | {
            "BENCH_NOTES": str(notes),
            "PYTHONPATH": str(HERE),
        }
        from workers.app import app

        quiet = ("-Q", "cpu", "--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "ERROR")
        command = [sys.executable, "-m", "celery", "-A", "bell_worker", "worker", *quiet]
        with subprocess.Popen(command, env=environment) as process:
            try:
                store = JobStore(connect(settings), settings)
                wait_until(lambda: bool(store.workers()), 60)
                yield notes, lambda name: app.send_task("bench.start", (name,), queue="cpu")
            finally:
                process.terminate()


def noted(notes: Path, send: Callable[[str], None]) -> float:
    """Seconds from before the send to the worker's note of it."""
    name = uuid.uuid4().hex
    begin = time.monotonic_ns()
    send(name)
    found: list[int] = []

    def look() -> bool:
        last = notes.read_text().splitlines()[-1:]
        found.extend(int(line.split()[1]) for line in last if line.startswith(name))
        return bool(found)

    wait_until(look, 10)
    time.sleep(0.02)  # The worker ends its task and asks for the next one.
    return (found[0] - begin) / 1e9


def wait_until(done: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"nothing came in {timeout_s} s")
        time.sleep(0.002)


def transfers(target: str, settings: StoreSettings, rounds: int) -> Iterator[Ratio]:
    """The client checks every byte that it sends or receives; the bare loop does not."""
    redis = connect(settings)
    chunk = os.urandom(MIB)

    def set_all() -> None:
        for number in range(SIZE_MIB):
            redis.set(f"bench:{number}", chunk)

    def get_all() -> None:
        for number in range(SIZE_MIB):
            assert len(redis.get(f"bench:{number}") or b"") == MIB

    with floor() as port, grpc.insecure_channel(port) as bare, sparring.connect(target) as client:
        stream = bare.unary_stream("/floor.Floor/GetAll")

        up, up_floor, down, down_floor, kept_floor, stream_floor, bare_stream = [], [], [], [], [], [], []
        for number in range(rounds):
            data = bytes([number]) + os.urandom(SIZE_MIB * MIB - 1)
            name = f"artifacts/{hashlib.sha256(data).hexdigest()}"
            up_floor.append(clock(set_all))
            up.append(clock(lambda data=data: client.artifacts.upload(data)))
            down_floor.append(clock(get_all))
            bare_stream.append(clock(lambda: sum(len(message) for message in stream(b""))))
            kept_floor.append(clock(lambda: keep(redis.get(f"bench:{index}") or b"" for index in range(SIZE_MIB))))
            stream_floor.append(clock(lambda: keep(stream(b""))))
            down.append(clock(lambda name=name: client.artifacts.read(name)))
            client.artifacts.delete(name)
        for number in range(SIZE_MIB):
            redis.delete(f"bench:{number}")
    yield compare("upload of 100 MiB, speed against the bare loop of SETs", up, up_floor, at_least=0.6)
    yield compare("download of 100 MiB, speed against the bare loop of GETs", down, down_floor, at_least=0.6)
    yield compare("  ... against GETs that are kept and hashed", down, kept_floor, at_least=0.6)
    yield compare("  ... against such GETs behind a bare gRPC stream", down, stream_floor, at_least=0.6)
    ceiling = statistics.median(direct / behind for direct, behind in zip(down_floor, bare_stream, strict=True))
    medians = [statistics.median(times) * 1e3 for times in (bare_stream, down_floor)]
    yield Ratio("  (a bare gRPC stream of GETs, nothing kept, against the loop)", *medians, ceiling, bar="", held=True)


def keep(pieces: Iterable[bytes]) -> bytes:
    """All bytes in one piece, and their digest, as a client that trusts nobody has them."""
    whole, digest = io.BytesIO(), hashlib.sha256()
    for piece in pieces:
        whole.write(piece)
        digest.update(piece)
    assert len(digest.hexdigest()) == 64
    assert whole.tell() == SIZE_MIB * MIB
    return whole.getvalue()


def engine(rounds: int) -> Iterator[Ratio]:
    """The engine's BIM over the bare loop, from benchmarks/engine.py, once nothing else runs."""
    path = OUT / "engine.json"
    subprocess.run(
        [sys.executable, str(HERE / "engine.py"), "--rounds", str(rounds), "--out", str(path)],
        check=False,  # it ends with 1 where a bound was missed, which the rows say too
        stdout=subprocess.DEVNULL,
    )
    words = {"off": "every sample, every step", "on": "survivors only", "unbroken": "looking for survivors in vain"}
    for row in json.loads(path.read_text())["rows"]:
        if row["bound"] is not None:
            name = f"BIM, N = {row['n']}, {words[row['mode']]}, against a bare loop"
            held = row["ratio"] <= row["bound"]
            yield Ratio(name, row["engine_cpu_ms"], row["bare_cpu_ms"], row["ratio"], f"<= {row['bound']:g}", held)


def alternate(rounds: int, calls: int, *things: Callable[[], object]) -> list[list[float]]:
    """The median of `calls` calls of each thing, in rounds that alternate; after a warm-up."""
    for thing in things:
        for _ in range(calls):
            thing()
    medians: list[list[float]] = [[] for _ in things]
    for _ in range(rounds):
        for thing, kept in zip(things, medians, strict=True):
            kept.append(statistics.median(clock(thing) for _ in range(calls)))
    return medians


if __name__ == "__main__":
    sys.exit(main())
