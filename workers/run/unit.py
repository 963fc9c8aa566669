"""One unit at work: what it was given, what it may fetch and put, and whom it reports to."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

import torch
from sparring.v1 import datasets_pb2, jobs_pb2

from services import faultpoints
from services.artifacts.store import ArtifactStore
from services.errors import DataLoss, NotFound
from services.jobs.record import Lease, UnitResult
from services.jobs.store import JobStore
from services.telemetry import tracing
from services.telemetry.metrics_worker import MEASURED
from workers import data
from workers.data import Dataset
from workers.failures import Rejected
from workers.lease import Heartbeat
from workers.models import Classifier, load
from workers.run import messages
from workers.run.cache import Cache

Value = TypeVar("Value")
BINARY = "application/octet-stream"
MODELS_KEPT = 4
DATASETS_KEPT = 2
# Larger mounted selections (in bytes of their pictures as uint8) are read shard by shard.
MOUNTED_BYTES_KEPT = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a worker holds from one unit to the next."""

    store: JobStore
    artifacts: ArtifactStore
    device: torch.device
    # Those that a training is spread over; empty for `device` alone.
    devices: tuple[torch.device, ...] = ()
    data_root: str | None = None
    max_artifact_bytes: int = 2 << 30
    models: Cache[Classifier] = field(default_factory=lambda: Cache(MODELS_KEPT))
    datasets: Cache[Dataset] = field(default_factory=lambda: Cache(DATASETS_KEPT))


class Insist(Protocol):
    """Makes a call to the store, however often it takes."""

    def __call__(self, call: Callable[[], Value]) -> Value:
        """What the call answers."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads one tenant's models and data, by way of what the worker has kept of them."""

    tenant: str
    context: Context
    insist: Insist

    def fetch(self, sha256: str, what: str) -> bytes:
        """An artifact's bytes; raises Rejected where they are gone or damaged."""
        try:
            return self.insist(lambda: self.context.artifacts.get(self.tenant, sha256))
        except NotFound as error:
            message = f"{what} (artifact {sha256}) is not there any more; upload or make it again, and create a new job"
            raise Rejected("ARTIFACT_MISSING", message) from error
        except DataLoss as error:
            message = f"{what} (artifact {sha256}) is damaged in the store; upload or make it again: {error.message}"
            raise Rejected("ARTIFACT_DAMAGED", message) from error

    def model(self, resolved: jobs_pb2.ResolvedModel) -> Classifier:
        """A model on this worker's device, checked as a stranger's file is."""
        sha256, signature = resolved.weights_sha256, messages.signature(resolved.signature)

        def make() -> Classifier:
            return load(self.fetch(sha256, f"the weights of {resolved.name}"), signature).to(self.context.device)

        with tracing.span("fetch model", {"sparring.model": resolved.name}):
            return self._kept(self.context.models, (sha256, signature), make)

    def samples(self, selection: jobs_pb2.ResolvedData, start: int = 0, stop: int | None = None) -> Dataset:
        """The samples [start, stop) of a selection; of a large mounted folder, those files alone are read."""
        end = selection.count if stop is None else stop
        size = selection.count * math.prod(selection.input_shape)
        if selection.source == datasets_pb2.DATASET_SOURCE_MOUNTED and size > MOUNTED_BYTES_KEPT:
            return self._mounted(selection, selection.offset + start, end - start)
        if selection.source == datasets_pb2.DATASET_SOURCE_MOUNTED:
            key = (selection.dataset, selection.split, selection.offset, selection.count)
            make = partial(self._mounted, selection, selection.offset, selection.count)
            return self._kept(self.context.datasets, key, make).select(start, end - start)
        return self._whole(selection).select(selection.offset + start, end - start)

    def _whole(self, selection: jobs_pb2.ResolvedData) -> Dataset:
        """The whole split of a built-in or an uploaded dataset."""
        if selection.source == datasets_pb2.DATASET_SOURCE_BUILT_IN:
            return data.builtin(selection.dataset, selection.split)
        key = (selection.images_sha256, selection.labels_sha256, selection.classes)
        return self._kept(self.context.datasets, key, lambda: self.uploaded(*key))

    def uploaded(self, images_sha256: str, labels_sha256: str, classes: int) -> Dataset:
        """The dataset that uploaded arrays make, every pixel and label checked."""
        images = self.fetch(images_sha256, "the pictures")
        labels = None if labels_sha256 == images_sha256 else self.fetch(labels_sha256, "the labels")
        return data.from_arrays(images, labels, classes)

    def _kept(self, cache: Cache[Value], key: Hashable, make: Callable[[], Value]) -> Value:
        """What earlier work of the same tenant has left in a cache; nobody meets what another tenant has loaded."""
        whole = (self.tenant, key)
        MEASURED.asked_cache("models" if cache is self.context.models else "datasets", hit=whole in cache)
        return cache.get(whole, make)

    def _mounted(self, selection: jobs_pb2.ResolvedData, offset: int, count: int) -> Dataset:
        root = self.context.data_root
        if root is None:
            message = f"datasets/{selection.dataset} is not mounted here; all workers need the same SPARRING_DATA_ROOT"
            raise Rejected("DATASET_NOT_MOUNTED", message)
        return data.mounted(root, selection.dataset, selection.split, offset=offset, count=count)


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A leased unit with its job. Whatever it reads, puts or keeps for the next unit is its tenant's."""

    lease: Lease
    job: jobs_pb2.Job
    heartbeat: Heartbeat
    context: Context

    @property
    def name(self) -> str:
        """`jobs/{job}`."""
        return f"jobs/{self.lease.job_id}"

    def put(self, content: bytes, media_type: str = BINARY, ttl_s: float | None = None) -> str:
        """Keep bytes as an artifact; its digest."""
        limit = self.context.max_artifact_bytes
        if len(content) > limit:
            message = f"the result has {len(content)} bytes, the server's cap is {limit}; select fewer samples"
            raise Rejected("RESULT_TOO_LARGE", message)
        if not self.lease.closing:
            faultpoints.reach("worker.computed")
        put = partial(self.context.artifacts.put, self.lease.tenant, content, media_type, ttl_s)
        with tracing.span("put artifact", {"sparring.bytes": len(content)}):
            sha256 = self.heartbeat.insist(put)
        if not self.lease.closing:
            faultpoints.reach("worker.put")
        return sha256

    def put_parts(self, parts: Callable[[], Iterable[bytes]], media_type: str) -> tuple[str, int]:
        """Keep what `parts` yields as one artifact; its digest and its size."""
        put = self.context.artifacts.put_parts
        with tracing.span("put artifact"):
            return self.heartbeat.insist(lambda: put(self.lease.tenant, parts(), media_type))

    def results(self) -> list[UnitResult]:
        """What the units before the closing one committed, in their order."""
        lease = self.lease
        return self.heartbeat.insist(lambda: self.context.store.unit_results(lease.tenant, lease.job_id))

    @property
    def reader(self) -> Reader:
        """What reads models and data for it."""
        return Reader(tenant=self.lease.tenant, context=self.context, insist=self.heartbeat.insist)

    def fetch(self, sha256: str, what: str) -> bytes:
        """See `Reader.fetch`."""
        return self.reader.fetch(sha256, what)

    def model(self, resolved: jobs_pb2.ResolvedModel) -> Classifier:
        """See `Reader.model`."""
        return self.reader.model(resolved)

    def samples(self, selection: jobs_pb2.ResolvedData, start: int = 0, stop: int | None = None) -> Dataset:
        """See `Reader.samples`."""
        with tracing.span("fetch data", {"sparring.dataset": selection.dataset}):
            return self.reader.samples(selection, start, stop)

    def uploaded(self, images_sha256: str, labels_sha256: str, classes: int) -> Dataset:
        """See `Reader.uploaded`."""
        return self.reader.uploaded(images_sha256, labels_sha256, classes)
