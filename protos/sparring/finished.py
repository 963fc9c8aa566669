"""What a job had finished that did not succeed, as a flow: one file for each unit that was committed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sparring import transfer
from sparring.errors import FailedPrecondition
from sparring.flow import Call, Flow
from sparring.resume import Patience
from sparring.v1.artifacts_pb2_grpc import ArtifactServiceStub
from sparring.v1.jobs_pb2 import FinishedUnit, GetJobRequest, Job
from sparring.v1.jobs_pb2_grpc import JobServiceStub


def filename(unit: FinishedUnit) -> str:
    """Name a unit's file after its model and its samples: `net.500-749.safetensors`."""
    model = unit.model.rpartition("/")[2]
    return f"{model}.{unit.offset}-{unit.offset + unit.count - 1}.safetensors"


def finished(
    jobs: JobServiceStub,
    artifacts: ArtifactServiceStub,
    name: str,
    folder: Path,
    patience: Callable[[], Patience],
) -> Flow[list[Path]]:
    """Download every finished unit of a job into a folder, which is made if it is not there."""
    job: Job = yield Call(jobs.GetJob, GetJobRequest(name=name))
    if not job.finished_units:
        state = Job.State.Name(job.state).removeprefix("STATE_")
        raise FailedPrecondition(
            f"{name} is {state} and has no finished units to download: only attacks and evaluations that ended without "
            "success have them",
            reason="NOTHING_FINISHED",
        )
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for unit in job.finished_units:
        path = folder / filename(unit)
        yield from transfer.download(artifacts, unit.artifact, path, patience(), None)
        paths.append(path)
    return paths
