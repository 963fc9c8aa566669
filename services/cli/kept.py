"""Results that lie in a folder: jobs as `sparring jobs get --json` prints them, and files of role "metrics".

`sparring artifacts download JOB --output FOLDER` leaves the latter, with the report beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError
from sparring.v1.datasets_pb2 import DatasetSource
from sparring.v1.jobs_pb2 import Job, ResultRow
from sparring.v1.suites_pb2 import ChecklistItem
from sparring.values import fill

from services.cli import output

METRICS = "sparring.metrics/"


def jobs_in(folder: Path) -> list[tuple[Job, Path | None]]:
    """Return every job of a folder and of those in it, with its report where that is there too.

    A job that is there in both forms counts once, as the service described it. Files that are something else are left
    out; of those that look like a job and can't be read, a remark is made.
    """
    found: dict[str, tuple[Job, Path | None]] = {}
    for path in sorted(folder.rglob("*.json")):
        for is_whole, job in _read(path):
            if is_whole or job.name not in found:
                found[job.name] = job, _report(job, path)
    return list(found.values())


def _read(path: Path) -> Iterator[tuple[bool, Job]]:
    """Yield the jobs of a file: one, several of a list, or none; whether each is all that the service knows of it."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return
    for one in document if isinstance(document, list) else [document]:
        if not isinstance(one, dict):
            continue
        try:
            if str(one.get("format", "")).startswith(METRICS):
                yield False, _of_metrics(one)
            elif str(one.get("name", "")).startswith("jobs/"):
                yield True, ParseDict(one, Job(), ignore_unknown_fields=True)
        except (ParseError, ValueError, TypeError, KeyError, AttributeError) as error:
            output.note(f"left out {path}: it looks like a job, and can't be read: {error}")


def _of_metrics(document: Mapping[str, Any]) -> Job:
    """Make of a file of figures the job that they are of, as far as the file knows it."""
    job = Job(name=document["job"], state=Job.STATE_SUCCEEDED, display_name=document.get("title", ""))
    getattr(job, document["kind"]).seed = int(document["seed"])
    data = document["data"]
    job.resolution.data.dataset, job.resolution.data.split = data["dataset"], data["split"]
    job.resolution.data.offset, job.resolution.data.count = data["offset"], data["count"]
    job.resolution.data.source = DatasetSource.Value(f"DATASET_SOURCE_{data['source'].upper().replace('-', '_')}")
    if data["source"] != "built-in":
        job.resolution.data.images_sha256 = data["digest"]
    for model in document["models"]:
        job.resolution.models.add(name=model["name"], weights_sha256=model["weights_sha256"], defense=model["defense"])
    suite = document.get("suite")
    if suite is not None:
        fill([job.evaluation.suite], {name: suite[name] for name in ("level", "norm", "epsilon")})
    job.result.rows.extend(_row(row) for row in document["rows"])
    job.result.checklist.extend(_item(item) for item in document.get("checklist", ()))
    return job


def _row(row: Mapping[str, Any]) -> ResultRow:
    """A line of the table; what is null in it (the accuracy of a class without samples) is left out."""
    norm = f"NORM_{row['norm'].upper()}" if row["norm"] else "NORM_UNSPECIFIED"
    known = {name: value for name, value in row.items() if name != "class_robust_accuracy"}
    made: ResultRow = ParseDict(known | {"norm": norm}, ResultRow(), ignore_unknown_fields=True)
    return made


def _item(item: Mapping[str, Any]) -> ChecklistItem:
    known = {name: value for name, value in item.items() if value is not None}
    status = f"STATUS_{item['status'].upper()}"
    made: ChecklistItem = ParseDict(known | {"status": status}, ChecklistItem(), ignore_unknown_fields=True)
    return made


def _report(job: Job, path: Path) -> Path | None:
    """The report of a job beside the file that the job was read from."""
    named = [item.filename for item in job.result.artifacts if item.role == "report"]
    names = [*named, f"{job.name.removeprefix('jobs/')}-report.html"]
    beside = (path.parent / Path(name).name for name in names)
    return next((report for report in beside if report.is_file()), None)
