"""What is no neural net, through a real gateway and real workers: fitted, attacked, uploaded, cancelled."""

from __future__ import annotations

import grpc
import pytest
from sparring import requests
from sparring.v1 import catalog_pb2, datasets_pb2, defenses_pb2, jobs_pb2, models_pb2

M = models_pb2.Model


def fit(architecture: str, *, model_id: str = "", count: int = 600, **changes) -> jobs_pb2.TrainingSpec:
    """A fit of about a second."""
    return jobs_pb2.TrainingSpec(
        architecture=architecture,
        data=datasets_pb2.DataSelection(dataset="mnist10k", count=count),
        evaluation_data=datasets_pb2.DataSelection(dataset="mnist10k", count=100),
        model_id=model_id,
        seed=1,
        **changes,
    )


def attacked(api, model: str, attack: str) -> jobs_pb2.ResultRow:
    """The row of one attack on ten test digits."""
    spec = jobs_pb2.AttackSpec(
        model=model, data=datasets_pb2.DataSelection(dataset="mnist10k", count=10), attack=requests.attack(attack)
    )
    return next(row for row in api.run(spec).result.rows if row.attack != "clean")


@pytest.fixture(scope="module")
def tree(api) -> jobs_pb2.Job:
    """A fitted tree."""
    return api.run(fit("decision_tree", model_id="a-tree", fitting={"max_depth": 10}))


def test_a_tree_is_fitted_and_walked(api, tree) -> None:
    assert tree.result.model == "models/a-tree"
    assert tree.training.fitting.max_depth == 10
    assert not tree.training.fitting.HasField("trees")
    assert tree.result.rows[0].clean_accuracy.value > 0.5
    row = attacked(api, "a-tree", "tree_walk")
    assert row.success_rate.value == 1
    assert row.median_distance <= 3
    assert row.violations == 0


def test_a_tree_that_was_saved_is_uploaded_again(api, tree) -> None:
    weights = api.upload(api.download(tree, "weights"))
    signature = models_pb2.ModelSignature(architecture="decision_tree", input_shape=[1, 28, 28], classes=10)

    def register(name: str) -> M:
        return api.models.RegisterModel(
            models_pb2.RegisterModelRequest(model_id=name, weights=weights, signature=signature), timeout=10
        )

    made = register("saved-tree")
    api.wait(made.job)
    ready = api.models.GetModel(models_pb2.GetModelRequest(name=made.name), timeout=10)
    assert ready.state == M.STATE_READY
    assert ready.parameters > 0
    first, second = (attacked(api, name, "tree_walk") for name in ("a-tree", "saved-tree"))
    assert first.mean_distance == second.mean_distance
    signature.classes = 9
    with pytest.raises(grpc.RpcError) as caught:
        register("another-tree")
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "K of MK must be 9" in caught.value.details()


def test_an_rbf_machine_is_fitted_and_falls_to_gradients(api) -> None:
    model = api.run(fit("rbf_svm", model_id="a-machine")).result.model
    assert attacked(api, model, "fgsm:epsilon=0.3").robust_accuracy.value < 0.5


def test_neighbours_are_refitted_and_judged_by_their_own_attack(api) -> None:
    defense = defenses_pb2.Defense(adversarial_refit=defenses_pb2.AdversarialRefit(refits=2))
    job = api.run(fit("nearest_neighbors", count=300, defense=defense))
    assert job.training.defense.adversarial_refit.epsilon == 0.25
    assert {row.attack for row in job.result.rows} >= {"clean", "nearest_neighbor"}
    model = api.models.GetModel(models_pb2.GetModelRequest(name=job.result.model), timeout=10)
    assert (model.defense, model.parameters) == ("adversarial_refit", 900 * 785 + 1)


def test_a_forest_that_takes_long_is_cancelled_between_two_trees(api) -> None:
    name = api.create(fit("random_forest", count=8000, fitting={"trees": 1000}))
    api.until(name, lambda job: job.state == jobs_pb2.Job.STATE_RUNNING)
    api.jobs.CancelJob(jobs_pb2.CancelJobRequest(name=name), timeout=10)
    assert api.wait(name, timeout_s=10).state == jobs_pb2.Job.STATE_CANCELLED


def test_the_catalog_lists_them_with_what_they_take(api) -> None:
    listed = api.catalog.ListArchitectures(catalog_pb2.ListArchitecturesRequest(), timeout=10).architectures
    fitted = {entry.name: [option.name for option in entry.fitting] for entry in listed if entry.fitted}
    assert fitted["rbf_svm"] == ["cost", "kernel_gamma"]
    assert len(fitted) == 5
    assert [entry.name for entry in listed if entry.fitting and not entry.fitted] == ["softmax_regression"]


def test_a_defense_that_means_nothing_is_refused_with_those_that_do(api) -> None:
    defense = defenses_pb2.Defense(pgd_adversarial=defenses_pb2.PgdAdversarialTraining())
    with pytest.raises(grpc.RpcError) as caught:
        api.create(fit("random_forest", defense=defense))
    assert "there are standard and adversarial_refit" in caught.value.details()
