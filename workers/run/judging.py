"""How good a trained model is: its accuracy and, if it was trained against an attack, its robustness at that radius."""

from __future__ import annotations

from sparring.v1 import attacks_pb2, jobs_pb2

from workers.evaluation import ModelInfo, SummaryInput, shard_stats, summarize
from workers.models import Classifier
from workers.run import command, messages
from workers.run.closing import describe, provenance, result_of
from workers.run.shards import Runs, attack_all, take
from workers.run.unit import Unit

# Under attack a model is judged on so many samples here; evaluations judge on more.
JUDGED = 2000
JUDGED_AT_ONCE = 256
PGD_STEPS = 10


def judge(unit: Unit, model: Classifier, name: str, weights: str) -> jobs_pb2.JobResult:
    """Table and report of the trained model on the evaluation data."""
    if not unit.job.resolution.HasField("evaluation_data"):
        warning = "The model was not judged: the dataset has no test split, and no evaluation_data was given."
        return jobs_pb2.JobResult(warnings=[warning], provenance=provenance(unit))
    runs = _runs(unit.job.training)
    selection = jobs_pb2.ResolvedData()
    selection.CopyFrom(unit.job.resolution.evaluation_data)
    if runs:
        selection.count = min(selection.count, JUDGED)
    batch_size = min(unit.job.training.optimization.batch_size, JUDGED_AT_ONCE)
    samples = take(unit, selection, 0, selection.count, seed=unit.job.training.seed, batch_size=batch_size)
    packed, seconds = attack_all(model, samples, runs, unit.heartbeat)
    given = SummaryInput(
        kind="training",
        models=[_info(unit, model, name, weights)],
        data=describe(selection),
        runs=[messages.run_info(*run) for run in runs],
        shards=[packed],
        stats=[shard_stats(seconds)],
        seed=unit.job.training.seed,
        job=unit.name,
        title=unit.job.display_name,
        provenance=provenance(unit),
        command=command.of_job(unit.job),
    )
    attacks = {key: attack for key, _, attack in runs}
    return result_of(unit, summarize(given), attacks, provenance=given.provenance)


def _runs(spec: jobs_pb2.TrainingSpec) -> Runs:
    """FGSM and a short PGD at the radius that the model was trained for; none for a defense without one."""
    _, parameters = messages.chosen(spec.defense)
    epsilon = float(messages.values(parameters).get("epsilon", 0.0))
    if epsilon == 0:
        return []
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


def _info(unit: Unit, model: Classifier, name: str, weights: str) -> ModelInfo:
    resolved = jobs_pb2.ResolvedModel(
        name=name,
        weights_sha256=weights,
        signature=messages.signature_message(model.signature),
        defense=messages.chosen(unit.job.training.defense)[0],
    )
    return messages.model_info(resolved)
