"""How far it scales, and where one Redis ends: `python benchmarks/scaling.py [--quick] [--write docs/scaling.md]`.

Starts an embedded stack of its own for each number of workers, with real gateways, a real store and real workers:

    one job over 1, 2, 4, 8 workers whose device is a stub that takes half a second for a shard, whatever it is
    one job over 1, 2 workers that compute (PGD on a small net), one thread each
    what one job, event, watcher, artifact and idle worker costs store and gateway (scaling_limits.py)

Throughput is shards over the time from the first claim to the last commit, by the store's own clock. The share of time
of gateway and store is the processor time that they took meanwhile, in per cent of one core.

Prints tables, writes out/benchmarks/scaling.json, with --write the same tables between the marks of a page. Ends with 1
where 8 stub workers are not 7 times as fast as one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import scaling_limits
import sparring
from scaling_limits import Figure
from stub_device import STUB_SEED

from services.connection import connect
from services.jobs.store import JobStore
from services.local import LocalStack, launch
from services.settings import StoreSettings

HERE = Path(__file__).resolve().parent
OUT = Path("out/benchmarks/scaling.json")
MARK = "<!-- figures: {} -->"
SHARD_S, SHARD_BYTES = 0.5, 200_000
BAR, STUBS = 7.0, (1, 2, 4, 8)
REAL = (1, 2)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One job over so many workers."""

    workers: int
    shards: int
    shards_per_s: float
    gateway_percent: float
    store_percent: float
    times_one: float = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a quarter of the shards; no judgement")
    parser.add_argument("--write", type=Path, help="a page with the marks of the tables")
    arguments = parser.parse_args()
    shards = 6 if arguments.quick else 24
    stubs = related([over(workers, shards * workers, stub=True) for workers in STUBS])
    real = related([over(workers, shards, stub=False) for workers in REAL])
    limits = measured_limits(quick=arguments.quick)
    tables = {"stub": rows(stubs), "real": rows(real), "limits": [figure.line() for figure in limits]}
    for title, lines in tables.items():
        print(f"\n{title}\n" + "\n".join(lines))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    figures = {"stub": stubs, "real": real, "limits": limits}
    kept = {name: [asdict(one) for one in several] for name, several in figures.items()}
    OUT.write_text(json.dumps(kept | {"machine": machine(), "load": os.getloadavg()}, indent=1) + "\n")
    if arguments.write is not None:
        write(arguments.write, tables)
    held = stubs[-1].times_one >= BAR
    print(
        f"\n{'held' if held else 'MISSED'}: {STUBS[-1]} stub workers are {stubs[-1].times_one:.2f} times as fast as 1"
    )
    return 0 if held or arguments.quick else 1


def over(workers: int, shards: int, *, stub: bool) -> Run:
    """One job over so many workers, all of them waiting before it comes."""
    with stack_of(workers, stub=stub) as stack, sparring.connect(stack.target) as client:
        model = given_model(client) if stub else trained_model(client)
        more: dict[str, Any] = {"seed": STUB_SEED, "batch_size": 1, "shard_size": 1} if stub else {"shard_size": 64}
        count = shards if stub else 64 * shards
        attack = sparring_attack(stub=stub)
        # Every worker has loaded the model before it counts.
        first = client.attack(model, "mnist10k", attack, split="train", offset=4000, count=count // 4, **more)
        client.jobs.wait(first, check=True)
        with spent(stack) as share:
            job = client.jobs.wait(
                client.attack(model, "mnist10k", attack, split="train", count=count, **more), check=True
            )
        settings = StoreSettings.from_env(stack.store_environment)
        with connect(settings) as redis:
            done, took_s = paced(JobStore(redis, settings), job.name)
        return Run(workers=workers, shards=done, shards_per_s=done / took_s, **share(took_s))


def sparring_attack(*, stub: bool) -> str:
    return "fgsm:epsilon=0.1" if stub else "pgd:epsilon=0.3,steps=40,step_size=0.01,restarts=2"


def paced(store: JobStore, job: str) -> tuple[int, float]:
    """Shards of a job, and the seconds from the first claim to the last commit of one."""
    record = store.get("default", job.removeprefix("jobs/"))
    claimed, committed = [], []
    after = 0
    while events := store.events(record.id, after, 1000):
        after = events[-1].id
        for event in events:
            if event.type == "unit" and event.payload["unit"] < record.units:
                {"claimed": claimed, "committed": committed}[event.payload["kind"]].append(event.time_ms)
    assert len(committed) == record.units, "every shard was committed once"
    return len(committed), (max(committed) - min(claimed)) / 1000


@contextmanager
def stack_of(workers: int, *, stub: bool) -> Iterator[LocalStack]:
    """An embedded stack, its workers those of stub_device.py if asked for."""
    before = launch.WORKER
    paths = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH", ""))))
    environment = {"PYTHONPATH": paths, "SCALING_SHARD_S": str(SHARD_S), "SCALING_SHARD_BYTES": str(SHARD_BYTES)}
    if stub:
        launch.WORKER = tuple("stub_device" if part == "workers.app" else part for part in before)
    try:
        with tempfile.TemporaryDirectory() as folder, LocalStack(workers, folder, environment=environment) as stack:
            yield stack
    finally:
        launch.WORKER = before


def given_model(client: sparring.Client) -> str:
    """A small net with random weights."""
    from workers.models import Signature, build, save

    weights = save(build(Signature("wong_cnn", (1, 28, 28), 10), seed=1))
    return client.models.upload(weights, architecture="wong_cnn", input_shape=(1, 28, 28), classes=10).name


def trained_model(client: sparring.Client) -> str:
    """A small net that is right about most samples, so that there is something to attack."""
    training = client.train("mnist10k", "standard", architecture="wong_cnn", epochs=2)
    return client.jobs.wait(training, check=True).result.model


@contextmanager
def spent(stack: LocalStack) -> Iterator[Callable[[float], Mapping[str, float]]]:
    """Yields what tells, afterwards, the shares of gateway and store in a time."""
    processes = {name: psutil.Process(stack.pid(name)) for name in ("gateway", "store")}
    before = {name: sum(process.cpu_times()[:2]) for name, process in processes.items()}
    took: dict[str, float] = {}

    def share(seconds: float) -> Mapping[str, float]:
        return {f"{name}_percent": 100 * cpu / seconds for name, cpu in took.items()}

    yield share
    took |= {name: sum(process.cpu_times()[:2]) - before[name] for name, process in processes.items()}


def related(runs: list[Run]) -> list[Run]:
    """The same runs, each with how many times as fast as the first it is."""
    return [Run(**(asdict(run) | {"times_one": run.shards_per_s / runs[0].shards_per_s})) for run in runs]


def rows(runs: list[Run]) -> list[str]:
    head = ["| workers | shards | shards a second | times one worker | gateway, % of a core | Redis, % of a core |"]
    head.append("|---|---|---|---|---|---|")
    return head + [
        f"| {run.workers} | {run.shards} | {run.shards_per_s:.2f} | **{run.times_one:.2f}** "
        f"| {run.gateway_percent:.1f} | {run.store_percent:.1f} |"
        for run in runs
    ]


def measured_limits(*, quick: bool) -> list[Figure]:
    """What each thing costs store and gateway."""
    with stack_of(2, stub=True) as stack, sparring.connect(stack.target) as client:
        return list(scaling_limits.measure(stack, client, quick=quick))


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def write(page: Path, tables: Mapping[str, list[str]]) -> None:
    """Put each table between its mark and the next empty line but one."""
    text = page.read_text(encoding="utf-8")
    for name, lines in tables.items():
        mark = MARK.format(name)
        before, found, after = text.partition(mark + "\n\n")
        assert found, f"{page} has no {mark}"
        text = before + found + "\n".join(lines) + "\n\n" + after.partition("\n\n")[2]
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
