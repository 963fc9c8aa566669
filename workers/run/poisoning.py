"""A poisoning: a unit for each poisoned fraction, and a closing unit that puts the table together."""

from __future__ import annotations

import time
from typing import Any

from sparring.v1 import jobs_pb2

from services.telemetry import tracing
from workers.engine.fitting import FitOptions
from workers.engine.train import Optimization
from workers.evaluation import Proportion
from workers.evaluation.inputs import Parameter
from workers.lease import Committed, Finished
from workers.poisoning import POISONS, FittedLearner, Learner, NetworkLearner, measure
from workers.poisoning.packing import pack, unpack
from workers.poisoning.report import PoisoningInput, PoisoningReport, report
from workers.poisoning.rows import PoisoningRow
from workers.run import command, manifest, messages
from workers.run.closing import describe, provenance
from workers.run.files import keep
from workers.run.unit import Unit


def run_poisoning(unit: Unit) -> Committed:
    """Poison one fraction, learn, judge, and keep what was measured; the same, however often it is done."""
    begun, spec, resolution = time.monotonic(), unit.job.poisoning, unit.job.resolution
    name, parameters = messages.chosen(spec.poison)
    samples, judged = unit.samples(resolution.data), unit.samples(resolution.evaluation_data)
    with tracing.span("poison", {"sparring.samples": len(samples)}):
        measured = measure(
            POISONS[name](**messages.values(parameters)),
            _learner(unit),
            samples,
            judged,
            spec.fractions[unit.lease.unit],
            sanitizer=messages.values(spec)["sanitizer"],
            dropped_fraction=_dropped(spec),
            seed=spec.seed,
            monitor=unit.heartbeat,
        )
    unit.heartbeat.metric("error", measured.plain.wrong / measured.plain.judged, unit.lease.unit + 1)
    return Committed(unit.put(pack(measured)), {"seconds": time.monotonic() - begun})


def close_poisoning(unit: Unit) -> Finished:
    """Put the fractions together: table, report, figures, manifest."""
    spec, results = unit.job.poisoning, unit.results()
    name, parameters = messages.chosen(spec.poison)
    about = messages.method(parameters)
    unit.heartbeat.tick(0.0, "putting the fractions together")
    found = report(
        PoisoningInput(
            poison=name,
            title=about.title,
            summary=about.summary,
            formula=about.formula,
            differs=about.differs,
            paper=about.paper,
            citation=about.citation,
            parameters=messages.values(parameters),
            architecture=spec.architecture,
            learning=_learning(spec),
            sanitizer=messages.values(spec)["sanitizer"],
            dropped_fraction=_dropped(spec),
            data=describe(unit.job.resolution.data),
            judged=describe(unit.job.resolution.evaluation_data),
            fractions=list(spec.fractions),
            measured=[unpack(unit.fetch(done.digest, f"the result of unit {done.unit}")) for done in results],
            seconds=[done.stats["seconds"] for done in results],
            seed=spec.seed,
            job=unit.name,
            display_name=unit.job.display_name,
            provenance=provenance(unit),
            command=command.of_job(unit.job),
        )
    )
    unit.heartbeat.tick(0.8, "writing the report")
    result = _result(unit, found)
    result.artifacts.append(manifest.of_poisoning(unit, result))
    return Finished(result.SerializeToString(deterministic=True))


def _learner(unit: Unit) -> Learner:
    """How models of this job learn; the gateway fills `fitting` in where they are fitted."""
    spec, device = unit.job.poisoning, unit.context.device
    normalisation = {"mean": tuple(spec.mean), "std": tuple(spec.std)}
    if spec.HasField("fitting"):
        options = FitOptions(**messages.values(spec.fitting))
        return FittedLearner(architecture=spec.architecture, options=options, device=device, **normalisation)
    optimization = Optimization(**messages.values(spec.optimization))
    return NetworkLearner(architecture=spec.architecture, optimization=optimization, device=device, **normalisation)


def _learning(spec: jobs_pb2.PoisoningSpec) -> dict[str, Parameter]:
    """How it was learned, for the report; of a fit, what the architecture takes is set, and nothing else."""
    if spec.HasField("fitting"):
        return {field.name: value for field, value in spec.fitting.ListFields()}
    return messages.values(spec.optimization)


def _dropped(spec: jobs_pb2.PoisoningSpec) -> float | None:
    return spec.dropped_fraction if spec.HasField("dropped_fraction") else None


def _result(unit: Unit, found: PoisoningReport) -> jobs_pb2.JobResult:
    """Put the files, and write down the table."""
    files = [("report", found.report_html.encode(), "text/html", "html")]
    files.append(("metrics", found.metrics_json.encode(), "application/json", "json"))
    return jobs_pb2.JobResult(
        poisoning_rows=[_row(row) for row in found.rows],
        artifacts=[keep(unit, role, content, media, suffix) for role, content, media, suffix in files],
        warnings=found.warnings,
        provenance=provenance(unit),
    )


def _row(row: PoisoningRow) -> jobs_pb2.PoisoningRow:
    """A line of the table; what is None stays unset."""
    values: dict[str, Any] = {
        name: _proportion(value) if isinstance(value, Proportion) else value for name, value in vars(row).items()
    }
    return jobs_pb2.PoisoningRow(**values)


def _proportion(proportion: Proportion) -> jobs_pb2.Proportion:
    return jobs_pb2.Proportion(value=proportion.value, low=proportion.low, high=proportion.high)
