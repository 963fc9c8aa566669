"""The Celery worker: `celery -A workers.app worker --without-gossip --without-mingle --without-heartbeat`.

Celery starts one child process, hands it the bells, and starts another when it dies. What is worked on, and whether it
was done, is decided by the leases (`workers.lease`). Only the child imports torch: the parent stays small, survives a
crash of the computation, and tells the store of it. Children are spawned, so no fork can hurt the parent's threads.

    SPARRING_LANE=gpu     one such process for each GPU; each takes the first GPU that no other holds
"""

from __future__ import annotations

import logging
import os
import platform
import secrets
import shutil
import signal
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from celery import Celery
from celery.signals import (
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_shutdown,
    worker_shutting_down,
)
from kombu.entity import Queue

from services.artifacts.store import ArtifactStore
from services.connection import connect
from services.jobs import doorbell
from services.jobs.record import Lease, WorkerRecord
from services.jobs.store import JobStore
from services.settings import StoreSettings, WorkerSettings
from services.telemetry import logs, tracing
from services.telemetry.metrics_serving import serve_if_possible
from services.telemetry.metrics_worker import MEASURED
from services.telemetry.settings import TelemetrySettings
from workers.failures import DeviceLost, Interrupted
from workers.lease import Drain, Heartbeat, Holding, Limits, Outcome, Presence, Watch, Worker, loglines
from workers.lease.doorman import Doorman
from workers.lease.pool import WatchedPool

logger = logging.getLogger(__name__)

DRAIN_VARIABLE = "SPARRING_DRAIN_FILE"
EX_IOERR, EX_CONFIG = 74, 78
# A child that has not been heard of for so long after its lease ran out hangs.
HUNG_AFTER_LEASE_S = 20.0


def broker_url(settings: StoreSettings) -> str:
    """The store's address as Celery takes it: password included, and kombu's own word for a socket."""
    parts = urlsplit(settings.redis_url)
    scheme = "redis+socket" if parts.scheme == "unix" else parts.scheme
    where = parts.netloc
    if settings.redis_password is not None:
        user, _, host = where.rpartition("@")
        where = f"{user.partition(':')[0]}:{quote(settings.redis_password, safe='')}@{host}"
    query = f"?{parts.query}" if parts.query else ""
    return f"{scheme}://{where}{parts.path}{query}"


def configuration(settings: WorkerSettings) -> dict[str, Any]:
    """Celery as a doorbell: no results, no events, no remote control, nothing fetched ahead."""
    return {
        "broker_url": broker_url(settings.store),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            # A bell is not kept until it was answered: that would be a write, which a full store refuses, and then the
            # whole worker ends; and a bell that is lost is rung again.
            "ack_emulation": False,
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 15,
            "global_keyprefix": doorbell.KEY_PREFIX,
        },
        "task_queues": [Queue(settings.lane, routing_key=settings.lane)],  # type: ignore[no-untyped-call]
        "task_default_queue": settings.lane,
        # Early ack: a message that is lost with its worker is rung again, one that is repeated finds nothing to claim.
        "task_acks_late": False,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "task_serializer": "json",
        "accept_content": ["json"],
        "result_backend": None,
        "worker_concurrency": 1,
        "worker_pool": "workers.lease.pool:WatchedPool",
        # Spawned, not forked: torch and CUDA do not survive a fork.
        "worker_pool_start_method": "spawn",
        # The import of torch counts; a GPU that is not free yet is waited for.
        "worker_proc_alive_timeout": 120.0,
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "worker_max_tasks_per_child": 10_000,
    }


# A line for each bell says nothing that the lines for the units do not say.
for chatty in ("celery.app.trace", "celery.worker.strategy"):
    logging.getLogger(chatty).setLevel(logging.WARNING)
loglines.take_over()

app = Celery("sparring")
app.conf.update(configuration(WorkerSettings.from_env()))


class _Parent:
    """What the process that Celery's main loop runs in holds."""

    folder: str | None = None
    doorman: Doorman | None = None


class _Child:
    """What the computing process holds from its start to its end."""

    worker: Worker | None = None


def compute(lease: Lease, heartbeat: Heartbeat, context: Any) -> Outcome:
    """What a child does with a unit; an application of its own may put another function in this one's place."""
    # Imported here, as the parent must not load torch.
    from workers.run import run_unit

    return run_unit(lease, heartbeat, context)


def doorman_of(settings: WorkerSettings) -> Doorman | None:
    """Who waits for previews; nobody where this worker is to answer none."""
    return Doorman(settings.store) if settings.previews else None


@worker_init.connect  # type: ignore[untyped-decorator]
def _agree_on_the_signs(**_: object) -> None:
    """In the parent, before its child starts: agree with it on the files that they speak by, and begin to watch."""
    if DRAIN_VARIABLE not in os.environ:
        _Parent.folder = tempfile.mkdtemp(prefix="sparring-worker-")
        os.environ[DRAIN_VARIABLE] = str(Path(_Parent.folder) / "drain")
    drain, settings = _drain(), WorkerSettings.from_env()
    drain.clear()
    holding = Holding.beside(drain)
    holding.let_go()
    store = JobStore(connect(settings.store), settings.store)
    WatchedPool.watch = Watch(store, holding, drain, hung_s=settings.lease_s + HUNG_AFTER_LEASE_S)
    WatchedPool.watch.start()
    _Parent.doorman = doorman_of(settings)
    if _Parent.doorman is not None:
        _Parent.doorman.start()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _give_the_sign(**_: object) -> None:
    """In the parent, at SIGTERM: Celery waits for the child's task to end, and this makes it end soon."""
    _drain().request()


@worker_shutdown.connect  # type: ignore[untyped-decorator]
def _take_away_the_signs(**_: object) -> None:
    """In the parent, once the child's task has ended."""
    if _Parent.doorman is not None:
        _Parent.doorman.stop()
    if WatchedPool.watch is not None:
        WatchedPool.watch.stop()
    _drain().clear()
    Holding.beside(_drain()).remove()
    if _Parent.folder is not None:
        shutil.rmtree(_Parent.folder, ignore_errors=True)


def _drain() -> Drain:
    return Drain(Path(os.environ[DRAIN_VARIABLE]))


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _begin(**_: object) -> None:
    """In the child: become a worker, or end the whole process, so that whoever watches it sees that it can't start."""
    try:
        _become_a_worker()
    except Interrupted:
        logger.info("told to shut down before it was ready")
        _end()
        os._exit(0)
    except Exception:  # Celery would log it, and keep a child that can do nothing
        logger.exception("this worker can't start")
        os.kill(os.getppid(), signal.SIGTERM)
        os._exit(EX_CONFIG)


def _become_a_worker() -> None:
    """Import torch, take a device, say that a worker is there."""
    # Imported here, as the parent must not load torch.
    from workers.run import Context, device, mounts, places

    settings = WorkerSettings.from_env()
    drain = _drain()
    here = device.take(settings.lane, settings.threads, drain, settings.processes)
    redis = connect(settings.store)
    store = JobStore(redis, settings.store)
    context = Context(
        artifacts=ArtifactStore(redis, settings.store),
        store=store,
        device=here.device,
        devices=here.devices,
        data_root=settings.data_root,
        max_artifact_bytes=settings.store.max_artifact_bytes,
    )
    record = WorkerRecord(
        id=f"{platform.node()}-{os.getpid()}-{secrets.token_hex(2)}",
        lane=settings.lane,
        device_name=here.name,
        device_class=settings.device_class,
        memory_bytes=device.capacity(here.device),
        unit=None,
        last_seen_ms=0,
        versions={name: version(name) for name in ("sparring", "torch")} | {"python": platform.python_version()},
    )
    logs.describe(worker=record.id)
    tracing.configure("sparring-worker", TelemetrySettings.from_env())
    heartbeat_file = None if settings.heartbeat_file is None else Path(settings.heartbeat_file)
    _Child.worker = Worker(
        store=store,
        presence=Presence(store, record, heartbeat_file),
        drain=drain,
        run=lambda lease, heartbeat: compute(lease, heartbeat, context),
        limits=Limits(lease_s=settings.lease_s, stall_s=settings.stall_s),
        holding=Holding.beside(drain),
    )
    places.wait_for(context.artifacts, drain)
    _Child.worker.presence.start()
    MEASURED.describe(settings.lane, here.name, lambda: device.memory(here.device))
    # In the child, whose numbers they are; the next one takes the port when this one is gone.
    serve_if_possible(settings.metrics_listen, MEASURED.registry)
    if settings.data_root is not None:
        mounts.announce(store, settings.data_root, drain)
    logger.info("ready on %s", here.name)


@worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def _end(**_: object) -> None:
    """In the child, at its end."""
    if _Child.worker is not None:
        _Child.worker.presence.stop()
    tracing.close()


@app.task(name=doorbell.TASK)  # type: ignore[untyped-decorator]
def bell(*_: object, **__: object) -> int:
    """Something may be ready: claim, run, write down, until nothing is claimable. Returns how many units there were.

    A SIGTERM that reaches the child (as when a whole process group gets it) makes it give back what it holds and leave.
    So does a device that is lost to it: the parent starts another child, which finds the device anew, or another one.
    """
    assert _Child.worker is not None, "Celery starts the child before it hands it a bell"
    drain = _Child.worker.drain
    before = signal.signal(signal.SIGTERM, lambda *_: drain.tell())
    try:
        units = _Child.worker.serve()
    except DeviceLost as lost:
        logger.critical("this process leaves, since its device is lost to it: %s", lost)
        _end()
        # Not by way of Python's own end, in which the driver may wait for what never comes.
        os._exit(EX_IOERR)
    finally:
        signal.signal(signal.SIGTERM, before)
    if drain.told:
        raise SystemExit(0)
    return units
