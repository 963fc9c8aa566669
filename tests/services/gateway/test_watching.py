"""How a training is moved and watched: what is refused, what is filled in, what it costs."""

import pytest
from sparring.v1 import datasets_pb2, defenses_pb2, jobs_pb2

from services.gateway import catalog
from services.gateway.checks import check_request
from services.gateway.references import References
from services.gateway.resolve import resolve

FOUND = References(models={}, datasets={"datasets/mnist10k": catalog.built_in_datasets()["mnist10k"]})
PGD = defenses_pb2.Defense(pgd_adversarial=defenses_pb2.PgdAdversarialTraining(epsilon=0.1, steps=2))


def training(**fields):
    data = datasets_pb2.DataSelection(dataset="datasets/mnist10k", count=1000)
    return jobs_pb2.TrainingSpec(**{"architecture": "wong_cnn", "data": data} | fields)


def problems(**fields):
    request = jobs_pb2.CreateJobRequest(training=training(**fields))
    return {found.field: found.description for found in check_request(request, max_samples=100_000)}


def resolved(**fields):
    return resolve(jobs_pb2.CreateJobRequest(training=training(**fields)), FOUND)


def test_every_field_is_in_its_range():
    found = problems(
        optimization=jobs_pb2.Optimization(
            schedule=jobs_pb2.SCHEDULE_COSINE,
            warm_up=1.5,
            average_decay=1,
            gradient_clip=-1,
            crop_padding=65,
            precision=9,
        ),
        validation=jobs_pb2.Validation(
            held_out=0.6, probe_epsilon=2, probe_steps=0, probe_samples=0, overfitting_drop=1.1, probe_every=0, select=9
        ),
    )
    optimization = ("warm_up", "average_decay", "gradient_clip", "crop_padding", "precision")
    assert set(found) == {
        *(f"training.optimization.{name}" for name in optimization),
        *(f"training.validation.{field.name}" for field in jobs_pb2.Validation.DESCRIPTOR.fields),
    }


@pytest.mark.parametrize(
    ("schedule", "fits"),
    [
        (jobs_pb2.SCHEDULE_UNSPECIFIED, False),
        (jobs_pb2.SCHEDULE_ONE_CYCLE, False),
        (jobs_pb2.SCHEDULE_CYCLIC, False),
        (jobs_pb2.SCHEDULE_CONSTANT, True),
        (jobs_pb2.SCHEDULE_PIECEWISE, True),
        (jobs_pb2.SCHEDULE_COSINE, True),
    ],
)
def test_a_schedule_that_rises_by_itself_takes_no_warm_up(schedule, fits):
    found = problems(optimization=jobs_pb2.Optimization(schedule=schedule, warm_up=0.1))
    assert set(found) == (set() if fits else {"training.optimization.warm_up"})
    assert problems(optimization=jobs_pb2.Optimization(schedule=schedule, warm_up=0)) == {}


def test_a_selection_is_judged_on_something():
    found = problems(validation=jobs_pb2.Validation(select=jobs_pb2.SELECTION_ROBUST))
    assert "set held_out above 0" in found["training.validation.select"]
    assert problems(validation=jobs_pb2.Validation(select=jobs_pb2.SELECTION_ROBUST, held_out=0.1)) == {}
    assert problems(validation=jobs_pb2.Validation(select=jobs_pb2.SELECTION_LAST)) == {}


def test_what_is_fitted_can_not_be_watched():
    found = problems(architecture="decision_tree", validation=jobs_pb2.Validation(held_out=0.1))
    assert "no epochs" in found["training.validation"]


@pytest.mark.parametrize(
    ("defense", "epsilon", "drop"),
    [
        (None, 0.3, 0.0),
        (PGD, 0.1, 0.0),
        (defenses_pb2.Defense(fgsm_rs=defenses_pb2.FgsmRandomStart(epsilon=0.2)), 0.2, 0.2),
        (defenses_pb2.Defense(distillation=defenses_pb2.DefensiveDistillation()), 0.3, 0.0),
        (defenses_pb2.Defense(virtual_adversarial=defenses_pb2.VirtualAdversarialTraining(radius=2)), 0.3, 0.0),
    ],
    ids=["none", "pgd_adversarial", "fgsm_rs", "distillation", "virtual_adversarial"],
)
def test_what_is_left_open_follows_from_the_defense(defense, epsilon, drop):
    job = resolved(defense=defense)
    validation = job.training.validation
    assert (validation.probe_epsilon, validation.overfitting_drop) == (epsilon, drop)
    assert (validation.held_out, validation.select) == (0, jobs_pb2.SELECTION_LAST)
    again = resolve(jobs_pb2.CreateJobRequest(training=job.training), FOUND)
    assert again == job
    own = resolved(defense=defense, validation=jobs_pb2.Validation(probe_epsilon=0, overfitting_drop=0))
    assert (own.training.validation.probe_epsilon, own.training.validation.overfitting_drop) == (0, 0)


def test_the_plain_optimization_does_nothing_beside():
    optimization = resolved().training.optimization
    assert (optimization.warm_up, optimization.average_decay, optimization.gradient_clip) == (0, 0, 0)
    assert (optimization.crop_padding, optimization.flip) == (0, False)
    assert optimization.precision == jobs_pb2.PRECISION_FLOAT32
    assert optimization.crafting_mode == jobs_pb2.CRAFTING_MODE_EVAL


def test_watching_costs_its_looks_and_holding_out_saves_steps():
    """Three looks in five epochs at 200 held-out samples of 1,000 and at 300 others, for 10 steps each."""
    optimization = jobs_pb2.Optimization(epochs=5)
    plain = resolved(optimization=optimization).resolution.giga_ops
    held_out = jobs_pb2.Validation(held_out=0.2, probe_every=2, probe_samples=300)
    watched = resolved(optimization=optimization, validation=held_out).resolution.giga_ops
    one = catalog.architectures()["wong_cnn"].giga_ops
    assert watched - plain == pytest.approx(one * (3 * (200 + 300) * 32 - 200 * 5 * 3))
    drop = jobs_pb2.Validation(overfitting_drop=0.2, probe_samples=10**6)
    rolled = resolved(optimization=optimization, validation=drop).resolution.giga_ops
    assert rolled - plain == pytest.approx(one * 5 * 1000 * 32)
