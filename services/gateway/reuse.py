"""What a job computes, as a digest: where a job of the same digest and models has succeeded, its result will do.

in the digest     spec and resolution with every default: data by name, selection and digest, every parameter, seed,
                  batch and shard sizes, the lane; signature and defense of each model; the code
beside it         name and digest of each model, which the store compares (`upcoming.pins`)
the code          the version of this program, and a digest of the sources of `services` and, where they are installed
                  beside the gateway, `workers`
not in it         the machine, its threads, the versions of torch and numpy; what is asked of the device's class and
                  memory; display_name, limits, `after`
never the same    data of mounted folders, whose files no digest pins, and plug-ins, whose code none does
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from sparring.v1 import attacks_pb2, datasets_pb2, jobs_pb2

from services.artifacts.store import AsyncArtifactStore
from services.errors import NotFound
from services.gateway import catalog, needs
from services.jobs.record import JobRecord

SOURCES = ("services", "workers")
# The report's templates and bibliography are as much of a result as the code that fills them in.
SUFFIXES = frozenset({".py", ".html", ".bib", ".json", ".lua"})
# Where each kind of spec names its models.
_NAMED = {"attack": "model", "evaluation": "models", "training": "initial_model"}


def content(job: jobs_pb2.Job) -> str:
    """Return the digest of what a resolved job computes; empty where it is never the same."""
    if not _pinned(job):
        return ""
    asked = jobs_pb2.Job()
    asked.CopyFrom(job)
    for field in ("display_name", "limits", "after"):
        asked.ClearField(field)
    needs.forget(asked)
    # What a model was called when it was asked for; what it is stands in the resolution.
    kind = str(job.WhichOneof("spec"))
    if kind in _NAMED:
        getattr(asked, kind).ClearField(_NAMED[kind])
    for model in asked.resolution.models:
        model.ClearField("name")
        model.ClearField("weights_sha256")
    digest = hashlib.sha256(f"{code()} {_built_in(job)}\0".encode())
    digest.update(asked.SerializeToString(deterministic=True))
    return digest.hexdigest()


@cache
def code() -> str:
    """Return the version of this program and a digest of its sources as they are installed here."""
    digest = hashlib.sha256()
    for package in SOURCES:
        spec = find_spec(package)
        for folder in [] if spec is None else spec.submodule_search_locations or []:
            for path in sorted(path for path in Path(folder).rglob("*") if path.suffix in SUFFIXES):
                digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return f"{version('sparring')} {digest.hexdigest()}"


async def still_there(artifacts: AsyncArtifactStore, record: JobRecord) -> bool:
    """Tell whether a result is of this version of the program and has all its files; these are kept for longer."""
    result = jobs_pb2.JobResult.FromString(record.result)
    if result.provenance.get("sparring", version("sparring")) != version("sparring"):
        return False
    try:
        for item in result.artifacts:
            await artifacts.touch(record.tenant, item.artifact.removeprefix("artifacts/"))
    except NotFound:
        return False
    return True


def _pinned(job: jobs_pb2.Job) -> bool:
    """Tell whether digests pin everything that goes in."""
    data = (job.resolution.data, job.resolution.evaluation_data)
    mounted = any(one.source == datasets_pb2.DATASET_SOURCE_MOUNTED for one in data)
    return not mounted and not any(attack.HasField("plugin") for attack in _attacks(job))


def _attacks(job: jobs_pb2.Job) -> Iterator[attacks_pb2.Attack]:
    yield job.attack.attack
    yield from job.evaluation.attacks
    for curve in job.evaluation.curves:
        yield curve.attack


def _built_in(job: jobs_pb2.Job) -> str:
    """Return the digests of built-in data, which a resolution does not repeat."""
    known = catalog.built_in_datasets()
    names = (job.resolution.data.dataset, job.resolution.evaluation_data.dataset)
    return " ".join(known[name].digest for name in names if name in known)
