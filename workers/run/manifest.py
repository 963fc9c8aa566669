"""The manifest of a result: digests of everything that went in, came out, and did the work.

A file of role "manifest" beside the others, as canonical JSON: UTF-8, keys sorted, no blanks, no NaN. Nothing in it
depends on when, by which worker or in how many attempts a unit was done, so a closing unit that is done again on the
same machine writes the same bytes. docs/manifest.md shows one, and says what each field is; in short:

    version, job, kind      1, "jobs/{job}", "attack", "evaluation", "training" or "poisoning"
    spec                    the job's spec under its kind, and "resolution": protobuf's JSON, with the fields' own names
    seed                    the spec's
    inputs                  {dataset, split, offset, count, x_sha256, y_sha256} of the samples; for a training, of those
                            it learned from
    evaluation_inputs       the same of the samples that trained models were judged on; null for other kinds
    models                  [{name, weights_sha256, architecture, input_shape, classes, mean, std, component, defense}];
                            for a training, the one that it made, by the name "jobs/{job}"
    units                   [{unit, model, offset, count, sha256}] of what was committed, offsets in the split; of a
                            poisoning [{unit, fraction, sha256}], and `models` is empty
    artifacts               [{role, sha256, size_bytes}] of the result's files but this one, in their order
    checks                  {samples, violations: {kind: count}}, see `workers.evaluation.proof`
    code, packages, device  see `workers.run.versions`; the device is that of the worker that closed the job
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from sparring.v1 import jobs_pb2

from workers.evaluation import Summary
from workers.evaluation.proof import KINDS, NONE
from workers.run import messages, versions
from workers.run.files import keep
from workers.run.unit import Unit

VERSION = 1
# Pixels of one piece, when the inputs are hashed.
_AT_ONCE = 2**22


def of_shards(unit: Unit, kind: str, result: jobs_pb2.JobResult, summary: Summary) -> jobs_pb2.JobArtifact:
    """Put the manifest of an attack or an evaluation; `result` has its other files."""
    job = unit.job
    return _kept(
        unit,
        kind,
        result,
        inputs=_inputs(unit, job.resolution.data),
        evaluation_inputs=None,
        models=[_model(model) for model in job.resolution.models],
        units=[_shard(job, done.unit, done.digest) for done in unit.results()],
        checks=_checks(summary),
    )


def of_training(
    unit: Unit,
    result: jobs_pb2.JobResult,
    model: jobs_pb2.ResolvedModel,
    *,
    judged: jobs_pb2.ResolvedData | None,
    summary: Summary | None,
) -> jobs_pb2.JobArtifact:
    """Put the manifest of a training that made `model`; `judged` are the samples it was judged on, None for none."""
    data = unit.job.resolution.data
    # What the model will be called is known only once the name has been taken; this name always leads to it.
    made = _model(model) | {"name": unit.name}
    trained = {"unit": 0, "model": unit.name, "offset": data.offset, "count": data.count}
    return _kept(
        unit,
        "training",
        result,
        inputs=_inputs(unit, data),
        evaluation_inputs=None if judged is None else _inputs(unit, judged),
        models=[made],
        units=[trained | {"sha256": model.weights_sha256}],
        checks=_checks(summary),
    )


def of_poisoning(unit: Unit, result: jobs_pb2.JobResult) -> jobs_pb2.JobArtifact:
    """Put the manifest of a poisoning, whose models are not kept: what was measured on them is."""
    job = unit.job
    fractions = job.poisoning.fractions
    return _kept(
        unit,
        "poisoning",
        result,
        inputs=_inputs(unit, job.resolution.data),
        evaluation_inputs=_inputs(unit, job.resolution.evaluation_data),
        models=[],
        units=[{"unit": done.unit, "fraction": fractions[done.unit], "sha256": done.digest} for done in unit.results()],
        checks=_checks(None),
    )


def _kept(unit: Unit, kind: str, result: jobs_pb2.JobResult, **fields: Any) -> jobs_pb2.JobArtifact:
    """Add what every kind of job has, and put it."""
    spec = getattr(unit.job, kind)
    document = {
        "version": VERSION,
        "job": unit.name,
        "kind": kind,
        "spec": {kind: _plain(spec), "resolution": _plain(unit.job.resolution)},
        "seed": spec.seed,
        "artifacts": [_artifact(artifact) for artifact in result.artifacts],
        "code": versions.code(),
        "packages": versions.packages(),
        "device": versions.machine(unit.context.device),
        **fields,
    }
    return keep(unit, "manifest", canonical(document), "application/json", "json")


def _plain(message: Message) -> dict[str, Any]:
    """The message as JSON: 64-bit integers are texts, what was not set is left out, NaN is the text "NaN"."""
    return MessageToDict(message, preserving_proto_field_name=True)


def _inputs(unit: Unit, data: jobs_pb2.ResolvedData) -> dict[str, Any]:
    """Digests of the selected samples in their order: pixels as float32, labels as int64, little-endian, bare."""
    x, y = hashlib.sha256(), hashlib.sha256()
    step = max(1, _AT_ONCE // math.prod(data.input_shape))
    for start in range(0, data.count, step):
        unit.heartbeat.tick(1.0, "writing the manifest")
        piece = unit.samples(data, start, min(start + step, data.count))
        x.update(piece.pixels(slice(None)).contiguous().numpy().astype("<f4", copy=False).data)
        y.update(piece.y.contiguous().numpy().astype("<i8", copy=False).data)
    digests = {"x_sha256": x.hexdigest(), "y_sha256": y.hexdigest()}
    return {"dataset": data.dataset, "split": data.split, "offset": data.offset, "count": data.count, **digests}


def _model(model: jobs_pb2.ResolvedModel) -> dict[str, Any]:
    what = model.signature
    return {
        "name": model.name,
        "weights_sha256": model.weights_sha256,
        "architecture": what.architecture,
        "input_shape": list(what.input_shape),
        "classes": what.classes,
        "mean": list(what.mean),
        "std": list(what.std),
        "component": _plain(what.component) if what.HasField("component") else None,
        "defense": model.defense,
    }


def _shard(job: jobs_pb2.Job, unit: int, sha256: str) -> dict[str, Any]:
    model, start, stop = messages.unit_range(job, unit)
    place = {"offset": job.resolution.data.offset + start, "count": stop - start}
    return {"unit": unit, "model": job.resolution.models[model].name, **place, "sha256": sha256}


def _artifact(artifact: jobs_pb2.JobArtifact) -> dict[str, Any]:
    sha256 = messages.bare(artifact.artifact)
    return {"role": artifact.role, "sha256": sha256, "size_bytes": artifact.size_bytes}


def _checks(summary: Summary | None) -> dict[str, Any]:
    if summary is None:
        return {"samples": 0, "violations": dict(zip(KINDS, NONE, strict=True))}
    return {"samples": summary.checked, "violations": dict(zip(KINDS, summary.violations, strict=True))}


def canonical(document: Mapping[str, Any]) -> bytes:
    """Write JSON so that equal documents are equal bytes; ValueError for NaN or infinity."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()
