"""Fits from their job's message to the model that they make known, and what they are judged by."""

from __future__ import annotations

import shlex

import pytest
import safetensors.torch
import torch
from sparring.v1 import defenses_pb2, jobs_pb2, models_pb2

from services.cli import waiting
from services.cli.app import run
from workers import models
from workers.engine.monitor import NullMonitor
from workers.failures import Interrupted
from workers.run import command

M = models_pb2.Model
STANDARD = defenses_pb2.Defense(standard=defenses_pb2.StandardTraining())
OPTIONS = {
    "decision_tree": {"max_depth": 8, "min_leaf": 1},
    "linear_svm": {"cost": 0.1, "solver_rounds": 1000},
    "nearest_neighbors": {"neighbors": 5},
    "random_forest": {"max_depth": 8, "min_leaf": 1, "trees": 5},
    "rbf_svm": {"cost": 5.0, "kernel_gamma": 0.0},
    "softmax_regression": {"cost": 0.1, "solver_rounds": 500},
}
JUDGED = {
    "decision_tree": ["tree_walk", "square"],
    "linear_svm": ["fgsm", "pgd"],
    "nearest_neighbors": ["nearest_neighbor", "nearest_neighbor"],
    "random_forest": ["tree_walk", "square"],
    "rbf_svm": ["fgsm", "pgd"],
    "softmax_regression": ["fgsm", "pgd"],
}


def refit(epsilon: float = 0.2, *, closed_form: bool = False) -> defenses_pb2.Defense:
    made = defenses_pb2.AdversarialRefit(epsilon=epsilon, refits=1, closed_form=closed_form)
    return defenses_pb2.Defense(adversarial_refit=made)


@pytest.fixture
def job(make):
    """A fit as the gateway would have resolved it."""

    def resolved(name: str, defense: defenses_pb2.Defense = STANDARD) -> jobs_pb2.Job:
        made = make.training(defense)
        made.training.architecture = name
        made.training.ClearField("optimization")
        made.training.fitting.CopyFrom(jobs_pb2.FitOptions(**OPTIONS[name]))
        made.training.device = jobs_pb2.DEVICE_ANY
        made.resolution.data.count = 300
        made.resolution.evaluation_data.count = 60
        return made

    return resolved


@pytest.mark.parametrize("name", OPTIONS)
def test_a_fit_registers_its_model_and_judges_it(bench, job, name) -> None:
    result = bench.result(job(name))
    model = models_pb2.Model.FromString(bench.store.lookup("default", "model", "mine"))
    assert (model.state, model.defense) == (models_pb2.Model.STATE_READY, "standard")
    assert model.signature.architecture == name
    assert model.parameters > 100
    assert [row.attack for row in result.rows] == ["clean"]
    assert result.rows[0].clean_accuracy.value > (0.45 if name == "decision_tree" else 0.7)
    signature = models.Signature(name, (1, 8, 8), 10)
    assert models.save(models.load(bench.file(result, "weights"), signature)) == bench.file(result, "weights")
    assert {artifact.role for artifact in result.artifacts} == {"weights", "manifest", "report", "metrics", "markdown"}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_refit_is_judged_by_the_attacks_of_its_kind(bench, job, name) -> None:
    result = bench.result(job(name, refit()))
    rows = [row for row in result.rows if row.attack not in {"clean", "worst_case"}]
    assert [row.attack for row in rows] == JUDGED[name]
    assert all(row.violations == 0 for row in rows)
    assert rows[0].success_rate.value > 0


def test_a_unit_that_is_done_again_gives_the_same_bytes(bench, job) -> None:
    for name in ("first", "second"):
        bench.submit(job("random_forest", refit()), name)
    bench.serve()
    first, second = (bench.store.unit_results("default", name)[0].digest for name in ("first", "second"))
    assert first == second


def test_a_fit_is_cancelled_between_two_trees(bench, job) -> None:
    class Impatient(NullMonitor):
        """Interrupts at the third tick, as a cancelled lease would."""

        def __init__(self, heartbeat) -> None:
            self.heartbeat, self.ticks = heartbeat, 0

        def tick(self, fraction: float, message: str = "") -> None:
            self.ticks += 1
            if self.ticks == 3:
                bench.store.cancel("default", "job")
                raise Interrupted
            self.heartbeat.tick(fraction, message)

        def __getattr__(self, name: str) -> object:
            return getattr(self.heartbeat, name)

    bench.submit(job("random_forest"))
    bench.serve(Impatient)
    assert bench.store.unit_results("default", "job") == []


def test_the_closed_form_of_more_than_two_classes_is_refused_by_the_worker(bench, job) -> None:
    reason, message = bench.failure(job("softmax_regression", refit(closed_form=True)))
    assert reason == "NO_CLOSED_FORM"
    assert "two classes" in message


def test_an_uploaded_forest_is_checked_and_a_hostile_one_is_refused(bench, job) -> None:
    weights = bench.file(bench.result(job("random_forest")), "weights")
    tensors = safetensors.torch.load(weights)
    signature = models_pb2.ModelSignature(architecture="random_forest", input_shape=[1, 8, 8], classes=10)

    def intake(content: bytes, name: str) -> jobs_pb2.Job:
        sha256 = bench.artifacts.put("default", content)
        model = models_pb2.Model(name=f"models/{name}", signature=signature, weights=f"artifacts/{sha256}")
        return jobs_pb2.Job(intake=jobs_pb2.IntakeSpec(model=model), resolution=jobs_pb2.Resolution(units=1))

    bench.run(intake(weights, "good"), "check-good")
    good = models_pb2.Model.FromString(bench.store.lookup("default", "model", "good"))
    assert (good.state, good.parameters) == (M.STATE_READY, sum(tensor.numel() for tensor in tensors.values()))
    tensors["left"] = torch.full_like(tensors["left"], 2**40)
    bench.run(intake(safetensors.torch.save(tensors), "bad"), "check-bad")
    bad = models_pb2.Model.FromString(bench.store.lookup("default", "model", "bad"))
    assert bad.state == M.STATE_REJECTED
    assert "left must be from 0" in bad.error.message


@pytest.mark.parametrize("name", OPTIONS)
def test_the_command_in_the_report_asks_for_the_same_fit(job, name, monkeypatch) -> None:
    spec = job(name, refit()).training
    spec.ClearField("model_id")
    spec.data.dataset = "datasets/digits"
    sent = []
    monkeypatch.setattr(waiting, "submit", lambda _server, request, **_: sent.append(request) or 0)
    program, *words = shlex.split(command.of_job(jobs_pb2.Job(training=spec)))
    assert (program, run(words)) == ("sparring", 0)
    assert sent[0].training == spec
