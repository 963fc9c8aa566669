"""A suite becomes attacks, curves and probes in the job itself, once, and says what clashes with it."""

import pytest
from sparring.v1 import attacks_pb2, components_pb2, datasets_pb2, jobs_pb2, models_pb2, suites_pb2

from services.errors import InvalidArgument
from services.gateway import catalog, suites
from services.gateway.checks import check_request
from services.gateway.references import References
from services.gateway.resolve import resolve

QUICK, STANDARD, THOROUGH = (
    suites_pb2.Suite.Level.Value(f"LEVEL_{name}") for name in ("QUICK", "STANDARD", "THOROUGH")
)
LINF, L2, L1 = attacks_pb2.NORM_LINF, attacks_pb2.NORM_L2, attacks_pb2.NORM_L1


def model(name="m", component=None):
    signature = models_pb2.ModelSignature(
        architecture="wong_cnn", input_shape=[1, 28, 28], classes=10, component=component
    )
    return models_pb2.Model(name=f"models/{name}", weights="artifacts/" + "a" * 64, signature=signature)


def resolved(level=QUICK, *, epsilon=0.1, norm=LINF, component=None, count=1000, spec=None, models=("m",), **fields):
    found = References(
        models={name: model(name, component) for name in models}, datasets=dict(catalog.built_in_datasets())
    )
    if spec is None:
        spec = jobs_pb2.EvaluationSpec(
            models=models,
            data=datasets_pb2.DataSelection(dataset="mnist10k", count=count),
            suite=suites_pb2.Suite(level=level, norm=norm, epsilon=epsilon),
            **fields,
        )
    return resolve(jobs_pb2.CreateJobRequest(evaluation=spec), found)


def problems(**fields):
    base = {"models": ["m"], "data": datasets_pb2.DataSelection(dataset="mnist10k")}
    request = jobs_pb2.CreateJobRequest(evaluation=jobs_pb2.EvaluationSpec(**base, **fields))
    return {violation.field: violation.description for violation in check_request(request, max_samples=10_000)}


def kinds(job):
    return [attack.WhichOneof("kind") for attack in job.evaluation.attacks]


def test_quick_is_five_attacks_a_short_curve_and_probes_with_every_default_filled_in():
    job = resolved()
    assert kinds(job) == ["fgsm", "pgd", "pgd", "apgd", "square"]
    assert all(getattr(a, a.WhichOneof("kind")).epsilon == 0.1 for a in job.evaluation.attacks)
    one, two = job.evaluation.attacks[1].pgd, job.evaluation.attacks[2].pgd
    assert (two.steps, two.restarts) == (2 * one.steps, 2 * one.restarts)
    (curve,) = job.evaluation.curves
    assert list(curve.epsilons) == [0, 0.05, 0.1, 0.2, 0.5]
    assert curve.attack.pgd.loss == attacks_pb2.LOSS_MARGIN
    assert (job.evaluation.suite.attacks, job.evaluation.suite.curves) == (5, 1)
    probes = job.evaluation.probes
    assert (probes.norm, probes.epsilon, probes.noise_draws) == (LINF, 0.1, 100)
    assert job.resolution.shards == 4
    assert probes.samples == 32


def test_standard_has_autoattack_a_target_the_shortest_perturbations_and_ten_thousand_draws():
    job = resolved(STANDARD)
    assert kinds(job) == ["fgsm", "pgd", "pgd", "pgd", "auto_attack", "fmn"]
    assert job.evaluation.attacks[3].goal.targeted.HasField("least_likely")
    whole = job.evaluation.attacks[4].auto_attack
    assert (whole.steps, whole.targets, whole.queries) == (100, 9, 5000)
    assert job.evaluation.attacks[5].fmn.epsilon == 1
    assert job.evaluation.probes.noise_draws == 10_000
    assert len(job.evaluation.curves[0].epsilons) == 9


def test_thorough_is_the_standard_and_more():
    standard, thorough = resolved(STANDARD), resolved(THOROUGH)
    assert all(attack in thorough.evaluation.attacks for attack in standard.evaluation.attacks)
    assert {"carlini_wagner", "hop_skip_jump", "deepfool", "ddn"} <= set(kinds(thorough))
    norms = {attack.fmn.norm for attack in thorough.evaluation.attacks if attack.HasField("fmn")}
    assert norms == {LINF, L1, attacks_pb2.NORM_L0}


@pytest.mark.parametrize("level", [QUICK, STANDARD, THOROUGH])
@pytest.mark.parametrize(("norm", "epsilon"), [(LINF, 0.5), (L2, 2.0), (L1, 900.0)])
def test_every_level_is_a_valid_request_in_every_norm_and_resolves_to_itself(level, norm, epsilon):
    job = resolved(level, norm=norm, epsilon=epsilon)
    request = jobs_pb2.CreateJobRequest(evaluation=job.evaluation)
    assert list(check_request(request, max_samples=10_000)) == []
    assert resolved(spec=job.evaluation).evaluation == job.evaluation
    assert max(job.evaluation.curves[0].epsilons) == pytest.approx({LINF: 0.5, L2: 14.0, L1: 392.0}[norm])


def test_what_is_given_beside_a_suite_is_added_and_what_the_suite_has_counts_once():
    own = attacks_pb2.Attack(fgsm=attacks_pb2.Fgsm(epsilon=0.1))
    other = attacks_pb2.Attack(mi_fgsm=attacks_pb2.MiFgsm(epsilon=0.1))
    job = resolved(attacks=[other, own])
    assert kinds(job) == ["fgsm", "pgd", "pgd", "apgd", "square", "mi_fgsm"]
    assert job.evaluation.suite.attacks == 5


def test_a_part_that_is_run_again_keeps_the_probes_of_the_whole():
    whole = resolved(count=1000)
    part = jobs_pb2.EvaluationSpec()
    part.CopyFrom(whole.evaluation)
    part.data.offset, part.data.count = 256, 256
    again = resolved(spec=part)
    assert again.resolution.shards == 1
    assert again.evaluation.probes == whole.evaluation.probes


@pytest.mark.parametrize("level", [QUICK, STANDARD, THOROUGH])
def test_a_model_that_answers_at_random_meets_the_mean_of_many_answers(level):
    noisy = components_pb2.Component(noise=components_pb2.NoiseComponent(sigma=0.1, votes=2))
    (averaged,) = [a.eot_pgd for a in resolved(level, component=noisy).evaluation.attacks if a.HasField("eot_pgd")]
    assert averaged.samples > 1
    assert (averaged.noise, averaged.blur, averaged.jpeg_quality) == (0, 0, 100)
    still = components_pb2.Component(noise=components_pb2.NoiseComponent(sigma=0.0, votes=2))
    assert "eot_pgd" not in kinds(resolved(level, component=still))


def refused(**fields):
    with pytest.raises(InvalidArgument) as error:
        resolved(**fields)
    return {violation.field: violation.description for violation in error.value.violations}


def test_an_attack_beyond_the_suite_s_ball_is_refused_with_what_to_do():
    further = [attacks_pb2.Attack(pgd=attacks_pb2.Pgd(epsilon=0.3)), attacks_pb2.Attack(fmn=attacks_pb2.Fmn())]
    (problem,) = refused(attacks=further).items()
    assert problem[0] == "evaluation.attacks[0].pgd.epsilon"
    assert "add a curve instead" in problem[1]
    assert resolved(attacks=[attacks_pb2.Attack(pgd=attacks_pb2.Pgd(epsilon=0.3, norm=L2))]) is not None


def test_more_attacks_or_curves_than_a_job_holds_are_refused():
    many = [attacks_pb2.Attack(bim=attacks_pb2.Bim(epsilon=0.1, steps=steps)) for steps in range(1, 29)]
    curves = [jobs_pb2.EpsilonCurve(attack=many[0], epsilons=[0.1 * k]) for k in range(1, 5)]
    found = refused(attacks=many, curves=curves)
    assert set(found) == {"evaluation.attacks", "evaluation.curves"}
    assert "at most 32 in all: leave some out" in found["evaluation.attacks"]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"suite": suites_pb2.Suite(epsilon=0.1)}, "evaluation.suite.level"),
        ({"suite": suites_pb2.Suite(level=QUICK)}, "evaluation.suite.epsilon"),
        ({"suite": suites_pb2.Suite(level=QUICK, epsilon=0.0)}, "evaluation.suite.epsilon"),
        ({"suite": suites_pb2.Suite(level=QUICK, epsilon=0.6)}, "evaluation.suite.epsilon"),
        ({"suite": suites_pb2.Suite(level=QUICK, epsilon=2, norm=attacks_pb2.NORM_L0)}, "evaluation.suite.norm"),
        ({"probes": suites_pb2.Probes(samples=3)}, "evaluation.probes"),
        ({"adaptive": suites_pb2.Adaptive(adapted="x" * 4001)}, "evaluation.adaptive.adapted"),
    ],
)
def test_what_a_suite_may_not_be(fields, path):
    assert set(problems(**fields)) == {path}


def test_probes_are_charged_by_what_they_ask():
    few, many = resolved(count=100), resolved(count=100)
    many.evaluation.probes.noise_draws += 1000
    ones = 100 * 1000 * 0.0006
    assert suites.giga_ops(many) - suites.giga_ops(few) == pytest.approx(ones)
    assert suites.giga_ops(resolved(count=100, models=("m", "n"))) > 2 * suites.giga_ops(few)
    assert suites.giga_ops(jobs_pb2.Job()) == 0
