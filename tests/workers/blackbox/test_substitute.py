"""The substitute attack: its queries to the last one, its steps by the paper's formulas, and that it works."""

import pytest
import torch

from workers.blackbox import (
    Craft,
    Endpoint,
    EndpointOptions,
    Server,
    SubstituteOptions,
    imitate,
    noise,
    serve,
    transfer,
)
from workers.blackbox.substitute import _chosen, augment
from workers.data import builtin
from workers.defenses.standard import StandardTraining
from workers.engine.attack import AttackPlan
from workers.engine.train import Optimization, train
from workers.failures import Rejected
from workers.models import Signature, build

SIGNATURE = Signature("softmax_regression", (1, 8, 8), 10)
QUICK = Optimization(epochs=3, batch_size=64, learning_rate=0.01, schedule="constant")
FGSM = AttackPlan(name="fgsm", epsilon=0.3)


def options(**given):
    return SubstituteOptions(**{"architecture": "softmax_regression", "optimization": QUICK} | given)


@pytest.fixture(scope="module")
def black_box():
    """A softmax regression that knows the 8 x 8 digits."""
    data = builtin("digits", "train")
    recipe = Optimization(epochs=12, batch_size=100, learning_rate=0.02)
    return train(build(SIGNATURE, seed=1), data, StandardTraining(), recipe, seed=1).model


@pytest.fixture(scope="module")
def digits():
    data = builtin("digits", "test")
    return data.pixels(slice(None)), data.y


class Counting:
    """An oracle that writes down what it was asked."""

    def __init__(self, model):
        self.model, self.asked = model, []

    def __call__(self, x):
        self.asked.append(x)
        return self.model(x)

    @property
    def queries(self):
        return sum(map(len, self.asked))


@pytest.mark.parametrize(
    ("given", "seeds", "queries"),
    [
        ({"augmentations": 5}, 150, 4800),
        ({"augmentations": 6}, 100, 6400),
        ({"augmentations": 0}, 7, 7),
        ({"augmentations": 6, "full": 3, "kappa": 400}, 100, 100 * 8 + 3 * 400),
    ],
)
def test_what_it_will_cost_is_known_before(given, seeds, queries):
    assert options(**given).queries(seeds) == queries


@pytest.mark.parametrize("given", [{"augmentations": 3}, {"augmentations": 4, "full": 2, "kappa": 9}])
def test_every_point_is_asked_about_once_and_only_its_label_is_used(black_box, digits, given):
    seeds = digits[0][:10]
    oracle, other = Counting(black_box), Counting(lambda x: 100 * black_box(x) - 5)
    first = imitate(oracle, seeds, options(**given), classes=10, seed=3)
    second = imitate(other, seeds, options(**given), classes=10, seed=3)
    assert oracle.queries == options(**given).queries(10) == first.history[-1].queries == len(first.x)
    assert torch.equal(torch.cat(oracle.asked), first.x)
    assert torch.equal(black_box(first.x).argmax(dim=1), first.label)
    for ours, theirs in zip(first.substitute.parameters(), second.substitute.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_an_endpoint_with_the_budget_of_the_attack_is_enough_and_one_query_less_is_not(black_box, digits):
    def classify(x):
        with torch.no_grad():
            return black_box(torch.from_numpy(x.copy())).argmax(dim=1).numpy()

    with serve(Server(classify=classify, model="m", shape=(1, 8, 8))) as address:
        given = {"address": address, "model": "m", "input_shape": (1, 8, 8), "classes": 10, "output": "labels"}
        with Endpoint(EndpointOptions(**given, budget=80)) as enough:
            found = imitate(enough, digits[0][:10], options(augmentations=3), classes=10, seed=3)
            assert enough.ledger.queries == len(found.x) == 80
        short = Endpoint(EndpointOptions(**given, budget=79))
        with short, pytest.raises(Rejected, match="do not fit into the budget of 79"):
            imitate(short, digits[0][:10], options(augmentations=3), classes=10, seed=3)


def test_new_points_lie_one_step_along_the_sign_of_the_slope_of_the_probability(black_box, digits):
    x = digits[0][:4] * 0.6 + 0.2
    label = torch.tensor([0, 3, 5, 9])
    point = x.double().requires_grad_()
    probability = black_box.double()(point).softmax(dim=1).gather(1, label[:, None])
    (slope,) = torch.autograd.grad(probability.sum(), point)
    black_box.float()
    expected = x + 0.1 * slope.sign().float()
    torch.testing.assert_close(augment(black_box, x, label, 0.1), expected)
    assert augment(black_box, x, label, 1.0).aminmax() == (0, 1)


def test_the_step_changes_its_sign_every_tau_augmentations():
    assert [options(step=0.2, alternate_every=2).lambda_(number) for number in range(5)] == [0.2, 0.2, -0.2, -0.2, 0.2]
    assert [options(alternate_every=None).lambda_(number) for number in range(4)] == [0.1] * 4


def test_the_reservoir_draws_every_point_with_the_same_chance():
    drawn = torch.cat([_chosen(20, options(full=0, kappa=5), 0, seed) for seed in range(2000)])
    counts = torch.bincount(drawn, minlength=20)
    assert counts.sum() == 10_000
    # Each is Binomial(2000, 1/4): a standard deviation of 19.4.
    assert (counts - 500).abs().max() < 5 * 19.4
    assert len(_chosen(20, options(full=0, kappa=5), 0, 1).unique()) == 5


def test_the_same_seed_gives_the_same_substitute_and_leaves_the_global_stream_alone(black_box, digits):
    before = torch.get_rng_state()
    made = [imitate(black_box, digits[0][:10], options(augmentations=2), classes=10, seed=s) for s in (5, 5, 6)]
    assert torch.equal(torch.get_rng_state(), before)
    weights = [torch.cat([p.flatten() for p in one.substitute.parameters()]) for one in made]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_examples_of_the_substitute_fool_the_black_box_where_noise_does_not(black_box, digits):
    x, y = digits
    clean = black_box(x).argmax(dim=1)
    rounds = []
    found = imitate(
        black_box,
        x[:50],
        options(augmentations=4),
        classes=10,
        seed=1,
        held_out=(x[50:], clean[50:]),
        watch=rounds.append,
    )
    assert rounds == list(found.history)
    assert [one.queries for one in rounds] == [50, 100, 200, 400, 800]
    assert rounds[-1].agreement > rounds[0].agreement
    assert rounds[-1].agreement > 0.7
    judge = Counting(black_box)
    (attack,) = transfer(
        found.substitute, judge, x[50:], y[50:], [Craft(name="fgsm", plan=FGSM)], clean=clean[50:], seed=1
    )
    baseline = noise(judge, x[50:], y[50:], [0.3], clean=clean[50:], seed=1)
    assert judge.queries == 3 * len(y[50:])
    assert [one.name for one in baseline] == ["uniform noise", "sign noise"]
    assert attack.misclassified > 0.3 + max(one.misclassified for one in baseline)
    for one in (attack, *baseline):
        assert (one.x_adv - x[50:]).abs().max() <= 0.3 + 1e-6
        assert one.x_adv.aminmax().min >= 0
        assert one.x_adv.aminmax().max <= 1
        answer = black_box(one.x_adv).argmax(dim=1)
        assert one.misclassified == pytest.approx(float((answer != y[50:]).float().mean()))
        assert one.moved == pytest.approx(float((answer != clean[50:]).float().mean()))


def test_transferability_is_of_those_that_fool_the_substitute(black_box, digits):
    x, y = digits
    constant = build(SIGNATURE, seed=0)
    with torch.no_grad():
        for parameter in constant.parameters():
            parameter.zero_()
    clean = black_box(x).argmax(dim=1)
    (found,) = transfer(constant, black_box, x, y, [Craft(name="fgsm", plan=FGSM)], clean=clean, seed=1)
    assert (found.fooled, found.transferability, found.moved) == (0, 0, 0)
    (found,) = transfer(black_box, black_box, x, y, [Craft(name="fgsm", plan=FGSM)], clean=clean, seed=1)
    assert found.fooled == found.moved > 0.5
    assert found.transferability == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    "wrong", [{"augmentations": -1}, {"step": 0.0}, {"step": 1.5}, {"alternate_every": 0}, {"full": -1}, {"kappa": 0}]
)
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(Rejected) as caught:
        options(**wrong)
    assert caught.value.reason == "BAD_SUBSTITUTE_OPTIONS"
