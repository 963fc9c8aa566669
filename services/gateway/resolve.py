"""Makes a request that passed every check into a job that means the same for ever.

Every default is filled in, models are pinned by digest, data by split, offset and count, and the plan of units is
fixed. The result is a pure function of the resolved job, so any number of workers gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

from sparring.v1 import attacks_pb2, datasets_pb2, jobs_pb2, models_pb2

from services.errors import InvalidArgument, Violation
from services.gateway import catalog, components, estimate, fitting, plan, poisoning, suites, upcoming, watching
from services.gateway.defaults import fill
from services.gateway.ranges import fields_of
from services.gateway.references import References
from services.gateway.selections import pin, split_named

LANES = {jobs_pb2.DEVICE_ANY: "any", jobs_pb2.DEVICE_CPU: "cpu", jobs_pb2.DEVICE_GPU: "gpu"}


def resolve(request: jobs_pb2.CreateJobRequest, found: References) -> jobs_pb2.Job:
    """Return the job that a request asks for, with its spec and its resolution."""
    job = jobs_pb2.Job(display_name=request.display_name)
    match request.WhichOneof("spec"):
        case "attack":
            job.attack.CopyFrom(request.attack)
            fill_attack(job.attack.attack)
            _resolve_units(job, [job.attack.model], job.attack, found, "attack")
        case "evaluation":
            job.evaluation.CopyFrom(request.evaluation)
            for attack in job.evaluation.attacks:
                fill_attack(attack)
            for curve in job.evaluation.curves:
                # A curve keeps its steps at every radius, so its step size follows the rule for given steps.
                fill_attack(curve.attack, given=frozenset({"steps"}))
            _resolve_units(job, job.evaluation.models, job.evaluation, found, "evaluation")
            suites.expand(job, fill_attack)
        case "training":
            job.training.CopyFrom(request.training)
            _resolve_training(job, found)
        case "poisoning":
            job.poisoning.CopyFrom(request.poisoning)
            poisoning.resolve(job, found.datasets)
    if request.HasField("limits"):
        job.limits.CopyFrom(request.limits)
    job.after.extend(f"jobs/{name}" for name in dict.fromkeys([*found.after, *upcoming.trainings(job)]))
    job.resolution.giga_ops = estimate.giga_ops(job)
    return job


def lane(job: jobs_pb2.Job) -> str:
    """Return which workers may take a resolved job: "any", "cpu" or "gpu"."""
    match job.WhichOneof("spec"):
        case "attack":
            return LANES[job.attack.execution.device]
        case "evaluation":
            return LANES[job.evaluation.execution.device]
        case "training":
            return LANES[job.training.device]
        case "poisoning":
            return LANES[job.poisoning.device]
    return "any"


def fill_attack(attack: attacks_pb2.Attack, *, given: frozenset[str] = frozenset()) -> None:
    """Fill in an attack's parameters, and its goal where the attack lets the client choose one."""
    kind = attack.WhichOneof("kind")
    assert kind is not None, "the request was checked"
    fill(getattr(attack, kind), given=given)
    if catalog.targeted(kind) and not attack.HasField("goal"):
        attack.goal.untargeted.SetInParent()


def _resolve_units(
    job: jobs_pb2.Job,
    names: Sequence[str],
    spec: jobs_pb2.AttackSpec | jobs_pb2.EvaluationSpec,
    found: References,
    path: str,
) -> None:
    """Pin models and data of an attack or an evaluation, and cut it into models x shards."""
    models = [found.models[name] for name in names]
    job.resolution.models.extend(pinned(model) for model in models)
    data = pin(spec.data, found.datasets[spec.data.dataset], wanted="test")
    job.resolution.data.CopyFrom(data)
    execution = spec.execution
    if not execution.HasField("batch_size"):
        execution.batch_size = _batch_size(models, gpu=execution.device == jobs_pb2.DEVICE_GPU)
    batch = execution.batch_size
    if execution.HasField("shard_size"):
        execution.shard_size = plan.round_shard_size(execution.shard_size, batch)
    fill(
        execution, computed={"batch_size": batch, "shard_size": plan.choose_shard_size(data.count, len(models), batch)}
    )
    job.resolution.shards = plan.shards(data.count, execution.shard_size)
    job.resolution.units = len(models) * job.resolution.shards
    if job.resolution.units > plan.MAX_UNITS:
        raise InvalidArgument(
            [
                Violation(
                    f"{path}.execution.shard_size",
                    f"makes {job.resolution.units} units of work, at most {plan.MAX_UNITS} are allowed",
                )
            ]
        )


def _resolve_training(job: jobs_pb2.Job, found: References) -> None:
    """Pin the data, and the initial model if there is one; a training is one unit."""
    spec = job.training
    dataset = found.datasets[spec.data.dataset]
    job.resolution.data.CopyFrom(pin(spec.data, dataset, wanted="train"))
    judged = found.datasets.get(spec.evaluation_data.dataset, dataset)
    if spec.HasField("evaluation_data") or split_named(dataset, "test") is not None:
        if not spec.evaluation_data.dataset:
            spec.evaluation_data.CopyFrom(datasets_pb2.DataSelection(dataset=spec.data.dataset, split="test"))
        job.resolution.evaluation_data.CopyFrom(pin(spec.evaluation_data, judged, wanted="test"))
    if spec.initial_model:
        model = found.models[spec.initial_model]
        job.resolution.models.append(pinned(model))
        spec.architecture = model.signature.architecture
    if fitting.fitted(spec):
        fitting.fill_in(spec)
    else:
        fill(spec.optimization)
    if not spec.HasField("defense"):
        spec.defense.standard.SetInParent()
    kind = spec.defense.WhichOneof("kind")
    assert kind is not None, "the request was checked"
    method = getattr(spec.defense, kind)
    # Whatever is left to a rule beyond the message is a number of epochs.
    fill(method, computed=dict.fromkeys(fields_of(method), spec.optimization.epochs))
    if not fitting.fitted(spec):
        watching.fill_in(spec)
    fill(spec)
    job.resolution.shards = job.resolution.units = 1


def pinned(model: models_pb2.Model) -> jobs_pb2.ResolvedModel:
    """Return a model as jobs hold on to it: by the digest of its weights."""
    return jobs_pb2.ResolvedModel(
        name=model.name,
        weights_sha256=model.weights.removeprefix("artifacts/"),
        signature=model.signature,
        defense=model.defense,
    )


def _batch_size(models: Sequence[models_pb2.Model], *, gpu: bool) -> int:
    """Choose the batch for the most expensive of the models."""
    return plan.choose_batch_size([components.giga_ops(model.signature) for model in models], gpu=gpu)
