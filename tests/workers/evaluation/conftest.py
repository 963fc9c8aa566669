"""Small made-up results: tensors for a shard, the description of a job."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from workers.evaluation import (
    CleanPart,
    DataInfo,
    ModelInfo,
    RunInfo,
    Shard,
    ShardRun,
    SummaryInput,
    pack,
    shard_stats,
    unpack,
)


def clean_part(label, prediction=None, *, start=0, pictures=0, shape=(1, 6, 6)):
    """A clean part whose model is right everywhere unless `prediction` says otherwise."""
    y = torch.tensor(label)
    x = torch.linspace(0, 1, pictures * shape[0] * shape[1] * shape[2]).reshape(pictures, *shape) if pictures else None
    return CleanPart(
        index=torch.arange(start, start + len(y)),
        label=y,
        prediction=y.clone() if prediction is None else torch.tensor(prediction),
        confidence=torch.full((len(y),), 0.9),
        x=x,
    )


def shard_run(clean, prediction, *, key="a0", target=None, confidence=0.8, distance=0.3, violations=0, zero=0, keep=0):
    """One run in the engine's terms: what is wrong clean is not attacked; a target on its own label neither."""
    n, said = len(clean), torch.tensor(prediction)
    right = clean.prediction == clean.label
    if target is None:
        attacked, success, goal = right, right & (said != clean.label), torch.full((n,), -1)
    else:
        goal = torch.tensor(target)
        attacked = goal != clean.label
        success = attacked & (said == goal)
    x_adv = (clean.x[:keep] + 0.1).clamp(0, 1) if keep else None
    return ShardRun(
        key=key,
        prediction=said,
        confidence=torch.as_tensor(confidence).expand(n),
        success=success,
        attacked=attacked,
        distance=torch.as_tensor(distance).expand(n),
        target=goal,
        forwards=torch.full((n,), 3),
        backwards=torch.full((n,), 2),
        zero_gradient=torch.arange(n) < zero,
        violations=(violations, 0, 0, 0, 0, 0),
        x_adv=x_adv,
    )


def run_info(key="a0", attack="pgd", epsilon=0.3, **more):
    """An attack of the job; PGD of 40 steps unless told otherwise."""
    parameters = {"epsilon": epsilon, "steps": 40, "loss": "cross_entropy"} if attack == "pgd" else {"epsilon": epsilon}
    settings = {"title": attack.upper(), "norm": "linf", "parameters": parameters, **more}
    return RunInfo(key=key, attack=attack, epsilon=epsilon, **settings)


def model_info(name="models/net", defense="standard", classes=3, shape=(1, 6, 6)):
    """A model of the job."""
    return ModelInfo(
        name=name, defense=defense, weights_sha256="ab" * 32, architecture="mlp", input_shape=shape, classes=classes
    )


def summary_input(shards, runs, *, models=None, kind="evaluation", count=None, offset=0, **more):
    """A job whose shards are given as `Shard`s, one model after the other."""
    models = [model_info()] if models is None else models
    if count is None:
        count = sum(len(shard.clean) for shard in shards) // len(models)
    seconds = {"clean": 0.5, **{run.key: 2.0 for run in runs}}
    settings = {"seed": 7, "job": "jobs/j1", "provenance": {"torch": "2.13.0"}, "command": "sparring attack", **more}
    return SummaryInput(
        kind=kind,
        models=models,
        data=DataInfo(dataset="mnist10k", split="test", offset=offset, count=count),
        runs=runs,
        shards=[unpack(pack(shard)) for shard in shards],
        stats=[shard_stats(seconds) for _ in shards],
        **settings,
    )


@pytest.fixture
def make():
    """Return the makers of this file under short names."""
    return SimpleNamespace(
        clean=clean_part, run=shard_run, info=run_info, model=model_info, given=summary_input, shard=Shard
    )
