"""What the four attacks that only ask have in common: budgets, oracles, models that hide their scores, determinism."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workers.attacks import ATTACKS, AttackEntry
from workers.engine.attack import AttackPlan, GoalSpec, run_attack
from workers.engine.pursuit import Overreach
from workers.probing import TRIES

PARAMETERS = {
    "nes": {"queries": 500, "samples": 10, "sigma": 0.001, "step_size": 0.005, "momentum": 0.9},
    "simba": {"queries": 600, "step": 0.01, "basis": "pixel"},
    "boundary": {"queries": 1500, "spherical_step": 0.01, "source_step": 0.01, "step_adaptation": 1.5},
    "hop_skip_jump": {"queries": 1000, "initial_evaluations": 50, "max_evaluations": 10000, "gamma": 1.0},
}
CASES = [(name, norm) for name in PARAMETERS for norm in sorted(ATTACKS[name].norms)]
SHORTEST = [case for case in CASES if ATTACKS[case[0]].minimum]
DECISIONS = [case for case in CASES if ATTACKS[case[0]].reads == "labels"]
NO_LIMIT = {"linf": 1.0, "l2": 1000.0}
# SimBA keeps every step that lowers p(y), also one that lifts a class which is far behind: on the oracle's four
# classes, where two would do, sqrt(2) times the shortest way, and some steps more (measured: 1.41 to 1.68).
BOUNDS = {"simba": 1.75}


def plan(name, norm, *, epsilon=None, goal="untargeted", **changes):
    epsilon = NO_LIMIT[norm] if epsilon is None else epsilon
    return AttackPlan(
        name=name, norm=norm, epsilon=epsilon, parameters={**PARAMETERS[name], **changes}, goal=GoalSpec(kind=goal)
    )


def attack(oracle, *args, batch_size=8, **options):
    return run_attack(
        oracle.model, oracle.x, oracle.y, plan(*args, **options), sample_ids=oracle.ids, seed=1, batch_size=batch_size
    )


class Exact(nn.Module):
    """Logits that do not depend on the batch to the last bit: a sum per row, in float64."""

    def __init__(self, shape, classes=4, *, seed=3):
        super().__init__()
        self.w = torch.randn(classes, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    def forward(self, x):
        return ((x.double() - 0.5).unsqueeze(1) * self.w).flatten(2).sum(dim=2)


class Seen(nn.Module):
    """Passes its input on, and remembers how many points it has seen."""

    def __init__(self, model):
        super().__init__()
        self.model, self.points = model, 0

    def forward(self, x):
        self.points += len(x)
        return self.model(x)


def samples(model, shape, count=6):
    x = torch.rand(count, *shape, generator=torch.Generator().manual_seed(7))
    return x, model(x).argmax(dim=1), torch.arange(count)


@pytest.mark.parametrize("goal", ["untargeted", "random"])
@pytest.mark.parametrize(("name", "norm"), SHORTEST)
def test_finds_nearly_the_shortest_way_across_a_linear_boundary(make_oracle, name, norm, goal):
    """Within 1.25 of the closed form; SimBA, which does not look for the shortest, within a bound of its own."""
    oracle = make_oracle(8)
    result = attack(oracle, name, norm, goal=goal)
    truth = oracle.distance(norm, None if goal == "untargeted" else result.target)
    assert result.success.all()
    assert result.violations == 0
    assert (result.distance >= truth - 1e-5).all()
    assert (result.distance <= BOUNDS.get(name, 1.25) * truth).all()


@pytest.mark.parametrize("goal", ["untargeted", "random"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_nes_succeeds_just_beyond_the_true_distance_and_fails_just_below_it(make_oracle, norm, goal):
    """At 1.25 times the shortest perturbation it breaks, at 0.75 times nothing can."""
    for count, rank in ((1, 1), (3, 2), (2, 3)):
        oracle = make_oracle(count, rank)
        target = None if goal == "untargeted" else attack(oracle, "nes", norm, goal=goal, queries=1).target
        for row in range(min(count, 2)):
            truth = oracle.distance(norm, target)[row].item()
            for factor, breaks in ((1.25, True), (0.75, False)):
                epsilon = factor * truth
                result = attack(oracle, "nes", norm, epsilon=epsilon, goal=goal, step_size=epsilon / 10)
                assert result.success[row] == breaks
                assert result.violations == 0


@pytest.mark.parametrize("factor", [1.25, 0.75])
@pytest.mark.parametrize(("name", "norm"), DECISIONS)
def test_epsilon_is_a_limit_for_those_that_look_for_the_shortest_way(make_oracle, name, norm, factor):
    """What is further away than it counts for nothing, and comes back drawn to the ball."""
    oracle = make_oracle(1)
    epsilon = factor * oracle.distance(norm).item()
    result = attack(oracle, name, norm, epsilon=epsilon)
    assert result.success.item() == (factor > 1)
    assert result.violations == 0
    assert result.distance.item() <= epsilon + 1e-6


@pytest.mark.parametrize("queries", [1, 2, 7, 50, 120, 300])
@pytest.mark.parametrize(("name", "norm"), CASES)
def test_queries_bound_the_forwards_of_every_sample(make_oracle, name, norm, queries):
    """Beside them there is the clean pass, and two looks at the result; the model itself has seen no more points."""
    oracle = make_oracle(5)
    seen = Seen(oracle.model)
    epsilon = 1e-3 if name == "nes" else None  # so that nothing breaks, and all queries are spent
    one = plan(name, norm, epsilon=epsilon, queries=queries, **({"step": 1e-6} if name == "simba" else {}))
    result = run_attack(seen, oracle.x, oracle.y, one, sample_ids=oracle.ids, seed=1, batch_size=8)
    assert (result.forwards <= queries + 3).all()
    assert seen.points == result.forwards.sum()
    assert (result.backwards == 0).all()
    if queries >= 50:
        assert (result.forwards >= queries - 40).all()


@pytest.mark.parametrize(("name", "norm"), DECISIONS)
def test_a_model_that_shows_its_label_alone_is_no_harder(make_oracle, name, norm):
    """The same bytes with scores and without: nothing but labels is looked at."""
    oracle = make_oracle(3)

    class LabelOnly(nn.Module):
        def forward(self, x):
            return torch.nn.functional.one_hot(oracle.model(x).argmax(dim=1), 4).float()

    one = plan(name, norm, queries=300)
    shown, hidden = (
        run_attack(model, oracle.x, oracle.y, one, sample_ids=oracle.ids, seed=1, batch_size=8)
        for model in (oracle.model, LabelOnly())
    )
    assert shown.success.all()
    assert torch.equal(shown.x_adv, hidden.x_adv)
    assert torch.equal(shown.forwards, hidden.forwards)


@pytest.mark.parametrize("name", ["nes", "simba"])
def test_those_that_read_scores_get_nowhere_where_there_are_none_and_say_so(make_oracle, name):
    """Scores of a label alone are the same all around a sample; no result is a success, none is NaN."""
    oracle = make_oracle(3)

    class LabelOnly(nn.Module):
        def forward(self, x):
            return torch.nn.functional.one_hot(oracle.model(x).argmax(dim=1), 4).float()

    one = plan(name, "l2", queries=200, **({"step": 1e-4} if name == "simba" else {}), epsilon=1e-2)
    result = run_attack(LabelOnly(), oracle.x, oracle.y, one, sample_ids=oracle.ids, seed=1, batch_size=8)
    assert not result.success.any()
    assert result.violations == 0
    assert result.x_adv.isfinite().all()


@pytest.mark.parametrize(("name", "norm"), DECISIONS)
def test_a_step_function_is_no_harder(make_oracle, name, norm):
    """Rounded logits have no slope anywhere; the boundary is a staircase, on which the way is a little longer."""
    oracle = make_oracle(3)

    class Steps(nn.Module):
        def forward(self, x):
            return (32 * oracle.model(x)).round()

    result = run_attack(Steps(), oracle.x, oracle.y, plan(name, norm), sample_ids=oracle.ids, seed=1, batch_size=8)
    assert result.success.all()
    assert (result.distance <= 1.35 * oracle.distance(norm)).all()


@pytest.mark.parametrize("shape", [(24,), (3, 8), (2, 3, 5)], ids=str)
@pytest.mark.parametrize(("name", "norm"), CASES)
def test_any_shape_two_classes_and_a_single_sample(name, norm, shape):
    """One axis, no square, more channels; K = 2; N = 1 and N = 6."""
    model = Exact(shape, classes=2)
    x, y, ids = samples(model, shape)
    one = plan(
        name,
        norm,
        queries=400,
        epsilon=0.5 if name == "nes" else None,
        **({"step_size": 0.05} if name == "nes" else {}),
    )
    for count in (1, 6):
        result = run_attack(model, x[:count], y[:count], one, sample_ids=ids[:count], seed=1, batch_size=8)
        assert result.success.all()
        assert result.violations == 0
        assert result.x_adv.shape == x[:count].shape


@pytest.mark.parametrize("goal", ["untargeted", "random"])
@pytest.mark.parametrize(("name", "norm"), CASES)
def test_batch_size_and_order_do_not_matter(name, norm, goal):
    """Alone, in pairs, backwards: the same point, where the model's own logits do not depend on the batch."""
    shape = (1, 5, 6)
    model = Exact(shape)
    x, y, ids = samples(model, shape)
    one = plan(name, norm, goal=goal, queries=250, epsilon=0.3 if name == "nes" else None)
    whole = run_attack(model, x, y, one, sample_ids=ids, seed=1, batch_size=8)
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    for result, rows in (
        (run_attack(model, x, y, one, sample_ids=ids, seed=1, batch_size=2), slice(None)),
        (run_attack(model, x[order], y[order], one, sample_ids=ids[order], seed=1, batch_size=8), order),
        (run_attack(model, x[2:3], y[2:3], one, sample_ids=ids[2:3], seed=1, batch_size=8), slice(2, 3)),
    ):
        assert torch.equal(result.success, whole.success[rows])
        # A sample that leaves a batch early is looked at once more.
        assert ((result.forwards - whole.forwards[rows]).abs() <= 1).all()
        assert torch.allclose(result.x_adv, whole.x_adv[rows], atol=1e-5)


@pytest.mark.parametrize(("name", "norm"), DECISIONS)
def test_a_target_that_no_noise_is_taken_for_is_given_up_cheaply(name, norm):
    """Only the picture itself, all dark but for one corner, is of class 2."""

    class Shy(nn.Module):
        def forward(self, x):
            z = x.flatten(1)
            return torch.stack([z.mean(dim=1), 0.6 - z.mean(dim=1), -z[:, 1:].sum(dim=1) + z[:, 0]], dim=1)

    x = torch.full((2, 1, 6, 6), 0.5)
    one = AttackPlan(
        name=name, norm=norm, epsilon=NO_LIMIT[norm], parameters=PARAMETERS[name], goal=GoalSpec(kind="label", label=2)
    )
    result = run_attack(
        Shy(), x, torch.zeros(2, dtype=torch.int64), one, sample_ids=torch.arange(2), seed=1, batch_size=8
    )
    assert result.attacked.all()
    assert not result.success.any()
    assert result.violations == 0
    assert (result.forwards <= TRIES + 3).all()
    assert (result.x_adv.flatten(1).amax(dim=1) > 0).all()  # no sentinel


@pytest.mark.parametrize(("reads", "question"), [("labels", "logits"), ("labels", "gradient"), ("scores", "gradient")])
def test_an_attack_that_asks_for_more_than_it_says_is_stopped(make_oracle, monkeypatch, reads, question):
    """The table says what an attack learns of the model, and the engine holds it to that."""

    def greedy(model, x, goal, ball):
        getattr(goal, question)(model, x)
        return x

    monkeypatch.setitem(ATTACKS, "greedy", AttackEntry(greedy, reads=reads))
    oracle = make_oracle(2)
    with pytest.raises(Overreach, match=reads):
        run_attack(
            oracle.model,
            oracle.x,
            oracle.y,
            AttackPlan(name="greedy", epsilon=0.1),
            sample_ids=oracle.ids,
            seed=1,
            batch_size=8,
        )


def test_the_table_says_what_they_learn():
    """Gradients: none of them; scores: two; labels alone: two."""
    assert {name: ATTACKS[name].reads for name in PARAMETERS} == {
        "nes": "scores",
        "simba": "scores",
        "boundary": "labels",
        "hop_skip_jump": "labels",
    }
