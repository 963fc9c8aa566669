"""What each poison does to the samples, and to whoever learns from them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from workers.data import builtin
from workers.engine.monitor import NullMonitor
from workers.failures import Rejected
from workers.poisoning import POISONS, Backdoor, FeatureCollision, LabelFlip, NetworkLearner
from workers.poisoning.learner import features, last_layer, scores_of

QUIET = NullMonitor()
EVERY = {
    "label_flip": LabelFlip(),
    "svm_gradient": POISONS["svm_gradient"](svm_samples=20, svm_validation=20, ascent_steps=2),
    "feature_collision": FeatureCollision(targets=1, collision_steps=5),
    "backdoor": Backdoor(),
}


def crafted(poison, count, train, held_out, learner, *, seed=4):
    scenario = poison.scenario(train, held_out, seed=seed)
    victim = poison.victim(learner, scenario, seed=seed, monitor=QUIET)
    return scenario, victim, poison.craft(scenario, count, victim, seed=seed, monitor=QUIET)


@pytest.mark.parametrize("name", POISONS)
def test_everything_else_stays_as_it_was(name, train, held_out, softmax, svm) -> None:
    learner = svm if name == "svm_gradient" else softmax
    scenario, _, made = crafted(EVERY[name], 6, train, held_out, learner)
    clean = torch.ones(len(made.data), dtype=torch.bool)
    clean[made.index] = False
    kept = clean[: len(scenario.train)]
    assert len(made.index) == len(made.before) == 6
    assert torch.equal(made.data.x[: len(kept)][kept], scenario.train.x[kept])
    assert torch.equal(made.data.y[: len(kept)][kept], scenario.train.y[kept])
    assert torch.equal(train.x, builtin("digits", "train").x[:600])
    assert torch.equal(train.y, builtin("digits", "train").y[:600])


@pytest.mark.parametrize("name", POISONS)
def test_equal_seeds_make_equal_poison_and_larger_ones_begin_with_smaller(name, train, held_out, softmax, svm) -> None:
    learner = svm if name == "svm_gradient" else softmax
    _, _, few = crafted(EVERY[name], 3, train, held_out, learner)
    _, _, more = crafted(EVERY[name], 5, train, held_out, learner)
    _, _, again = crafted(EVERY[name], 5, train, held_out, learner)
    assert torch.equal(more.data.x, again.data.x)
    assert torch.equal(more.data.y, again.data.y)
    assert more.index[:3].tolist() == few.index.tolist()
    assert torch.allclose(more.data.x[more.index[:3]], few.data.x[few.index], atol=1e-6)


@pytest.mark.parametrize("choice", ["random", "loss"])
def test_every_flipped_label_is_wrong(choice, train, held_out, softmax) -> None:
    _, _, made = crafted(LabelFlip(choice=choice), 100, train, held_out, softmax)
    assert bool((made.data.y[made.index] != train.y[made.index]).all())
    assert made.index.unique().numel() == 100
    assert torch.equal(made.data.x, train.x)


def test_random_flips_go_to_every_class(train, held_out, softmax) -> None:
    _, _, made = crafted(LabelFlip(), 300, train, held_out, softmax)
    assert made.data.y[made.index].unique().tolist() == list(range(10))


def test_flips_by_loss_raise_the_clean_model_s_loss_most(train, held_out, softmax) -> None:
    """Against every other flip of one label, which are few enough to be looked at."""
    few = replace(train, x=train.x[:200], y=train.y[:200])
    _, victim, made = crafted(LabelFlip(choice="loss"), 5, few, held_out, softmax)
    table = victim.loss_table(scores_of(victim.fit(few, seed=4, monitor=QUIET), few))
    rises = table - table.gather(1, few.y[:, None])
    chosen = rises[made.index, made.data.y[made.index]]
    others = torch.ones(200, dtype=torch.bool)
    others[made.index] = False
    assert float(chosen.min()) >= float(rises[others].max())


def test_the_trigger_is_in_the_corner_of_bytes_and_floats(train, held_out, softmax) -> None:
    backdoor = Backdoor(trigger_label=3, trigger_size=2, trigger_value=0.5)
    _, _, made = crafted(backdoor, 20, train, held_out, softmax)
    stamped = made.data.x[made.index]
    assert bool((stamped[:, :, -2:, -2:] == 0.5).all())
    assert torch.equal(stamped[:, :, :-2], made.before[:, :, :-2])
    assert made.data.y[made.index].tolist() == [3] * 20
    assert 3 not in train.y[made.index]
    grey = backdoor.stamp(torch.zeros(1, 1, 4, 4, dtype=torch.uint8))
    assert grey.dtype == torch.uint8
    assert grey[0, 0].tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 128, 128], [0, 0, 128, 128]]


def test_a_backdoor_fires_and_costs_no_accuracy(train, held_out, network) -> None:
    backdoor = Backdoor(trigger_label=7, trigger_size=2)
    scenario, victim, made = crafted(backdoor, 60, train, held_out, network)
    model = victim.fit(made.data, seed=4, monitor=QUIET)
    clean = victim.fit(train, seed=4, monitor=QUIET)
    fired, chances = backdoor.fired(model, scenario, made)
    assert chances == int((held_out.y != 7).sum())
    assert fired / chances > 0.9
    assert backdoor.fired(clean, scenario, made)[0] / chances < 0.3
    right, before = (float((scores_of(one, held_out).argmax(1) == held_out.y).float().mean()) for one in (model, clean))
    assert right > before - 0.05


def test_colliding_samples_have_the_target_s_features_and_their_own_looks(train, held_out, network) -> None:
    poison = FeatureCollision(base_label=1, targets=1, collision_steps=60)
    _, victim, made = crafted(poison, 10, train, held_out, network)
    assert bool((made.data.y[made.index] == 1).all())
    (wanted,) = features(victim.network, replace(held_out, x=made.target, y=held_out.y[:1]))
    poisoned = replace(train, x=made.data.x[made.index], y=made.data.y[made.index])
    before = replace(poisoned, x=made.before)
    near, far = ((features(victim.network, one) - wanted).norm(dim=1) for one in (poisoned, before))
    assert float((near / far).max()) < 0.5
    moved = (poisoned.x - made.before).flatten(1).norm(dim=1)
    apart = (made.target - made.before).flatten(1).norm(dim=1)
    assert bool((moved < apart).all())
    assert 0 <= float(poisoned.x.min()) <= float(poisoned.x.max()) <= 1


def test_a_collision_turns_its_target(train, held_out, network) -> None:
    poison = FeatureCollision(base_label=1, targets=2)
    scenario, victim, clean = crafted(poison, 0, train, held_out, network)
    assert poison.fired(victim.fit(clean.data, seed=4, monitor=QUIET), scenario, clean) == (0, 1)
    made = poison.craft(scenario, 40, victim, seed=4, monitor=QUIET)
    assert torch.equal(made.target, clean.target)
    assert poison.fired(victim.fit(made.data, seed=4, monitor=QUIET), scenario, made) == (1, 1)
    other = poison.craft(scenario, 0, victim, seed=4, monitor=QUIET, attempt=1)
    assert not torch.equal(other.target, made.target)


def test_transfer_learning_moves_the_last_layer_alone(train, held_out, network) -> None:
    _, victim, made = crafted(FeatureCollision(targets=1), 0, train, held_out, network)
    model = victim.fit(made.data, seed=4, monitor=QUIET)
    before, after = victim.network.state_dict(), model.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"network.5.weight", "network.5.bias"}
    assert last_layer(model).out_features == 10


def test_a_network_without_a_last_layer_is_refused(held_out) -> None:
    from workers.models import Signature, build

    with pytest.raises(Rejected) as caught:
        last_layer(build(Signature("squeezenet1_1", (3, 32, 32), 10), seed=0))
    assert caught.value.reason == "NO_LAST_LAYER"


@pytest.mark.parametrize(
    ("poison", "reason"),
    [
        (Backdoor(trigger_label=10), "BAD_PARAMETER"),
        (Backdoor(trigger_size=9), "BAD_PARAMETER"),
        (FeatureCollision(base_label=10), "BAD_PARAMETER"),
    ],
)
def test_a_poison_that_does_not_fit_the_data_is_refused(poison, reason, train, held_out) -> None:
    with pytest.raises(Rejected) as caught:
        poison.scenario(train, held_out, seed=0)
    assert caught.value.reason == reason


def test_more_poison_than_there_is_to_poison_is_refused(train, held_out, softmax: NetworkLearner) -> None:
    for poison in (FeatureCollision(targets=1), Backdoor()):
        few = replace(train, y=torch.zeros_like(train.y).index_fill_(0, torch.arange(20), 5))
        count = 590 if isinstance(poison, FeatureCollision) else 30
        with pytest.raises(Rejected) as caught:
            crafted(poison, count, few, held_out, softmax)
        assert caught.value.reason == "TOO_FEW_SAMPLES"
