"""A gateway in the test's own event loop, on a real Valkey, and a hand that plays the worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from sparring.v1 import (
    artifacts_pb2_grpc,
    attacks_pb2,
    catalog_pb2_grpc,
    datasets_pb2,
    datasets_pb2_grpc,
    jobs_pb2,
    jobs_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
    tenants_pb2_grpc,
)

from services.gateway.options import Options
from services.gateway.server import Gateway
from services.jobs.record import Registration, WorkerRecord
from services.jobs.store import JobStore
from services.settings import GatewaySettings

WEIGHTS = "a" * 64


class Stubs:
    """Every service of one gateway."""

    def __init__(self, channel):
        self.channel = channel
        self.jobs = jobs_pb2_grpc.JobServiceStub(channel)
        self.models = models_pb2_grpc.ModelServiceStub(channel)
        self.datasets = datasets_pb2_grpc.DatasetServiceStub(channel)
        self.artifacts = artifacts_pb2_grpc.ArtifactServiceStub(channel)
        self.catalog = catalog_pb2_grpc.CatalogServiceStub(channel)
        self.tenants = tenants_pb2_grpc.TenantServiceStub(channel)


@pytest.fixture
async def gateway(job_store, store_settings) -> AsyncIterator[str]:
    """The address of a gateway."""
    running = Gateway(GatewaySettings(store_settings, listen="127.0.0.1:0", max_samples=5000), Options(drain_s=0))
    yield await running.start()
    await running.stop()


@pytest.fixture
async def stubs(gateway) -> AsyncIterator[Stubs]:
    """A client of it."""
    async with grpc.aio.insecure_channel(gateway) as channel:
        yield Stubs(channel)


@dataclass
class Refusal:
    """What a client learns from an error."""

    code: str = "OK"
    message: str = ""
    reason: str = ""
    fields: dict = field(default_factory=dict)
    retry: bool = False
    resource: str = ""


@pytest.fixture
def refusal():
    """Await a call and return why it was refused."""

    async def wait(call):
        try:
            await call
        except grpc.aio.AioRpcError as error:
            return of_error(error)
        return Refusal()

    def of_error(error):
        status = rpc_status.from_call(error)
        found = Refusal(code=error.code().name, message=error.details())
        for detail in status.details if status is not None else ():
            for kind in ("ErrorInfo", "BadRequest", "RetryInfo", "ResourceInfo"):
                message = getattr(error_details_pb2, kind)()
                if detail.Unpack(message):
                    take[kind](found, message)
        return found

    take = {
        "ErrorInfo": lambda found, message: setattr(found, "reason", message.reason),
        "BadRequest": lambda found, message: found.fields.update(
            {violation.field: violation.description for violation in message.field_violations}
        ),
        "RetryInfo": lambda found, message: setattr(found, "retry", message.retry_delay.ToNanoseconds() > 0),
        "ResourceInfo": lambda found, message: setattr(found, "resource", message.resource_name),
    }
    return wait


@pytest.fixture
def until():
    """Wait until an asynchronous check holds."""

    async def wait(check, seconds=20.0):
        async with asyncio.timeout(seconds):
            while not await check():  # noqa: ASYNC110 - what is waited for happens elsewhere and rings no bell
                await asyncio.sleep(0.02)

    return wait


class Worker:
    """Plays a worker: takes units and ends them without computing anything."""

    def __init__(self, store: JobStore):
        self.store = store
        self.claims = 0

    def listen(self, lane="cpu", unit=None, tenant="default"):
        self.store.announce(
            WorkerRecord(
                id="w1",
                lane=lane,
                device_name="a CPU",
                unit=unit,
                tenant=tenant if unit else None,
                last_seen_ms=0,
                versions={"torch": "2.13.0"},
            ),
            15.0,
        )

    def claim(self, lane="cpu", lease_ms=15_000):
        self.claims += 1
        return self.store.claim(f"claim-{id(self)}-{self.claims}", "w1", lane, lease_ms)

    def commit(self, lease):
        self.store.commit(lease, "w1", f"{lease.unit:064x}", {"seconds": 1.0})

    def finish(self, lease, result=None, registration=None):
        self.store.finish(lease, "w1", (result or jobs_pb2.JobResult()).SerializeToString(), registration)

    def finish_all(self, result=None, registration=None):
        """Take units until one closes its job."""
        while not (lease := self.claim()).closing:
            self.commit(lease)
        self.finish(lease, result, registration)


@pytest.fixture
def worker(job_store) -> Worker:
    """A worker that does nothing by itself."""
    return Worker(job_store)


def wong(job_store, name: str) -> str:
    """Make a model that is READY, Wong's net for 28x28 digits, and return its full name."""
    record = models_pb2.Model(
        name=f"models/{name}",
        state=models_pb2.Model.STATE_READY,
        weights=f"artifacts/{WEIGHTS}",
        signature=models_pb2.ModelSignature(architecture="wong_cnn", input_shape=[1, 28, 28], classes=10),
    )
    job_store.register("default", Registration(kind="model", id=name, record=record.SerializeToString()))
    return record.name


@pytest.fixture
def model(job_store) -> str:
    """The name of a model that is READY: Wong's net for 28x28 digits."""
    return wong(job_store, "m")


@pytest.fixture
def twin(job_store) -> str:
    """The name of another one with the same weights."""
    return wong(job_store, "twin")


@pytest.fixture
def attack(model) -> jobs_pb2.CreateJobRequest:
    """A small attack on that model: three units."""
    return jobs_pb2.CreateJobRequest(
        attack=jobs_pb2.AttackSpec(
            model=model,
            data=datasets_pb2.DataSelection(dataset="mnist10k", count=600),
            attack=attacks_pb2.Attack(fgsm=attacks_pb2.Fgsm()),
        )
    )
