"""What is wrong with a request by itself: every bad field at once, each with its full path."""

import math

import pytest
from sparring.v1 import attacks_pb2, datasets_pb2, defenses_pb2, jobs_pb2

from services.gateway.checks import check_request

DATA = datasets_pb2.DataSelection(dataset="datasets/mnist10k")
FGSM = attacks_pb2.Attack(fgsm=attacks_pb2.Fgsm())


def found(max_samples=1000, **fields):
    violations = list(check_request(jobs_pb2.CreateJobRequest(**fields), max_samples=max_samples))
    assert len({(v.field, v.description) for v in violations}) == len(violations), "each is said once"
    return {violation.field: violation.description for violation in violations}


def attack(**fields):
    base = {"model": "models/m", "data": DATA, "attack": FGSM}
    return found(attack=jobs_pb2.AttackSpec(**{**base, **fields}))


def evaluation(**fields):
    base = {"models": ["m"], "data": DATA}
    return found(evaluation=jobs_pb2.EvaluationSpec(**{**base, **fields}))


def training(**fields):
    base = {"architecture": "wong_cnn", "data": DATA}
    return found(training=jobs_pb2.TrainingSpec(**{**base, **fields}))


@pytest.mark.parametrize("check", [attack, evaluation, training])
def test_the_plainest_spec_of_each_kind_passes(check):
    assert check() == {}


def test_a_request_without_a_spec_names_the_kinds():
    assert "attack, training, evaluation" in found()["spec"]


def test_every_bad_field_is_found_at_once():
    problems = found(
        request_id="42",
        display_name="x" * 201,
        attack=jobs_pb2.AttackSpec(
            model="models/a b",
            data=datasets_pb2.DataSelection(dataset="x/y", offset=-1, count=-2),
            attack=attacks_pb2.Attack(
                pgd=attacks_pb2.Pgd(epsilon=math.nan, steps=0, step_size=0, restarts=2000, loss=77, norm=9),
                goal=attacks_pb2.Goal(targeted=attacks_pb2.Targeted()),
            ),
            execution=jobs_pb2.Execution(batch_size=0, shard_size=2_000_000, device=8),
        ),
    )
    assert set(problems) == {
        "request_id",
        "display_name",
        "attack.model",
        "attack.data.dataset",
        "attack.data.offset",
        "attack.data.count",
        "attack.attack.pgd.epsilon",
        "attack.attack.pgd.steps",
        "attack.attack.pgd.step_size",
        "attack.attack.pgd.restarts",
        "attack.attack.pgd.loss",
        "attack.attack.pgd.norm",
        "attack.attack.goal.targeted",
        "attack.execution.batch_size",
        "attack.execution.shard_size",
        "attack.execution.device",
    }
    assert problems["attack.attack.pgd.epsilon"] == "must be a finite number, not nan"
    assert problems["attack.attack.pgd.step_size"] == "must be in (0, 1000], not 0"
    assert problems["attack.attack.pgd.steps"] == "must be in [1, 10000], not 0"
    assert "LOSS_CROSS_ENTROPY, LOSS_MARGIN, LOSS_DLR" in problems["attack.attack.pgd.loss"]


@pytest.mark.parametrize("name", ["models/m", "m", "jobs/j", "a.b-c_D9", "x" * 63])
def test_a_model_is_named_in_three_ways(name):
    assert attack(model=name) == {}


@pytest.mark.parametrize("name", ["", "models/", "jobs/", "models/a/b", "x" * 64, "ä", "datasets/x", "models/a\n"])
def test_other_texts_name_no_model(name):
    assert set(attack(model=name)) == {"attack.model"}


def test_an_attack_has_to_be_chosen():
    problems = attack(attack=attacks_pb2.Attack())
    assert set(problems) == {"attack.attack"}
    assert problems["attack.attack"].startswith("exactly one of fgsm, bim, iterative_least_likely, pgd, mi_fgsm, ")


@pytest.mark.parametrize("kind", ["fgsm", "bim", "pgd"])
def test_linf_radii_are_in_the_unit_box(kind):
    method = attacks_pb2.Attack.DESCRIPTOR.fields_by_name[kind].message_type._concrete_class
    path = f"attack.attack.{kind}.epsilon"
    for norm, bad in ((0, 1.5), (1, 1.5), (1, -0.1), (2, 1001), (2, -1), (1, math.inf)):
        assert set(attack(attack=attacks_pb2.Attack(**{kind: method(epsilon=bad, norm=norm)}))) == {path}, (norm, bad)
    for norm, good in ((0, 1), (1, 0), (2, 1.5), (2, 1000)):
        assert attack(attack=attacks_pb2.Attack(**{kind: method(epsilon=good, norm=norm)})) == {}
    assert "8/255" in attack(attack=attacks_pb2.Attack(**{kind: method(epsilon=8)}))[path]


def test_least_likely_takes_no_target():
    least = attacks_pb2.IterativeLeastLikely()
    goal = attacks_pb2.Goal(targeted=attacks_pb2.Targeted(label=1))
    assert set(attack(attack=attacks_pb2.Attack(iterative_least_likely=least, goal=goal))) == {
        "attack.attack.goal.targeted"
    }
    untargeted = attacks_pb2.Goal(untargeted=attacks_pb2.Untargeted())
    assert attack(attack=attacks_pb2.Attack(iterative_least_likely=least, goal=untargeted)) == {}


def test_a_goal_has_to_say_what_it_is():
    problems = attack(attack=attacks_pb2.Attack(fgsm=attacks_pb2.Fgsm(), goal=attacks_pb2.Goal()))
    assert problems == {"attack.attack.goal": "exactly one of untargeted, targeted must be set"}


def test_counts_are_bounded_by_what_one_job_may_take():
    selection = datasets_pb2.DataSelection(dataset="digits", count=1001)
    assert "[0, 1000]" in attack(data=selection)["attack.data.count"]


def test_the_lists_of_an_evaluation_are_bounded():
    problems = evaluation(models=[], attacks=[FGSM] * 33, curves=[jobs_pb2.EpsilonCurve(attack=FGSM, epsilons=[1])] * 5)
    assert set(problems) == {"evaluation.models", "evaluation.attacks", "evaluation.curves"}


def test_each_item_of_an_evaluation_has_its_own_path():
    bad = attacks_pb2.Attack(bim=attacks_pb2.Bim(steps=0))
    problems = evaluation(models=["a", "b c"], attacks=[FGSM, bad])
    assert set(problems) == {"evaluation.models[1]", "evaluation.attacks[1].bim.steps"}


def test_the_radii_of_a_curve_are_checked_like_the_attacks():
    curve = jobs_pb2.EpsilonCurve(attack=FGSM, epsilons=[0, 0.5, 1.5, -1, math.nan, 2000])
    problems = evaluation(curves=[curve])
    assert set(problems) == {f"evaluation.curves[0].epsilons[{index}]" for index in (2, 3, 4, 5)}


@pytest.mark.parametrize("count", [0, 33])
def test_a_curve_has_one_to_32_radii(count):
    curve = jobs_pb2.EpsilonCurve(attack=FGSM, epsilons=[0.1] * count)
    assert set(evaluation(curves=[curve])) == {"evaluation.curves[0].epsilons"}


def test_a_curve_scales_its_steps_from_a_radius_above_zero():
    curve = jobs_pb2.EpsilonCurve(attack=attacks_pb2.Attack(pgd=attacks_pb2.Pgd(epsilon=0)), epsilons=[0.1])
    assert set(evaluation(curves=[curve])) == {"evaluation.curves[0].attack.pgd.epsilon"}
    single = jobs_pb2.EpsilonCurve(attack=attacks_pb2.Attack(fgsm=attacks_pb2.Fgsm(epsilon=0)), epsilons=[0.1])
    assert evaluation(curves=[single]) == {}


def test_a_training_starts_somewhere():
    assert set(training(architecture="")) == {"training.architecture"}
    assert training(architecture="", initial_model="models/m") == {}


def test_a_misspelt_architecture_is_guessed():
    assert "did you mean 'wong_cnn'?" in training(architecture="wong_cn")["training.architecture"]
    assert "did you mean 'resnet50'?" in training(architecture="ResNet50")["training.architecture"]


def test_every_bad_field_of_a_training_is_found():
    problems = training(
        defense=defenses_pb2.Defense(
            pgd_adversarial=defenses_pb2.PgdAdversarialTraining(epsilon=2, steps=0, epsilon_ramp=1.5)
        ),
        optimization=jobs_pb2.Optimization(epochs=0, learning_rate=0, momentum=2, optimizer=9),
        evaluation_data=datasets_pb2.DataSelection(),
        model_id="models/x",
        initial_model="a b",
        mean=[math.inf],
        std=[0.0, 1.0],
        device=7,
    )
    assert set(problems) == {
        "training.defense.pgd_adversarial.epsilon",
        "training.defense.pgd_adversarial.steps",
        "training.defense.pgd_adversarial.epsilon_ramp",
        "training.optimization.epochs",
        "training.optimization.learning_rate",
        "training.optimization.momentum",
        "training.optimization.optimizer",
        "training.evaluation_data.dataset",
        "training.model_id",
        "training.initial_model",
        "training.mean[0]",
        "training.std[0]",
        "training.device",
    }


def test_a_defense_has_to_be_chosen():
    assert "standard, fgsm_adversarial" in training(defense=defenses_pb2.Defense())["training.defense"]


def test_a_teacher_is_of_an_architecture_that_there_is():
    def taught(name):
        return training(
            defense=defenses_pb2.Defense(distillation=defenses_pb2.DefensiveDistillation(teacher_architecture=name))
        )

    assert taught("") == taught("resnet18") == {}
    assert "'wong_cnn'" in taught("wong_cn")["training.defense.distillation.teacher_architecture"]


def test_static_networks_are_of_architectures_that_there_are():
    def beside(names):
        ensemble = defenses_pb2.EnsembleAdversarialTraining(static_architectures=names)
        return training(defense=defenses_pb2.Defense(ensemble_adversarial=ensemble))

    assert beside("") == beside("mlp, wong_cnn") == {}
    assert "'wong_cnn'" in beside("mlp,wong_cn")["training.defense.ensemble_adversarial.static_architectures"]


def test_a_step_has_no_more_pictures_with_labels_than_without():
    def problems(batch_size=None, **values):
        return training(
            defense=defenses_pb2.Defense(virtual_adversarial=defenses_pb2.VirtualAdversarialTraining(**values)),
            optimization=jobs_pb2.Optimization(batch_size=batch_size),
        )

    path = "training.defense.virtual_adversarial.labelled_batch"
    assert problems(labelled=50) == problems(batch_size=250, labelled=100, labelled_batch=250) == {}
    assert problems(batch_size=50) == {}, "where all are labelled there is one batch"
    assert "at most optimization.batch_size, 50, not 100" in problems(batch_size=50, labelled=100)[path]
    assert "at most optimization.batch_size, 100, not 101" in problems(labelled=100, labelled_batch=101)[path]


def test_long_texts_are_cut_in_the_answer():
    assert len(attack(model="y" * 5000)["attack.model"]) < 250
