"""`sparring artifacts ...`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from services.cli import listings, options, output, progress
from services.cli.connection import connected

if TYPE_CHECKING:
    from sparring.client import Client
    from sparring.v1.jobs_pb2 import Job, JobArtifact

_WHAT = (
    "WHAT is an artifact's name or SHA-256, a file of a job (jobs/ID:ROLE), or all files of a job (jobs/ID): "
    "of one that did not succeed, those of its finished units."
)


@click.group()
def artifacts() -> None:
    """Download and show files that jobs made."""


@artifacts.command()
@click.argument("what")
@click.option("--role", default="", help="The file of a job: report, markdown, metrics, verdicts, manifest, ...")
@click.option("-o", "--output", "target", type=click.Path(path_type=Path), help="Where to; a file or a folder.")
@options.common
def download(server: str, what: str, role: str, target: Path | None, *, as_json: bool) -> None:
    """Download a file, or all files of a job into a folder."""
    with connected(server) as client:
        paths = [_fetch(client, name, path) for name, path in _wanted(client, what, role, target)]
    if as_json:
        output.data({"paths": [str(path) for path in paths]})
    else:
        for path in paths:
            output.line(str(path))


download.help = f"{download.help}\n\n{_WHAT}"


def _wanted(client: Client, what: str, role: str, target: Path | None) -> list[tuple[str, Path]]:
    """Artifacts' names, and where each goes."""
    job, _, stated = what.partition(":")
    role = role or stated
    if not job.startswith("jobs/"):
        if role:
            raise click.UsageError("a role belongs to a job; write it like jobs/ID:report")
        return [(what, _place(target, what.rpartition("/")[2]))]
    if role:
        item = client.jobs.artifact(job, role)
        return [(item.artifact, _place(target, _filename(item)))]
    found = client.jobs.get(job)
    folder = Path(job.rpartition("/")[2]) if target is None else target
    if found.finished_units:
        return _finished(found, folder)
    held = found.result.artifacts
    if not held:
        raise click.UsageError(f"{job} has no files; `sparring jobs get {job}` shows where it stands")
    folder.mkdir(parents=True, exist_ok=True)
    return [(item.artifact, folder / _filename(item)) for item in held]


def _finished(job: Job, folder: Path) -> list[tuple[str, Path]]:
    """What a job had finished that did not succeed."""
    from sparring.finished import filename

    samples = sum(unit.count for unit in job.finished_units)
    output.note(
        f"{job.name} did not succeed. These are the {len(job.finished_units)} units that it had finished, {samples} "
        f"samples, not its result; `sparring jobs retry {job.name}` goes on from them."
    )
    folder.mkdir(parents=True, exist_ok=True)
    return [(unit.artifact, folder / filename(unit)) for unit in job.finished_units]


def _filename(item: JobArtifact) -> str:
    """The service's name for a file, as far as it names a file and no folder."""
    name = Path(item.filename).name
    return name or item.role


def _place(target: Path | None, name: str) -> Path:
    if target is None:
        return Path(name)
    return target / name if target.is_dir() else target


def _fetch(client: Client, name: str, path: Path) -> Path:
    with progress.Bytes(path.name) as shown:
        return client.artifacts.download(name, path, on_progress=shown.report)


@artifacts.command()
@click.argument("what")
@options.common
def get(server: str, what: str, *, as_json: bool) -> None:
    """Show an artifact by its name, its SHA-256, or as jobs/ID:ROLE."""
    with connected(server) as client:
        job, colon, role = what.partition(":")
        found = client.artifacts.get(client.jobs.artifact(job, role) if colon else what)
    output.result(found, listings.artifact, as_json=as_json)
