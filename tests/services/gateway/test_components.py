"""Models with something around their network: what is refused, what is built, what it costs."""

import math

import pytest
from sparring.v1 import attacks_pb2, datasets_pb2, jobs_pb2, models_pb2
from sparring.v1 import components_pb2 as co
from sparring.v1 import defenses_pb2 as de

from services.gateway import catalog, components
from services.gateway.check_references import check_references, check_weights
from services.gateway.check_signature import check_signature
from services.gateway.checks import check_request
from services.gateway.references import References
from services.gateway.resolve import resolve

MLP = catalog.architectures()["mlp"].giga_ops
NOISE = co.Component(noise=co.NoiseComponent(sigma=0.1, votes=4))
AUTOENCODER = co.Component(autoencoder=co.AutoencoderComponent(units=100))
DATA = datasets_pb2.DataSelection(dataset="mnist10k", count=100)


def signature(component=None, classes=10):
    return models_pb2.ModelSignature(architecture="mlp", input_shape=[1, 28, 28], classes=classes, component=component)


def wrong(component, classes=10):
    return {bad.field: bad.description for bad in check_signature(signature(component, classes), "signature")}


def test_a_whole_component_passes():
    assert wrong(NOISE) == {}
    assert wrong(co.Component(output_code=co.OutputCodeComponent(bits=4, code_seed=0))) == {}


def test_what_is_fitted_takes_no_component():
    fitted = signature(NOISE)
    fitted.architecture = "linear_svm"
    (problem,) = check_signature(fitted, "signature")
    assert (problem.field, problem.description) == (
        "signature.component",
        "a linear_svm is fitted; it takes no component",
    )


@pytest.mark.parametrize(
    ("component", "classes", "field", "words"),
    [
        (co.Component(), 10, "component", "exactly one of noise, autoencoder"),
        (co.Component(noise=co.NoiseComponent(sigma=0.1)), 10, "component.noise.votes", "must be set"),
        (co.Component(noise=co.NoiseComponent(sigma=math.nan, votes=1)), 10, "component.noise.sigma", "finite"),
        (co.Component(committee=co.CommitteeComponent(members=65)), 10, "component.committee.members", "[1, 64]"),
        (
            co.Component(glimpses=co.GlimpsesComponent(glimpses=2, shift=1)),
            10,
            "component.glimpses.random_glimpses",
            "set",
        ),
        (
            co.Component(output_code=co.OutputCodeComponent(bits=3, code_seed=0)),
            10,
            "component.output_code.bits",
            "few",
        ),
        (
            co.Component(output_code=co.OutputCodeComponent(bits=16, code_seed=0)),
            1001,
            "component.output_code.bits",
            "1000 classes at most",
        ),
    ],
)
def test_what_is_wrong_with_a_component_is_named(component, classes, field, words):
    problems = wrong(component, classes)
    assert list(problems) == [f"signature.{field}"]
    assert words in problems[f"signature.{field}"]


def test_the_models_of_a_defense_have_its_component_with_every_default():
    noise = de.Defense(test_time_noise=de.NoiseAtTestTime(votes=7))
    assert components.of_defense(noise) == co.Component(noise=co.NoiseComponent(sigma=0.2, votes=7))
    autoencoder = de.Defense(autoencoder=de.AutoencoderInFront(units=9))
    assert components.of_defense(autoencoder).autoencoder.units == 9
    assert components.of_defense(de.Defense(weight_penalty=de.WeightPenalty())) is None
    assert components.of_defense(de.Defense()) is None


def found(component=None):
    model = models_pb2.Model(name="models/m", weights="artifacts/" + "a" * 64, signature=signature(component))
    return References(models={"m": model}, datasets=dict(catalog.built_in_datasets()))


def training(defense, **fields):
    spec = jobs_pb2.TrainingSpec(data=DATA, defense=defense, **{"architecture": "mlp", **fields})
    return jobs_pb2.CreateJobRequest(training=spec)


def problems(request, references):
    listed = [
        *check_request(request, max_samples=1000),
        *check_references(request, references, max_samples=1000),
        *check_weights(request, references, max_bytes=10_000_000),
    ]
    return {bad.field: bad.description for bad in listed}


NOISY = de.Defense(test_time_noise=de.NoiseAtTestTime(sigma=0.1, votes=4))


def test_an_initial_model_needs_the_component_of_the_defense():
    go_on = training(NOISY, architecture="", initial_model="m")
    assert problems(go_on, found(NOISE)) == {}
    assert "no such component" in problems(go_on, found())["training.defense.test_time_noise"]
    assert problems(training(de.Defense(standard=de.StandardTraining()), initial_model="m"), found(NOISE)) == {}


def test_a_code_without_words_for_all_classes_is_refused():
    short = de.Defense(output_code=de.OutputCoding(bits=3))
    assert "too few words" in problems(training(short), found())["training.defense.output_code.bits"]


def test_weights_count_every_member_and_the_autoencoder():
    large = de.Defense(committee=de.CommitteeOfNetworks(members=20))
    assert "choose a smaller one" in problems(training(large), found())["training.architecture"]
    one = catalog.architectures()["mlp"].weights_bytes((1, 28, 28), 10)
    assert components.weights_bytes(signature(AUTOENCODER)) == one + 4 * (2 * 784 * 100 + 100 * 100)
    coded = co.Component(output_code=co.OutputCodeComponent(bits=16, code_seed=0))
    assert components.weights_bytes(signature(coded)) == catalog.architectures()["mlp"].weights_bytes((1, 28, 28), 16)


@pytest.mark.parametrize(
    ("component", "questions"),
    [
        (None, 1),
        (NOISE, 4),
        (co.Component(committee=co.CommitteeComponent(members=3)), 3),
        (co.Component(confidence_reduction=co.ConfidenceReductionComponent(reduction=0.1)), 4),
        (co.Component(glimpses=co.GlimpsesComponent(glimpses=5, shift=2, random_glimpses=True)), 5),
        (co.Component(output_code=co.OutputCodeComponent(bits=16, code_seed=0)), 1),
    ],
)
def test_an_attack_costs_what_the_whole_model_costs(component, questions):
    spec = jobs_pb2.AttackSpec(model="m", data=DATA, attack=attacks_pb2.Attack(fgsm=attacks_pb2.Fgsm()))
    job = resolve(jobs_pb2.CreateJobRequest(attack=spec), found(component))
    assert job.resolution.giga_ops == pytest.approx(100 * 5 * questions * MLP)
    assert job.resolution.models[0].signature == signature(component)


@pytest.mark.parametrize(
    ("defense", "trained", "judged"),
    [
        (NOISY, 5 * 3, 4),
        (de.Defense(committee=de.CommitteeOfNetworks(members=3)), 5 * 9, 3),
        (de.Defense(generative_pretraining=de.GenerativePretraining(pretraining_epochs=2)), 5 * 3 + 2 * 9, 1),
        (de.Defense(double_backprop=de.DoubleBackpropagation()), 5 * 6, 1),
        (de.Defense(noise_training=de.NoiseTraining()), 5 * 3, 1),
    ],
)
def test_a_training_costs_its_networks_and_a_judgement_the_whole_model(defense, trained, judged):
    request = training(defense, evaluation_data=DATA, optimization=jobs_pb2.Optimization(epochs=5))
    assert resolve(request, found()).resolution.giga_ops == pytest.approx(100 * (trained + judged) * MLP)


def test_going_on_from_a_model_costs_its_networks_or_the_whole_of_it():
    """A committee asks each member; training an ensemble against PGD asks all of it each time."""
    members = co.Component(committee=co.CommitteeComponent(members=3))
    committee = de.Defense(committee=de.CommitteeOfNetworks(members=3))
    settings = {"architecture": "", "initial_model": "m", "evaluation_data": DATA}
    for defense, passes in ((committee, 9), (de.Defense(standard=de.StandardTraining()), 9)):
        request = training(defense, optimization=jobs_pb2.Optimization(epochs=5), **settings)
        expected = 100 * (5 * passes + 3) * MLP
        assert resolve(request, found(members)).resolution.giga_ops == pytest.approx(expected)


def test_an_autoencoder_is_charged_for_its_own_passes():
    defense = de.Defense(autoencoder=de.AutoencoderInFront(units=100, autoencoder_epochs=2))
    request = training(defense, evaluation_data=DATA, optimization=jobs_pb2.Optimization(epochs=5))
    drawing = (2 * 784 * 100 + 100 * 100) / 1e9
    expected = 100 * ((5 * 3 + 2 * 3 + 1) * MLP + (2 * 2 * 3 + 1) * drawing)
    assert resolve(request, found()).resolution.giga_ops == pytest.approx(expected)
