"""Fits through the gateway: what is refused and why, what is filled in, what it costs, and whose files are taken."""

import pytest
from sparring import requests
from sparring.v1 import datasets_pb2, jobs_pb2, models_pb2

from services.artifacts.headers import TensorInfo
from services.gateway import catalog, fitting
from services.gateway.check_references import check_references
from services.gateway.check_tensors import check_tensors
from services.gateway.checks import check_request
from services.gateway.references import References
from services.gateway.resolve import resolve

KINDS = [name for name, entry in catalog.architectures().items() if entry.fitted]
SIGNATURE = models_pb2.ModelSignature(architecture="decision_tree", input_shape=[1, 28, 28], classes=10)
FOUND = References(
    models={
        "tree": models_pb2.Model(name="models/tree", weights="artifacts/" + "a" * 64, signature=SIGNATURE),
    },
    datasets=dict(catalog.built_in_datasets()),
)


def asked(architecture, defense="standard", *, count=0, initial_model="", **parameters):
    data = datasets_pb2.DataSelection(dataset="mnist10k", count=count)
    fields = {"architecture": architecture, "initial_model": initial_model}
    spec = requests.training(data, defense, parameters, **fields)
    return jobs_pb2.CreateJobRequest(training=spec)


def problems(request):
    listed = [*check_request(request, max_samples=10**6), *check_references(request, FOUND, max_samples=10**6)]
    return {violation.field: violation.description for violation in listed}


def test_there_are_five_kinds_and_a_network_that_can_be_fitted():
    assert KINDS == ["decision_tree", "linear_svm", "nearest_neighbors", "random_forest", "rbf_svm"]
    able = [name for name, entry in catalog.architectures().items() if entry.fitting and not entry.fitted]
    assert able == ["softmax_regression"]
    taken = {option for entry in catalog.architectures().values() for option in entry.fitting}
    assert taken == set(catalog.fit_options()), "every option is of some use"


@pytest.mark.parametrize("name", KINDS)
def test_a_fit_is_filled_in_with_what_it_takes_and_nothing_else(name):
    request = asked(name)
    assert problems(request) == {}
    job = resolve(request, FOUND)
    assert {field.name for field, _ in job.training.fitting.ListFields()} == set(catalog.architectures()[name].fitting)
    assert not job.training.optimization.ListFields()
    assert job.training.defense.WhichOneof("kind") == "standard"
    assert (job.resolution.units, job.resolution.evaluation_data.count) == (1, 2000)
    again = jobs_pb2.CreateJobRequest(training=job.training)
    assert problems(again) == {}
    assert resolve(again, FOUND) == job


def test_the_cost_follows_the_architecture_and_stays_where_it_was_given():
    assert resolve(asked("rbf_svm"), FOUND).training.fitting.cost == 5
    assert resolve(asked("linear_svm"), FOUND).training.fitting.cost == pytest.approx(0.1)
    assert resolve(asked("rbf_svm", cost=2), FOUND).training.fitting.cost == 2


def test_softmax_regression_is_trained_unless_a_fit_is_asked_for():
    trained = resolve(asked("softmax_regression"), FOUND).training
    assert not trained.HasField("fitting")
    assert trained.optimization.epochs == 10
    fitted = resolve(asked("softmax_regression", cost="1/8"), FOUND).training
    assert (fitted.fitting.cost, fitted.fitting.solver_rounds) == (0.125, 1000)
    assert not fitted.optimization.ListFields()


@pytest.mark.parametrize(
    ("request_", "field", "words"),
    [
        (asked("wong_cnn", trees=5), "training.fitting", "is trained and not fitted; fitted are"),
        (asked("linear_svm", trees=5), "training.fitting.trees", "takes cost, solver_rounds"),
        (asked("random_forest", trees=0), "training.fitting.trees", "must be in [1, 1000]"),
        (asked("random_forest", trees=1001), "training.fitting.trees", "must be in [1, 1000]"),
        (asked("rbf_svm", cost=0), "training.fitting.cost", "must be in (0, 1e+06]"),
        (asked("decision_tree", max_depth=257), "training.fitting.max_depth", "must be in [1, 256]"),
        (asked("decision_tree", epochs=5), "training.optimization", "no step is optimised"),
        (asked("decision_tree", "pgd_adversarial"), "training.defense", "there are standard and adversarial_refit"),
        (asked("rbf_svm", "distillation"), "training.defense", "rbf_svm is fitted, and distillation is about"),
        (asked("nearest_neighbors", count=4, neighbors=5), "training.fitting.neighbors", "4 samples have no 5"),
        (asked("nearest_neighbors", "adversarial_refit", refits=17), "training.data.count", "at most 131072"),
        (asked("", initial_model="tree"), "training.initial_model", "can't go on from a model"),
        (asked("decision_tree", initial_model="tree"), "training.initial_model", "fitted to samples alone"),
        (
            asked("rbf_svm", "adversarial_refit", closed_form=True),
            "training.defense.adversarial_refit.closed_form",
            "there is one for linear_svm and softmax_regression",
        ),
        (
            asked("mlp", "adversarial_refit", closed_form=True),
            "training.defense.adversarial_refit.closed_form",
            "is for what is fitted",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_means_nothing_is_refused_with_the_reason(request_, field, words):
    found = problems(request_)
    assert words in found[field]


def test_a_refit_of_everything_that_can_be_refitted_is_taken():
    for name in (*KINDS, "softmax_regression", "wong_cnn"):
        assert problems(asked(name, "adversarial_refit", refits=3)) == {}
    assert problems(asked("linear_svm", "adversarial_refit", closed_form=True)) == {}


def test_more_samples_than_can_be_held_are_refused():
    large = datasets_pb2.Dataset(
        name="datasets/large",
        input_shape=[3, 224, 224],
        classes=10,
        splits=[datasets_pb2.Split(name="train", count=10_000)],
    )
    spec = jobs_pb2.TrainingSpec(
        architecture="decision_tree", data=datasets_pb2.DataSelection(dataset="large"), fitting={"max_depth": 3}
    )
    (violation,) = fitting.check_samples(spec, large)
    assert violation.field == "training.data.count"
    spec.data.count = 1000
    assert list(fitting.check_samples(spec, large)) == []


def test_a_teacher_that_is_fitted_is_refused():
    found = problems(asked("mlp", "distillation", teacher_architecture="decision_tree"))
    assert "is fitted" in found["training.defense.distillation.teacher_architecture"]


def test_a_fit_is_charged_for():
    def cost(*given, **more):
        return resolve(asked(*given, **more), FOUND).resolution.giga_ops

    one = {name: catalog.architectures()[name].giga_ops for name in KINDS}
    assert cost("linear_svm") == pytest.approx((900 * 8000 + 2000) * one["linear_svm"])
    assert cost("rbf_svm") == pytest.approx(8000 * 8000 * 784 / 1e9 + 2000 * one["rbf_svm"])
    assert cost("nearest_neighbors") == pytest.approx(2000 * one["nearest_neighbors"])
    tree = 8000 * 784 * 20 / 1e9
    assert cost("decision_tree") == pytest.approx(tree + 2000 * one["decision_tree"])
    assert cost("decision_tree", "adversarial_refit", refits=3) == pytest.approx(
        4 * 5 / 2 * tree + (3 * 4 * 8000 + 2000) * one["decision_tree"]
    )
    assert cost("linear_svm", "adversarial_refit", closed_form=True, refits=3) == cost("linear_svm")
    assert cost("random_forest", trees=10) < cost("random_forest", trees=50)


def tensors(**shapes):
    return {name: TensorInfo(dtype=kind, shape=shape, begin=0, end=0) for name, (kind, shape) in shapes.items()}


TREE = {
    "feature": ("I64", (7,)),
    "threshold": ("F32", (7,)),
    "left": ("I64", (7,)),
    "right": ("I64", (7,)),
    "distribution": ("F32", (7, 10)),
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"left": ("I64", (8,))}, "M of M must be 7"),
        ({"left": ("I32", (7,))}, "I64 of 1 dimensions is needed"),
        ({"left": ("I64", (7, 1))}, "I64 of 1 dimensions is needed"),
        ({"distribution": ("F32", (7, 11))}, "K of MK must be 10"),
        ({"more": ("F32", (1,))}, "has the tensors feature, threshold"),
        ({name: (kind, (0, *shape[1:])) for name, (kind, shape) in TREE.items()}, "must be 1"),
    ],
)
def test_the_header_of_a_fitted_model_is_looked_at(change, words):
    assert list(check_tensors(SIGNATURE, tensors(**TREE))) == []
    assert any(words in fault for fault in check_tensors(SIGNATURE, tensors(**TREE | change)))


def test_the_header_of_a_network_is_left_to_the_worker():
    network = models_pb2.ModelSignature(architecture="mlp", input_shape=[1, 28, 28], classes=10)
    assert list(check_tensors(network, tensors(**TREE))) == []


def test_the_values_of_a_picture_are_counted():
    signature = models_pb2.ModelSignature(architecture="nearest_neighbors", input_shape=[1, 2, 3], classes=10)
    given = {"references": ("F32", (5, 6)), "labels": ("I64", (5,)), "k": ("I64", ())}
    assert list(check_tensors(signature, tensors(**given))) == []
    (fault,) = check_tensors(signature, tensors(**given | {"references": ("F32", (5, 7))}))
    assert "D of RD must be 6" in fault
