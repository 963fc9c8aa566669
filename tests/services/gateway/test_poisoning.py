"""A poisoning is checked field by field, becomes one unit for each fraction, and costs what its fits cost."""

import pytest
from sparring.v1 import datasets_pb2, jobs_pb2, poisoning_pb2

from services.gateway import catalog
from services.gateway.check_references import check_references
from services.gateway.checks import check_request
from services.gateway.references import References
from services.gateway.resolve import lane, resolve

ONLY_ALL = datasets_pb2.Dataset(
    name="datasets/own",
    state=datasets_pb2.Dataset.STATE_READY,
    source=datasets_pb2.DATASET_SOURCE_UPLOADED,
    input_shape=[3, 8, 8],
    classes=4,
    splits=[datasets_pb2.Split(name="all", count=500)],
    digest="b" * 64,
)
FOUND = References(datasets={**catalog.built_in_datasets(), "own": ONLY_ALL})


def asked(poison="label_flip", *, fractions=(0.1,), dataset="mnist10k", **fields):
    spec = poisoning_pb2.PoisoningSpec(
        **{"architecture": "wong_cnn", "data": datasets_pb2.DataSelection(dataset=dataset), **fields}
    )
    spec.fractions[:] = fractions
    getattr(spec.poison, poison).SetInParent()
    return jobs_pb2.CreateJobRequest(poisoning=spec)


def problems(request):
    checks = (check_request(request, max_samples=100_000), check_references(request, FOUND, max_samples=100_000))
    return {violation.field: violation.description for listed in checks for violation in listed}


def test_a_poisoning_is_one_unit_for_each_fraction_and_one_without_poison():
    request = asked("backdoor", fractions=[0.3, 0.05, 0.3], seed=3)
    assert problems(request) == {}
    job = resolve(request, FOUND)
    assert list(job.poisoning.fractions) == [0.0, 0.05, 0.3]
    assert (job.resolution.shards, job.resolution.units) == (1, 3)
    assert (job.resolution.data.split, job.resolution.data.count) == ("train", 8000)
    assert (job.resolution.evaluation_data.split, job.resolution.evaluation_data.count) == ("test", 2000)
    assert job.poisoning.poison.backdoor == poisoning_pb2.Backdoor(trigger_label=0, trigger_size=3, trigger_value=1.0)
    assert job.poisoning.sanitizer == poisoning_pb2.SANITIZER_NONE
    assert job.poisoning.optimization.epochs == 10
    assert not job.poisoning.HasField("fitting")
    assert not job.poisoning.HasField("dropped_fraction")
    assert lane(job) == "any"


@pytest.mark.parametrize("poison", [info.name for info in catalog.poisons()])
def test_a_resolved_poisoning_is_a_valid_request_that_resolves_to_itself(poison):
    architecture = "linear_svm" if poison == "svm_gradient" else "mlp"
    job = resolve(asked(poison, architecture=architecture, fractions=[0.0, 0.5]), FOUND)
    again = jobs_pb2.CreateJobRequest(poisoning=job.poisoning)
    assert problems(again) == {}
    assert resolve(again, FOUND).SerializeToString(deterministic=True) == job.SerializeToString(deterministic=True)


def test_what_is_fitted_has_its_fit_filled_in():
    job = resolve(asked(architecture="rbf_svm"), FOUND)
    assert job.poisoning.fitting.cost == 5.0
    assert not job.poisoning.HasField("optimization")


@pytest.mark.parametrize(
    ("request_", "field", "words"),
    [
        (asked(fractions=[]), "poisoning.fractions", "1 to 32"),
        (asked(fractions=[0.0] * 33), "poisoning.fractions", "not 33"),
        (asked(fractions=[0.1, 0.51]), "poisoning.fractions[1]", "in [0, 0.5]"),
        (asked(fractions=[float("nan")]), "poisoning.fractions[0]", "in [0, 0.5]"),
        (asked(architecture=""), "poisoning.architecture", "must be set"),
        (asked(architecture="wong"), "poisoning.architecture", "did you mean"),
        (asked(sanitizer=9), "poisoning.sanitizer", "SANITIZER_LOSS"),
        (asked(dropped_fraction=0.1), "poisoning.dropped_fraction", "sanitizer"),
        (asked(sanitizer=2, dropped_fraction=0.6), "poisoning.dropped_fraction", "[0, 0.5]"),
        (asked(optimization=jobs_pb2.Optimization(epochs=0)), "poisoning.optimization.epochs", "[1, 10000]"),
        (
            asked(architecture="linear_svm", optimization=jobs_pb2.Optimization(epochs=1)),
            "poisoning.optimization",
            "fit",
        ),
        (asked(fitting=jobs_pb2.FitOptions(cost=1)), "poisoning.fitting", "trained and not fitted"),
        (asked(std=[0.0]), "poisoning.std[0]", "positive"),
        (asked(mean=[0.1, 0.2]), "poisoning.mean", "per channel"),
        (asked("svm_gradient"), "poisoning.architecture", "linear_svm and rbf_svm"),
        (asked("svm_gradient", architecture="linear_svm", mean=[0.1]), "poisoning.mean", "normalisation"),
        (asked("feature_collision", architecture="linear_svm"), "poisoning.architecture", "features of a network"),
        (asked(dataset="nothing"), "", ""),
        (asked(dataset=""), "poisoning.data.dataset", "must be set"),
        (asked(dataset="own", architecture="mlp"), "poisoning.evaluation_data", "no split 'test'"),
        (asked(data=datasets_pb2.DataSelection(dataset="mnist10k", count=9000)), "poisoning.data.count", "beyond"),
        (asked(device=9), "poisoning.device", "DEVICE_CPU"),
    ],
)
def test_a_bad_field_is_named(request_, field, words):
    found = problems(request_)
    if field:
        assert words in found[field]
    else:
        assert found == {}, "the registry says that the dataset is not there"


def test_a_poison_must_be_chosen():
    request = asked()
    request.poisoning.ClearField("poison")
    assert "label_flip, svm_gradient" in problems(request)["poisoning.poison"]


@pytest.mark.parametrize(
    ("poison", "field", "value"),
    [
        ("backdoor", "trigger_label", 10),
        ("backdoor", "trigger_size", 29),
        ("backdoor", "trigger_value", 1.5),
        ("feature_collision", "base_label", 10),
        ("svm_gradient", "attacked_label", 12),
        ("svm_gradient", "svm_samples", 2000),
        ("label_flip", "choice", 7),
    ],
)
def test_a_bad_parameter_of_a_poison_is_named(poison, field, value):
    architecture = "linear_svm" if poison == "svm_gradient" else "mlp"
    request = asked(poison, architecture=architecture)
    setattr(getattr(request.poisoning.poison, poison), field, value)
    assert f"poisoning.poison.{poison}.{field}" in problems(request)


def test_the_two_classes_of_a_duel_are_two():
    request = asked("svm_gradient", architecture="linear_svm")
    request.poisoning.poison.svm_gradient.attacking_label = 0
    assert "another class" in problems(request)["poisoning.poison.svm_gradient.attacking_label"]


def test_samples_of_every_kind_of_data_are_looked_for():
    judged = datasets_pb2.DataSelection(dataset="digits")
    found = problems(asked(evaluation_data=judged))
    assert "8x8" in found["poisoning.evaluation_data.dataset"]


def giga_ops(*given, **fields):
    return resolve(asked(*given, **fields), FOUND).resolution.giga_ops


def test_the_cost_grows_with_fractions_fits_and_targets():
    base = giga_ops()
    assert base == pytest.approx(2 * 0.0006 * (8000 * 10 * 3 + 2000))
    assert giga_ops(fractions=[0.1, 0.2, 0.3]) == pytest.approx(2 * base)
    assert giga_ops(sanitizer=poisoning_pb2.SANITIZER_LOSS) == pytest.approx(2 * base)
    assert giga_ops(sanitizer=poisoning_pb2.SANITIZER_TRIMMED) == pytest.approx(7 * base)
    assert giga_ops("feature_collision") > 6 * base
    assert giga_ops("svm_gradient", architecture="linear_svm") > giga_ops(architecture="linear_svm")


@pytest.mark.parametrize(("device", "name"), [(0, "any"), (2, "cpu"), (3, "gpu")])
def test_the_lane_is_that_of_the_device(device, name):
    assert lane(resolve(asked(device=device), FOUND)) == name
