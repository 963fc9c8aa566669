"""How good a trained model is: its accuracy and, if it was trained against an attack, its robustness at that radius."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sparring.v1 import attacks_pb2, jobs_pb2

from workers.evaluation import Course, Look, Row, SummaryInput, summarize, unpack
from workers.evaluation.overfitting import of_training
from workers.evaluation.rows import CLEAN
from workers.models import Classifier
from workers.run import command, fitting, manifest, messages
from workers.run.closing import describe, provenance, result_of
from workers.run.runs import Runs
from workers.run.shards import attack_all, take
from workers.run.unit import Unit

# Under attack a model is judged on so many samples here; evaluations judge on more.
JUDGED = 2000
JUDGED_AT_ONCE = 256
PGD_STEPS = 10


def judge(
    unit: Unit, model: Classifier, name: str, weights: jobs_pb2.JobArtifact, trained: Mapping[str, Any]
) -> jobs_pb2.JobResult:
    """Table and report of the trained model on the evaluation data, with its weights and the manifest of it all.

    `trained` are the figures that were committed with the weights.
    """
    course, made_with = _course(unit.job.training, trained), provenance(unit)
    if trained.get("processes", 1) > 1:
        made_with["processes"] = str(trained["processes"])
    resolved = _resolved(unit, model, name, messages.bare(weights.artifact))
    if not unit.job.resolution.HasField("evaluation_data"):
        warning = "The model was not judged: the dataset has no test split, and no evaluation_data was given."
        warnings = [warning, *(found.text for found in (of_training(course) if course else ()))]
        result = jobs_pb2.JobResult(warnings=warnings, provenance=made_with, artifacts=[weights])
        result.artifacts.append(manifest.of_training(unit, result, resolved, judged=None, summary=None))
        return result
    runs = _runs(unit.job.training)
    selection = jobs_pb2.ResolvedData()
    selection.CopyFrom(unit.job.resolution.evaluation_data)
    if runs:
        selection.count = min(selection.count, JUDGED)
    asked = unit.job.training.optimization
    batch_size = min(asked.batch_size, JUDGED_AT_ONCE) if asked.HasField("batch_size") else JUDGED_AT_ONCE
    samples = take(unit, selection, 0, selection.count, seed=unit.job.training.seed, batch_size=batch_size)
    packed, stats = attack_all(model, samples, runs, unit.heartbeat)
    given = SummaryInput(
        kind="training",
        models=[messages.model_info(resolved)],
        data=describe(selection),
        runs=[messages.run_info(*run) for run in runs],
        shards=[unpack(packed)],
        # Measured here, and not at the commit of a unit: with it, no two files of a judgement would be the same.
        stats=[{**stats, "seconds": {}}],
        seed=unit.job.training.seed,
        job=unit.name,
        title=unit.job.display_name,
        provenance=made_with,
        command=command.of_job(unit.job),
        course=course,
    )
    attacks = {key: attack for key, _, attack in runs}
    summary = summarize(given)
    timed = replace(summary, rows=tuple(_timed(row, stats["seconds"]) for row in summary.rows))
    result = result_of(unit, timed, attacks, provenance=given.provenance)
    result.artifacts.append(weights)
    result.artifacts.append(manifest.of_training(unit, result, resolved, judged=selection, summary=summary))
    return result


def _course(spec: jobs_pb2.TrainingSpec, trained: Mapping[str, Any]) -> Course | None:
    """What was seen of the network while it was trained, if it was watched."""
    if not trained.get("probes"):
        return None
    losses = trained["loss"]
    return Course(
        looks=tuple(Look(**probe, loss=losses[probe["epoch"] - 1]) for probe in trained["probes"]),
        selected=trained["selected"],
        epsilon=spec.validation.probe_epsilon,
        steps=spec.validation.probe_steps,
        samples=spec.validation.probe_samples,
    )


def _timed(row: Row, seconds: Mapping[str, float]) -> Row:
    """The row with the time that its runs took."""
    keys = row.worst_of or (row.run or CLEAN,)
    return replace(row, seconds=sum(seconds[key] for key in keys))


def _runs(spec: jobs_pb2.TrainingSpec) -> Runs:
    """FGSM and a short PGD at the radius that the model was trained for; none for a defense without one."""
    _, parameters = messages.chosen(spec.defense)
    epsilon = float(messages.values(parameters).get("epsilon", 0.0))
    if epsilon == 0:
        return []
    own = fitting.runs(spec.architecture, epsilon)
    if own is not None:
        return own
    linf = attacks_pb2.NORM_LINF
    fgsm = attacks_pb2.Fgsm(epsilon=epsilon, norm=linf)
    pgd = attacks_pb2.Pgd(
        epsilon=epsilon,
        steps=PGD_STEPS,
        step_size=2.5 * epsilon / PGD_STEPS,
        restarts=1,
        random_start=True,
        loss=attacks_pb2.LOSS_CROSS_ENTROPY,
        norm=linf,
    )
    untargeted = attacks_pb2.Goal(untargeted=attacks_pb2.Untargeted())
    return [
        ("a0", None, attacks_pb2.Attack(fgsm=fgsm, goal=untargeted)),
        ("a1", None, attacks_pb2.Attack(pgd=pgd, goal=untargeted)),
    ]


def _resolved(unit: Unit, model: Classifier, name: str, weights: str) -> jobs_pb2.ResolvedModel:
    """The trained model as a job that names it would have it."""
    return jobs_pb2.ResolvedModel(
        name=name,
        weights_sha256=weights,
        signature=messages.signature_message(model.signature),
        defense=messages.chosen(unit.job.training.defense)[0],
    )
