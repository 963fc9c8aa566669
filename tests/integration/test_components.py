"""Models with something around their network, from the training job to the attack on them."""

from __future__ import annotations

import pytest
from sparring import requests
from sparring.v1 import datasets_pb2, defenses_pb2, jobs_pb2, models_pb2

DEFENSES = {
    "test_time_noise": defenses_pb2.NoiseAtTestTime(sigma=0.1, votes=2),
    "autoencoder": defenses_pb2.AutoencoderInFront(units=32, autoencoder_epochs=2),
}
ATTACKS = ("pgd:epsilon=0.1,steps=4", "square:epsilon=0.1,queries=20", "eot_pgd:epsilon=0.1,steps=2,samples=2")


@pytest.mark.parametrize("kind", DEFENSES)
def test_a_model_with_a_component_is_trained_judged_attacked_and_uploaded_again(api, kind) -> None:
    """READY under its signature, attacked as a whole; its weights are a stranger's upload like any other."""
    data = datasets_pb2.DataSelection(dataset="digits", count=300)
    trained = api.run(
        api.training(
            architecture="mlp",
            data=data,
            evaluation_data=datasets_pb2.DataSelection(dataset="digits", count=60),
            defense=defenses_pb2.Defense(**{kind: DEFENSES[kind]}),
            optimization=jobs_pb2.Optimization(epochs=3, batch_size=50),
        )
    )
    model = api.models.GetModel(models_pb2.GetModelRequest(name=trained.result.model), timeout=10)
    assert model.state == models_pb2.Model.STATE_READY
    assert model.signature.component.WhichOneof("kind") == kind.removeprefix("test_time_")
    assert (trained.result.rows[0].attack, trained.result.rows[0].n) == ("clean", 60)
    spec = jobs_pb2.EvaluationSpec(
        models=[model.name],
        data=datasets_pb2.DataSelection(dataset="digits", count=30),
        attacks=[requests.attack(text) for text in ATTACKS],
    )
    attacked = api.run(spec)
    rows = {row.attack: row for row in attacked.result.rows}
    assert {"clean", "pgd", "square", "eot_pgd"} <= set(rows)
    assert sum(row.violations for row in attacked.result.rows) == 0
    assert b"around it" in api.download(attacked, "report")
    again = models_pb2.RegisterModelRequest(
        model_id=f"again-{kind.replace('_', '-')}", weights=model.weights, signature=model.signature
    )
    copy = api.models.RegisterModel(again, timeout=10)
    assert api.wait(copy.job).state == jobs_pb2.Job.STATE_SUCCEEDED
