"""The closing unit of an attack or an evaluation: shards put together, files written, the result."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import torch
from sparring.v1 import attacks_pb2, datasets_pb2, jobs_pb2
from torch import Tensor

from services.jobs.record import UnitResult
from workers import data
from workers.evaluation import (
    Adaptive,
    AdversarialFile,
    ChecklistItem,
    DataInfo,
    Proportion,
    Row,
    Shard,
    SuiteInfo,
    Summary,
    SummaryInput,
    lean,
    summarize,
    unpack,
)
from workers.lease import Finished
from workers.run import command, manifest, messages
from workers.run.files import keep, keep_parts
from workers.run.probing import plan_of
from workers.run.unit import BINARY, Unit

NORMS = {
    "": attacks_pb2.NORM_UNSPECIFIED,
    "linf": attacks_pb2.NORM_LINF,
    "l2": attacks_pb2.NORM_L2,
    "l1": attacks_pb2.NORM_L1,
    "l0": attacks_pb2.NORM_L0,
}


def close_attack(unit: Unit) -> Finished:
    """Merge the shards into table, report, figures and, for an attack, the adversarial examples."""
    job = unit.job
    kind = "attack" if job.HasField("attack") else "evaluation"
    spec = job.attack if job.HasField("attack") else job.evaluation
    results = unit.results()
    runs = messages.runs(job)
    unit.heartbeat.tick(0.0, "putting the shards together")
    given = SummaryInput(
        kind="attack" if kind == "attack" else "evaluation",
        models=[messages.model_info(model) for model in job.resolution.models],
        data=describe(job.resolution.data),
        runs=[messages.run_info(*run) for run in runs],
        shards=[lean(_shard(unit, result)) for result in results],
        stats=[result.stats for result in results],
        seed=spec.seed,
        job=unit.name,
        title=job.display_name,
        provenance=provenance(unit),
        command=command.of_job(job),
        **_suite(job),
    )
    summary = summarize(given)
    unit.heartbeat.tick(0.8, "writing the report")
    result = result_of(unit, summary, {key: attack for key, _, attack in runs}, provenance=given.provenance)
    if summary.adversarial is not None:
        result.artifacts.insert(0, _examples(unit, summary.adversarial, results))
    if len(summary.verdicts) <= unit.context.max_artifact_bytes:
        result.artifacts.append(keep(unit, "verdicts", summary.verdicts, BINARY, "safetensors"))
    unit.heartbeat.tick(0.9, "writing the manifest")
    result.artifacts.append(manifest.of_shards(unit, kind, result, summary))
    return Finished(result.SerializeToString(deterministic=True))


def _shard(unit: Unit, result: UnitResult) -> Shard:
    """What a unit committed."""
    return unpack(unit.fetch(result.digest, f"the result of unit {result.unit}"))


def _examples(unit: Unit, file: AdversarialFile, results: Sequence[UnitResult]) -> jobs_pb2.JobArtifact:
    """Put the adversarial examples of an attack, fetching one shard after the other: they may be larger than memory."""

    def pictures() -> Iterator[Tensor]:
        for number, result in enumerate(results):
            unit.heartbeat.tick(0.5 + 0.3 * number / len(results), "writing the adversarial examples")
            (run,) = _shard(unit, result).runs
            if run.x_adv is not None:
                yield run.x_adv

    return keep_parts(unit, "adversarial", lambda: file.parts(pictures()), BINARY, "safetensors")


def result_of(
    unit: Unit, summary: Summary, attacks: Mapping[str, attacks_pb2.Attack], *, provenance: Mapping[str, str]
) -> jobs_pb2.JobResult:
    """Put the files of a summary, and write down its table."""
    files = [("report", summary.report_html.encode(), "text/html", "html")]
    files.append(("metrics", summary.metrics_json.encode(), "application/json", "json"))
    files.append(("markdown", summary.report_md.encode(), "text/markdown", "md"))
    return jobs_pb2.JobResult(
        rows=[_row(row, attacks) for row in summary.rows],
        artifacts=[keep(unit, role, content, media, suffix) for role, content, media, suffix in files],
        warnings=summary.warnings,
        provenance=provenance,
        checklist=[_item(item) for item in summary.checklist],
    )


def _suite(job: jobs_pb2.Job) -> dict[str, Any]:
    """What the report says of a job's suite, its probes and what was adapted."""
    spec = job.evaluation
    suite = SuiteInfo(**messages.values(spec.suite)) if spec.HasField("suite") else None
    return {"suite": suite, "probes": plan_of(job), "adaptive": Adaptive(**messages.values(spec.adaptive))}


def _item(item: ChecklistItem) -> jobs_pb2.ChecklistItem:
    status = jobs_pb2.ChecklistItem.Status.Value(f"STATUS_{item.status.upper()}")
    return jobs_pb2.ChecklistItem(
        point=item.point,
        key=item.key,
        title=item.title,
        status=status,
        text=item.text,
        value=item.value,
        model=item.model,
    )


def provenance(unit: Unit) -> dict[str, str]:
    """What else the bytes depend on."""
    packages = {name: version(name) for name in ("sparring", "torch", "numpy", "safetensors")}
    device = unit.context.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {"python": platform.python_version(), **packages, "device": name, "threads": str(torch.get_num_threads())}


def describe(selection: jobs_pb2.ResolvedData) -> DataInfo:
    """What the report says of the samples."""
    if selection.source == datasets_pb2.DATASET_SOURCE_BUILT_IN:
        info = data.BUILT_IN[selection.dataset]
        return messages.data_info(selection, digest=info.digest, note=f"{info.description} Licence: {info.licence}.")
    return messages.data_info(selection, digest=selection.images_sha256, note="")


def _row(row: Row, attacks: Mapping[str, attacks_pb2.Attack]) -> jobs_pb2.ResultRow:
    """A line of the table; a class without samples has no accuracy, so NaN."""
    return jobs_pb2.ResultRow(
        model=row.model,
        defense=row.defense,
        attack=row.attack,
        epsilon=row.epsilon,
        norm=NORMS[row.norm],
        n=row.n,
        clean_accuracy=_proportion(row.clean_accuracy),
        robust_accuracy=_proportion(row.robust_accuracy),
        success_rate=_proportion(row.success_rate),
        mean_confidence=row.mean_confidence,
        mean_distance=row.mean_distance,
        median_distance=row.median_distance,
        max_distance=row.max_distance,
        class_robust_accuracy=_numbers(row.class_robust_accuracy),
        forwards=row.forwards,
        backwards=row.backwards,
        seconds=row.seconds,
        curve=row.curve,
        parameters=attacks.get(row.run),
        violations=row.violations,
        queries=row.queries,
        broken_first=row.broken_first,
        stages=[jobs_pb2.StageCount(attack=stage, broken=broken) for stage, broken in row.stages],
    )


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def _proportion(proportion: Proportion) -> jobs_pb2.Proportion:
    return jobs_pb2.Proportion(value=proportion.value, low=proportion.low, high=proportion.high)
