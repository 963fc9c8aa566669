"""What the gateway says that a training will make is what the worker makes, for every defense."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sparring import contract
from sparring.v1 import datasets_pb2, defenses_pb2, jobs_pb2, models_pb2

from services.gateway import catalog, estimate
from services.gateway.references import References
from services.gateway.resolve import resolve
from workers.run import messages
from workers.run.training import _signature

FOUND = References(datasets=catalog.built_in_datasets())


def made_by_a_worker(job: jobs_pb2.Job) -> models_pb2.ModelSignature:
    return messages.signature_message(_signature(SimpleNamespace(job=job)))


def training(defense: str, **fields) -> jobs_pb2.Job:
    spec = jobs_pb2.TrainingSpec(
        **{"architecture": "wong_cnn", "data": datasets_pb2.DataSelection(dataset="mnist10k", count=50)} | fields
    )
    getattr(spec.defense, defense).SetInParent()
    return resolve(jobs_pb2.CreateJobRequest(training=spec), FOUND)


@pytest.mark.parametrize("defense", contract.methods(defenses_pb2.Defense.DESCRIPTOR))
def test_the_signature_of_a_model_is_known_before_it_is_trained(defense: str) -> None:
    for normalisation in ({}, {"mean": [0.1307], "std": [0.3081]}):
        job = training(defense, **normalisation)
        assert estimate.made(job) == made_by_a_worker(job)


def test_so_is_that_of_one_that_goes_on_from_another_and_of_one_that_is_fitted() -> None:
    fitted = training("standard", architecture="decision_tree")
    assert estimate.made(fitted) == made_by_a_worker(fitted)
    signature = models_pb2.ModelSignature(architecture="mlp", input_shape=[1, 28, 28], classes=10, mean=[0.5])
    initial = References(
        datasets=FOUND.datasets,
        models={"m": models_pb2.Model(name="models/m", weights="artifacts/1", signature=signature)},
    )
    spec = jobs_pb2.TrainingSpec(initial_model="m", data=datasets_pb2.DataSelection(dataset="mnist10k", count=50))
    job = resolve(jobs_pb2.CreateJobRequest(training=spec), initial)
    assert estimate.made(job) == made_by_a_worker(job) == signature
