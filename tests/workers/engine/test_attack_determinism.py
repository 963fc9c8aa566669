"""The same seed and sample give the same answer, whatever the batch, the order and the savings."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workers.engine.attack import AttackPlan, GoalSpec, run_attack
from workers.engine.seeds import generators, key, random_targets

PARAMETERS = {"steps": 20, "step_size": 0.005, "restarts": 3, "random_start": True, "loss": "cross_entropy"}
PGD = AttackPlan(name="pgd", epsilon=0.03, parameters=PARAMETERS)
RANDOM_TARGET = AttackPlan(name="pgd", epsilon=0.03, parameters=PARAMETERS, goal=GoalSpec(kind="random"))
BIM = AttackPlan(name="bim", epsilon=0.03, parameters={"steps": 20, "step_size": 0.005})
IDS = torch.arange(100, 132)


def run(model, x, y, plan, ids=IDS, **options):
    return run_attack(model, x, y, plan, **{"sample_ids": ids, "seed": 11, "batch_size": 32, **options})


@pytest.mark.parametrize("plan", [PGD, RANDOM_TARGET], ids=["untargeted", "random target"])
def test_two_runs_give_the_same_bytes(small_net, pictures, plan):
    """And so do two with different global random states."""
    first = run(small_net, *pictures, plan)
    torch.manual_seed(999)
    second = run(small_net, *pictures, plan)
    for name in ("x_adv", "confidence", "target", "forwards", "success"):
        assert torch.equal(getattr(first, name), getattr(second, name))


def test_trap_10_the_seed_and_the_id_matter(small_net, pictures):
    """Another seed or another id is another random start."""
    base = run(small_net, *pictures, PGD).x_adv
    assert not torch.equal(base, run(small_net, *pictures, PGD, seed=12).x_adv)
    assert not torch.equal(base, run(small_net, *pictures, PGD, ids=IDS + 1).x_adv)


@pytest.mark.parametrize("plan", [PGD, RANDOM_TARGET, BIM], ids=["pgd", "random target", "bim"])
def test_batch_size_and_order_do_not_matter(small_net, pictures, plan):
    """Alone, in small batches, backwards: the same success and the same point, up to rounding."""
    x, y = pictures
    whole = run(small_net, x, y, plan)
    order = torch.arange(31, -1, -1)
    for result, rows in (
        (run(small_net, x, y, plan, batch_size=5), slice(None)),
        (run(small_net, x[order], y[order], plan, IDS[order], batch_size=32), order),
        (run(small_net, x[3:4], y[3:4], plan, IDS[3:4]), slice(3, 4)),
    ):
        assert torch.equal(result.success, whole.success[rows])
        assert torch.equal(result.target, whole.target[rows])
        assert torch.allclose(result.x_adv, whole.x_adv[rows], atol=1e-5)


def test_batches_of_one_plan_may_run_anywhere(small_net, pictures):
    """Two workers with a half each give the bytes of one worker with both: shards are cut at batches."""
    x, y = pictures
    whole = run(small_net, x, y, PGD, batch_size=16)
    halves = [run(small_net, x[half], y[half], PGD, IDS[half], batch_size=16) for half in (slice(16, 32), slice(16))]
    assert torch.equal(whole.x_adv, torch.cat([halves[1].x_adv, halves[0].x_adv]))
    assert torch.equal(whole.confidence, torch.cat([halves[1].confidence, halves[0].confidence]))


@pytest.mark.parametrize("epsilon", [0.01, 0.02, 0.05])
@pytest.mark.parametrize("plan", [PGD, RANDOM_TARGET, BIM], ids=["pgd", "random target", "bim"])
def test_survivors_only_changes_the_cost_and_not_the_outcome(small_net, pictures, plan, epsilon):
    """The first point at the goal is kept in both; fewer propagations are spent in one."""
    plan = AttackPlan(name=plan.name, epsilon=epsilon, parameters=plan.parameters, goal=plan.goal)
    saving, full = (run(small_net, *pictures, plan, survivors_only=saving) for saving in (True, False))
    assert torch.equal(saving.success, full.success)
    assert torch.equal(saving.prediction[saving.success], full.prediction[full.success])
    assert torch.allclose(saving.x_adv, full.x_adv, atol=1e-5)
    if epsilon > 0.01:  # where a quarter of the batch and more breaks
        assert saving.backwards.sum() < full.backwards.sum()
    assert (saving.backwards[~saving.success] == full.backwards[~full.success]).all()


def test_more_restarts_only_add_to_what_one_restart_found(small_net, pictures):
    """Restart r has its own stream, so the first restart is the same run."""
    one = run(small_net, *pictures, AttackPlan(name="pgd", epsilon=0.015, parameters={**PARAMETERS, "restarts": 1}))
    many = run(small_net, *pictures, AttackPlan(name="pgd", epsilon=0.015, parameters={**PARAMETERS, "restarts": 8}))
    assert torch.equal(many.x_adv[one.success], one.x_adv[one.success])
    assert many.success[one.success].all()
    assert (many.backwards[one.success] == one.backwards[one.success]).all()


def test_a_randomised_model_gives_the_same_bytes_too():
    """Its noise comes from the global generators, which are seeded from the batch and put back."""

    class Noisy(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :3] + 0.1 * torch.randn(len(x), 3)

    x = torch.rand(6, 5, generator=torch.Generator().manual_seed(0))
    y = x[:, :3].argmax(1)
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        results.append(run(Noisy(), x, y, BIM, torch.arange(6), batch_size=3))
    assert torch.equal(results[0].x_adv, results[1].x_adv)
    assert torch.equal(results[0].confidence, results[1].confidence)


def test_random_targets_are_wrong_uniform_and_keyed():
    """Every class but the label, equally often, and the same for the same sample."""
    ids, label = torch.arange(30000), torch.full((30000,), 2)
    target = random_targets(5, ids, label, 4)
    share = torch.bincount(target, minlength=4) / 30000
    assert share[2] == 0
    assert torch.allclose(share[[0, 1, 3]], torch.full((3,), 1 / 3), atol=0.01)
    assert torch.equal(random_targets(5, ids[7:9], label[7:9], 4), target[7:9])


def test_keys_differ_in_every_part():
    """Seed, sample and purpose; the largest seed of the contract and negative ids included."""
    keys = [key(seed, sample, purpose) for seed in (0, 1, 2**64 - 1) for sample in (-1, 0, 1) for purpose in (-1, 0, 1)]
    assert len(set(keys)) == len(keys)
    assert all(0 <= k < 2**63 for k in keys)
    noise = {torch.rand(1, generator=g).item() for g in generators(3, torch.arange(50), [0] * 50)}
    assert len(noise) == 50
