"""Whether a job's result still is what its manifest says, and whether the service would make it again.

    verified = sparring.verify(client, "jobs/...", units=2)
    assert verified.ok, verified.checks

The manifest is a JSON file of role "manifest" that the service made with the result: digests of what went in, of what
was committed, and of what came out. See docs/manifest.md for its fields.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from google.protobuf.json_format import ParseDict, ParseError

from sparring import names
from sparring.again import Again
from sparring.client import Client
from sparring.errors import DataLoss, FailedPrecondition, NotFound
from sparring.names import JobLike
from sparring.v1.jobs_pb2 import Job

VERSION = 1
Outcome = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what, how it came out, and what was found."""

    what: str
    outcome: Outcome
    found: str


@dataclass(frozen=True)
class Verification:
    """What became of every check, and in what this service differs from the one that made the result."""

    job: str
    checks: tuple[Check, ...]
    differences: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Nothing that was looked at is wrong."""
        return all(check.outcome != "failed" for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """As JSON's types."""
        return {**asdict(self), "ok": self.ok}


def verify(
    client: Client,
    job: JobLike,
    *,
    units: int = 1,
    retrain: bool = False,
    on_step: Callable[[str], None] | None = None,
    rng: random.Random | None = None,
) -> Verification:
    """Check a job that SUCCEEDED against its manifest, and do some of it again.

    Downloads every file that the manifest lists, compares its words with the job's, and runs `units` of an attack or
    an evaluation again, drawn by `rng`, as jobs that are deleted afterwards; `retrain`: a training, too, which takes as
    long as it took. `on_step` is told what is being done. Raises FailedPrecondition for a job that has no result.
    """
    held = client.jobs.get(job)
    if held.state != Job.STATE_SUCCEEDED:
        state = Job.State.Name(held.state).removeprefix("STATE_")
        raise FailedPrecondition(f"{held.name} is {state}: only the result of a job that SUCCEEDED can be verified")
    listed = names.find_artifact(held, "manifest")
    manifest = json.loads(client.artifacts.read(listed))
    if manifest.get("version") != VERSION:
        raise FailedPrecondition(
            f"the manifest of {held.name} is of version {manifest.get('version')}, this client reads {VERSION}; "
            "use the client that fits the service"
        )
    say = on_step if on_step is not None else lambda _: None
    with TemporaryDirectory(prefix="sparring-verify-") as folder:
        files = _Files(client, Path(folder))
        checks = [*_words(held, manifest), *_downloads(files, manifest, say)]
        drawn = random.Random() if rng is None else rng  # noqa: S311 - not secret
        again = Again(client, held, manifest=manifest, files=files, say=say, rng=drawn)
        done = again.training(wanted=retrain) if held.HasField("training") else again.units(units)
        checks.extend(Check(*one) for one in done)
    return Verification(held.name, tuple(checks), again.differences())


class _Files:
    """Artifacts, each downloaded once into a folder."""

    def __init__(self, client: Client, folder: Path) -> None:
        self._client, self._folder = client, folder

    def path(self, sha256: str) -> Path:
        """The file with this digest, which the download has checked; raises NotFound and DataLoss."""
        path = self._folder / sha256
        if not path.exists():
            self._client.artifacts.download(sha256, path)
        return path


def _words(job: Job, manifest: Mapping[str, Any]) -> Iterator[Check]:
    """What the manifest says against what the service says of the job."""
    kind = str(job.WhichOneof("spec"))
    spec = getattr(job, kind)
    stated = manifest["spec"]
    same = manifest["job"] == job.name and manifest["kind"] == kind and manifest["seed"] == spec.seed
    yield _check("identity", same, f"the manifest is of {manifest['kind']} {manifest['job']}")
    for what, message, said in (
        ("spec", spec, stated.get(kind)),
        ("resolution", job.resolution, stated.get("resolution")),
    ):
        yield _check(what, _reads_as(said, message), "as the service has it")
    made = Counter((item.role, item.artifact.rpartition("/")[2], item.size_bytes) for item in job.result.artifacts)
    made = Counter({item: count for item, count in made.items() if item[0] != "manifest"})
    told = Counter((item["role"], item["sha256"], item["size_bytes"]) for item in manifest["artifacts"])
    yield _check("result", made == told, f"lists {told.total()} files, as the service does")
    if not job.HasField("training"):
        pinned = [model.weights_sha256 for model in job.resolution.models]
        weights = [model["weights_sha256"] for model in manifest["models"]]
        yield _check("models", pinned == weights, f"{len(weights)} pinned by digest")
        whole = (
            _fractions_of(job, manifest["units"]) if job.HasField("poisoning") else _are_whole(job, manifest["units"])
        )
        yield _check("units", whole, f"{len(manifest['units'])} cover what was asked")
    yield _violations(manifest["checks"])


def _violations(checks: Mapping[str, Any]) -> Check:
    """What the worker found when it checked every adversarial example again before it kept it."""
    samples, violations = checks["samples"], {kind: count for kind, count in checks["violations"].items() if count}
    if violations:
        return Check("violations", "failed", f"of {samples} samples that were checked: {violations}")
    if samples == 0:
        return Check("violations", "skipped", "it made no adversarial examples that could have any")
    return Check("violations", "ok", f"{samples} samples were checked, no violation")


def _check(what: str, fine: object, found: str) -> Check:
    return Check(what, "ok" if fine else "failed", found if fine else f"differs: {found}")


def _reads_as(said: Any, message: Any) -> bool:
    try:
        return bool(ParseDict(said, type(message)()) == message)
    except (ParseError, TypeError, AttributeError):
        return False


def _fractions_of(job: Job, units: list[Mapping[str, Any]]) -> bool:
    """Whether there is a unit for each fraction of a poisoning, in their order."""
    return [(unit["unit"], unit["fraction"]) for unit in units] == list(enumerate(job.poisoning.fractions))


def _are_whole(job: Job, units: list[Mapping[str, Any]]) -> bool:
    """Whether units follow each other through the selection, for each model."""
    resolution, data = job.resolution, job.resolution.data
    if len(units) != resolution.units or resolution.shards == 0:
        return False
    ordered = sorted(units, key=lambda unit: int(unit["unit"]))
    for start in range(0, len(ordered), resolution.shards):
        at = data.offset
        for unit in ordered[start : start + resolution.shards]:
            if unit["offset"] != at:
                return False
            at += unit["count"]
        if at != data.offset + data.count:
            return False
    return True


def _downloads(files: _Files, manifest: Mapping[str, Any], say: Callable[[str], None]) -> Iterator[Check]:
    """Every file that the manifest lists, downloaded, its SHA-256 and size compared."""
    listed = [(f"file {item['role']}", item["sha256"], item["size_bytes"]) for item in manifest["artifacts"]]
    listed += [(f"weights of {model['name']}", model["weights_sha256"], None) for model in manifest["models"]]
    for what, sha256, size in listed:
        say(f"downloading {what}")
        yield _download(files, what, sha256, size)
    wrong, sizes = [], 0
    for unit in manifest["units"]:
        say(f"downloading unit {unit['unit']} of {len(manifest['units'])}")
        check = _download(files, f"unit {unit['unit']}", unit["sha256"], None)
        if check.outcome == "failed":
            wrong.append(check)
        else:
            sizes += files.path(unit["sha256"]).stat().st_size
    yield from wrong
    right = len(manifest["units"]) - len(wrong)
    if right:
        yield Check("files of units", "ok", f"{right} have their SHA-256, {sizes} bytes")


def _download(files: _Files, what: str, sha256: str, size: int | None) -> Check:
    try:
        found = files.path(sha256).stat().st_size
    except NotFound:
        return Check(what, "failed", f"artifacts/{sha256} is no longer held")
    except DataLoss as error:
        return Check(what, "failed", error.message)
    if size is not None and found != size:
        return Check(what, "failed", f"has {found} bytes, not the {size} of the manifest")
    return Check(what, "ok", f"has its SHA-256 {sha256[:12]}..., {found} bytes")
