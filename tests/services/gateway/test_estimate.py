"""What a job is charged follows the table of `estimate`, worked out here by hand."""

import pytest
from sparring.v1 import attacks_pb2 as at
from sparring.v1 import datasets_pb2, jobs_pb2, models_pb2
from sparring.v1 import defenses_pb2 as de

from services.gateway import catalog, estimate
from services.gateway.references import References
from services.gateway.resolve import resolve

# Billions of multiply-adds of one forward pass, from the catalog.
WONG, RESNET = 0.0006, 1.814


def model(name, architecture="wong_cnn", side=28):
    signature = models_pb2.ModelSignature(architecture=architecture, input_shape=[1, side, side], classes=10)
    return models_pb2.Model(name=f"models/{name}", weights="artifacts/" + "a" * 64, signature=signature)


FOUND = References(models={"m": model("m"), "n": model("n")}, datasets=dict(catalog.built_in_datasets()))
DATA = datasets_pb2.DataSelection(dataset="mnist10k", count=100)


def cost(**spec):
    return resolve(jobs_pb2.CreateJobRequest(**spec), FOUND).resolution.giga_ops


@pytest.mark.parametrize(
    ("attack", "passes"),
    [
        (at.Attack(fgsm=at.Fgsm()), 3 + 1),
        (at.Attack(bim=at.Bim(steps=7)), 3 * 7 + 1),
        (at.Attack(iterative_least_likely=at.IterativeLeastLikely(steps=2)), 3 * 2 + 1),
        (at.Attack(pgd=at.Pgd(steps=20, restarts=5)), 5 * (3 * 20 + 1)),
        (at.Attack(pgd=at.Pgd()), 3 * 40 + 1),
    ],
)
def test_an_attack_costs_its_passes_and_a_clean_one(attack, passes):
    assert estimate.attack_passes(resolve_attack(attack)) == passes
    assert cost(attack=jobs_pb2.AttackSpec(model="m", data=DATA, attack=attack)) == pytest.approx(
        100 * (1 + passes) * WONG
    )


def resolve_attack(attack):
    spec = jobs_pb2.AttackSpec(model="m", data=DATA, attack=attack)
    return resolve(jobs_pb2.CreateJobRequest(attack=spec), FOUND).attack.attack


def test_an_evaluation_costs_every_attack_and_point_on_every_model():
    spec = jobs_pb2.EvaluationSpec(
        models=["m", "n"],
        data=DATA,
        attacks=[at.Attack(fgsm=at.Fgsm()), at.Attack(bim=at.Bim(steps=3))],
        curves=[jobs_pb2.EpsilonCurve(attack=at.Attack(fgsm=at.Fgsm()), epsilons=[0.1, 0.2, 0.3])],
    )
    assert cost(evaluation=spec) == pytest.approx(100 * 2 * (1 + 4 + 10 + 3 * 4) * WONG)


@pytest.mark.parametrize(
    ("defense", "passes"),
    [
        (None, 5 * 3),
        (de.Defense(fgsm_adversarial=de.FgsmAdversarialTraining()), 5 * 9),
        (de.Defense(pgd_adversarial=de.PgdAdversarialTraining(steps=7)), 5 * 3 * 8),
        (de.Defense(distillation=de.DefensiveDistillation(teacher_epochs=2)), 3 * (2 + 1 + 5 + 1) + 1),
    ],
)
def test_a_training_costs_its_epochs_and_the_judging(defense, passes):
    spec = jobs_pb2.TrainingSpec(
        architecture="wong_cnn",
        data=DATA,
        evaluation_data=datasets_pb2.DataSelection(dataset="mnist10k", count=40),
        defense=defense,
        optimization=jobs_pb2.Optimization(epochs=5),
    )
    assert cost(training=spec) == pytest.approx((100 * passes + 40) * WONG)


def test_a_larger_input_costs_by_its_area():
    small, large = (catalog.architectures()["wong_cnn"].giga_ops_at(side, side) for side in (28, 56))
    assert large == pytest.approx(4 * small)


def test_every_attack_and_defense_of_the_contract_has_a_cost():
    for info in catalog.attacks():
        assert estimate.attack_passes(at.Attack(**{info.name: {}})) >= 0
    for info in catalog.defenses():
        assert estimate.training_passes(de.Defense(**{info.name: {}}), 1) > 0
    for nothing in (lambda: estimate.attack_passes(at.Attack()), lambda: estimate.training_passes(de.Defense(), 1)):
        with pytest.raises(ValueError, match="is not known"):
            nothing()
