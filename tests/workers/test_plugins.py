"""Attacks that users bring along."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest
import torch

from workers import plugins
from workers.attacks import AttackEntry
from workers.engine.attack import AttackPlan, GoalSpec, run_attack
from workers.failures import Rejected
from workers.plugins import Plugin


def two_steps(model, x, goal, ball, *, share):
    """Half a FGSM, and the other half."""
    S, x_n = ball.around(x), x
    for part in (share, 1 - share):
        x_n = S.project(x_n + part * ball.epsilon * ball.steepest(goal.gradient(model, x_n), x_n))
    return x_n


HALVES = Plugin(entry=AttackEntry(two_steps, frozenset({"share"}), calls=lambda _: 2), defaults={"share": 0.5})
NAMELESS = Plugin(entry=AttackEntry(two_steps, frozenset({"share"})))


@pytest.fixture
def installed(monkeypatch):
    """Entry points that lead into this file."""

    def install(**targets):
        points = [
            EntryPoint(name, f"{__name__}:{target}" if ":" not in target else target, plugins.GROUP)
            for name, target in targets.items()
        ]
        monkeypatch.setattr(plugins, "entry_points", lambda group: [p for p in points if p.group == group])
        monkeypatch.setattr(EntryPoint, "load", lambda self: globals()[self.attr] if self.module == __name__ else 1 / 0)
        plugins._loaded.cache_clear()

    yield install
    plugins._loaded.cache_clear()


ANY = GoalSpec()


def run(small_net, pictures, goal=ANY, norm="linf", **parameters):
    plan = AttackPlan(name="plugin", epsilon=0.1, norm=norm, parameters=parameters, goal=goal)
    return run_attack(small_net, *pictures, plan, sample_ids=torch.arange(32), seed=0, batch_size=16)


@pytest.mark.parametrize("goal", [ANY, GoalSpec(kind="random")], ids=["untargeted", "random"])
def test_a_plugin_has_everything_that_our_own_attacks_have(small_net, pictures, installed, goal):
    """Batches, goals, norms, cost, verification."""
    installed(halves="HALVES")
    result = run(small_net, pictures, goal, name="halves", share=0.25)
    assert result.violations == 0
    assert result.success.float().mean() > (0.5 if goal == ANY else 0.2)
    assert result.backwards[result.attacked].max() == 2
    assert torch.equal(result.x_adv, run(small_net, pictures, goal, name="halves", share=0.25).x_adv)
    assert not torch.equal(result.x_adv, run(small_net, pictures, goal, name="halves").x_adv)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"name": "thirds"}, "no plug-in 'thirds' is installed.*there: broken, halves, nameless"),
        ({"name": "halves", "shares": 0.5}, r"takes \['share'\], not \['shares'\]"),
        ({"name": "halves", "share": float("nan")}, "finite"),
        ({"name": "broken"}, "can't be imported"),
        ({"name": "nameless"}, r"defaults for \['share'\]"),
    ],
)
def test_what_can_not_be_run_says_what_to_do(small_net, pictures, installed, asked, reason):
    """Unknown names and parameters, numbers that are none, packages that do not work."""
    installed(halves="HALVES", broken="elsewhere:PLUGIN", nameless="NAMELESS")
    with pytest.raises(Rejected, match=reason):
        run(small_net, pictures, **asked)


def test_a_norm_that_the_plugin_does_not_take_is_refused(small_net, pictures, installed):
    """Its entry says which."""
    installed(halves="HALVES")
    with pytest.raises(Rejected, match=r"norm must be one of \['l2', 'linf'\]"):
        run(small_net, pictures, norm="l1", name="halves")


def test_no_plugin_is_installed_with_sparring_itself():
    """So that the error above lists what a user has installed."""
    assert plugins.installed() == {}
