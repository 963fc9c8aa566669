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
SCALE = estimate.Scale(classes=10, values=28 * 28)
EACH = at.Goal(targeted=at.Targeted(each=at.EachClass()))
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
        (at.Attack(mi_fgsm=at.MiFgsm(steps=6)), 3 * 6 + 1),
        (at.Attack(apgd=at.Apgd(steps=10, restarts=2)), 2 * 3 * 11 + 1),
        (at.Attack(apgd=at.Apgd(steps=10, targets=4)), 4 * 3 * 11 + 1),
        (at.Attack(apgd=at.Apgd(steps=10, targets=99)), 9 * 3 * 11 + 1),
        (at.Attack(fab=at.Fab(steps=10, targets=3)), 3 * 4 * 10 + 1),
        (at.Attack(fab=at.Fab(steps=10, targets=0, restarts=2)), 2 * 10 * (2 + 20) + 1),
        (at.Attack(square=at.Square(queries=500, restarts=2)), 1000 + 1),
        (at.Attack(auto_attack=at.AutoAttack()), 10 * 3 * 101 + 9 * 400 + 5000 + 1),
        (at.Attack(lbfgs=at.Lbfgs(steps=5, search_steps=4)), 4 * 3 * 5 + 1),
        (at.Attack(deepfool=at.DeepFool(steps=5, candidates=3)), 5 * 8 + 8 + 1),
        (at.Attack(deepfool=at.DeepFool(steps=5, candidates=0)), 5 * 22 + 8 + 1),
        (at.Attack(carlini_wagner=at.CarliniWagner(steps=10, search_steps=2)), 60 + 1),
        (at.Attack(ead=at.Ead(steps=10, search_steps=2)), 80 + 1),
        (at.Attack(ddn=at.Ddn(steps=10)), 31),
        (at.Attack(fmn=at.Fmn(steps=10)), 31),
        (at.Attack(jsma=at.Jsma(max_fraction=0.1)), 5 * 40 + 1),
        (at.Attack(jsma=at.Jsma(max_fraction=0.1, pairs=False)), 5 * 79 + 1),
        (at.Attack(linear_nudge=at.LinearNudge()), 21 + 2 + 1),
        (at.Attack(nes=at.Nes(queries=400)), 401),
        (at.Attack(simba=at.Simba(queries=400)), 401),
        (at.Attack(boundary=at.Boundary(queries=400)), 401),
        (at.Attack(hop_skip_jump=at.HopSkipJump(queries=400)), 401),
        (at.Attack(tree_walk=at.TreeWalk()), 2),
        (at.Attack(nearest_neighbor=at.NearestNeighbor()), 4),
        (at.Attack(eot_pgd=at.EotPgd(steps=5, samples=3)), 3 * 15 + 1),
        (at.Attack(fooling_gradient=at.FoolingGradient(steps=5), goal=EACH), 16),
        (at.Attack(fooling_map_elites=at.FoolingMapElites(generations=3, offspring=5), goal=EACH), 16),
        (at.Attack(fooling_cppn=at.FoolingCppn(generations=3, offspring=5), goal=EACH), 16),
        (at.Attack(plugin=at.Plugin(name="own")), 300 + 1),
        (at.Attack(plugin=at.Plugin(name="own", parameters={"steps": 7, "queries": 5})), 3 * 7 + 5 + 1),
        (at.Attack(plugin=at.Plugin(name="own", parameters={"steps": -7, "queries": 1e300})), 10**9 + 1),
    ],
    ids=lambda value: value.WhichOneof("kind") if isinstance(value, at.Attack) else "",
)
def test_an_attack_costs_its_passes_and_a_clean_one(attack, passes):
    assert estimate.attack_passes(resolve_attack(attack), SCALE) == passes
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
        (de.Defense(distillation=de.DefensiveDistillation(teacher_epochs=2)), 3 * (2 + 1 + 5 + 1) + 5),
        (de.Defense(virtual_adversarial=de.VirtualAdversarialTraining(power_iterations=2)), 5 * 12),
        (de.Defense(virtual_adversarial=de.VirtualAdversarialTraining(labelled=10)), 5 * (9 + 3)),
        (de.Defense(label_smoothing=de.LabelSmoothing()), 5 * 3),
        (de.Defense(adversarial_at_scale=de.AdversarialTrainingAtScale(adversarial_share=0.4)), 5 * (3 + 0.4 * 3)),
        (de.Defense(fgsm_rs=de.FgsmRandomStart()), 5 * 6),
        (de.Defense(free=de.FreeAdversarialTraining(batch_replays=4)), 2 * 4 * 3),
        (de.Defense(trades=de.Trades(steps=7)), 5 * (1 + 3 * 7 + 6)),
        (de.Defense(mart=de.Mart(steps=7)), 5 * (3 * 7 + 6)),
        (de.Defense(awp=de.AdversarialWeightPerturbation(steps=7, base=de.AWP_BASE_PGD)), 5 * (3 * 7 + 3 + 3)),
        (de.Defense(awp=de.AdversarialWeightPerturbation(steps=7, base=de.AWP_BASE_TRADES)), 5 * (1 + 3 * 7 + 6 + 6)),
        (
            de.Defense(ensemble_adversarial=de.EnsembleAdversarialTraining(static_models=3, static_epochs=4)),
            5 * 9 + 3 * 4 * 3,
        ),
    ],
)
def test_a_training_costs_its_epochs_and_the_judging(defense, passes):
    spec = jobs_pb2.TrainingSpec(
        architecture="wong_cnn",
        data=DATA,
        evaluation_data=datasets_pb2.DataSelection(dataset="mnist10k", count=40),
        defense=defense,
        optimization=jobs_pb2.Optimization(epochs=5),
        validation=jobs_pb2.Validation(overfitting_drop=0),
    )
    assert cost(training=spec) == pytest.approx((100 * passes + 40) * WONG)


def test_a_teacher_of_another_architecture_is_paid_at_its_price():
    distillation = de.DefensiveDistillation(teacher_epochs=2, teacher_architecture="resnet18")
    spec = jobs_pb2.TrainingSpec(
        architecture="wong_cnn",
        data=DATA,
        evaluation_data=datasets_pb2.DataSelection(dataset="mnist10k", count=40),
        defense=de.Defense(distillation=distillation),
        optimization=jobs_pb2.Optimization(epochs=5),
    )
    teacher = catalog.architectures()["resnet18"].giga_ops_at(28, 28)
    expected = (100 * 3 * (5 + 1) + 40) * WONG + 100 * (3 * (2 + 1) + 5) * teacher
    assert cost(training=spec) == pytest.approx(expected)


def test_static_networks_are_paid_at_the_price_of_their_architectures():
    ensemble = de.EnsembleAdversarialTraining(static_models=3, static_epochs=4, static_architectures="resnet18, mlp")
    spec = jobs_pb2.TrainingSpec(
        architecture="wong_cnn",
        data=DATA,
        evaluation_data=datasets_pb2.DataSelection(dataset="mnist10k", count=40),
        defense=de.Defense(ensemble_adversarial=ensemble),
        optimization=jobs_pb2.Optimization(epochs=5),
    )
    resnet, mlp = (catalog.architectures()[name].giga_ops_at(28, 28) for name in ("resnet18", "mlp"))
    # Each is trained, and makes the examples of a quarter of the batches; there are two of the first.
    expected = (100 * 5 * 9 + 40) * WONG + 100 * 3 * (4 + 2) * (2 * resnet + mlp)
    assert cost(training=spec) == pytest.approx(expected)


def test_a_larger_input_costs_by_its_area():
    small, large = (catalog.architectures()["wong_cnn"].giga_ops_at(side, side) for side in (28, 56))
    assert large == pytest.approx(4 * small)


def test_every_attack_and_defense_of_the_contract_has_a_cost():
    assert list(estimate.COSTS) == [info.name for info in catalog.attacks()]
    for info in catalog.defenses():
        assert estimate.training_passes(de.Defense(**{info.name: {}}), 1) > 0
    for nothing in (
        lambda: estimate.attack_passes(at.Attack(), SCALE),
        lambda: estimate.training_passes(de.Defense(), 1),
    ):
        with pytest.raises(ValueError, match="is not known"):
            nothing()
