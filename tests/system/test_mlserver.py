"""The black box against a real MLServer, in an environment of its own that the first run makes (out/environments).

SPARRING_SYSTEM_MUST_RUN=1    fail instead of skipping where MLServer can't be had
"""

import contextlib
import importlib.util
import json
import os
import time
from pathlib import Path

import pytest
import torch

from workers.blackbox import BudgetSpent, Endpoint, EndpointOptions, Ledger, SubstituteOptions, imitate
from workers.data import builtin
from workers.defenses.standard import StandardTraining
from workers.engine.attack import AttackPlan, run_attack
from workers.engine.train import Optimization, train
from workers.failures import Rejected
from workers.models import Signature, build

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

SHAPE = (1, 8, 8)


@pytest.fixture(scope="module")
def mlserver():
    """The example's module: examples are no package."""
    path = Path(__file__).parents[2] / "examples" / "mlserver_process.py"
    spec = importlib.util.spec_from_file_location("mlserver_process", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def python(mlserver):
    try:
        return mlserver.environment()
    except RuntimeError as reason:
        if os.environ.get("SPARRING_SYSTEM_MUST_RUN") == "1":
            pytest.fail(f"the system tests must run, but: {reason}")
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def net():
    recipe = Optimization(epochs=10, batch_size=100, learning_rate=0.005)
    fresh = build(Signature("mlp", SHAPE, 10), seed=1)
    return train(fresh, builtin("digits", "train"), StandardTraining(), recipe, seed=1).model


@pytest.fixture(scope="module")
def address(mlserver, python, net, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlserver")
    mlserver.export(net, folder / "digits.npz")
    with mlserver.serving(python, folder, folder / "digits.npz", model="digits", shape=SHAPE) as address:
        _wait_for(address, folder / "mlserver.log")
        yield address


def _wait_for(address, log):
    """Until the model is there; raises what the server logged where it never is."""
    until = time.monotonic() + 90
    while time.monotonic() < until:
        with Endpoint(_options(address)) as endpoint, contextlib.suppress(Rejected):
            endpoint.check()
            return
        time.sleep(0.5)
    raise TimeoutError(log.read_text())


def _options(address, **given):
    return EndpointOptions(
        **{"address": address, "model": "digits", "input_shape": SHAPE, "classes": 10, "output_name": "scores"} | given
    )


@pytest.fixture
def digits():
    data = builtin("digits", "test")
    return data.pixels(slice(None)), data.y


@pytest.mark.parametrize("raw", [True, False])
def test_the_scores_of_mlserver_are_those_of_the_net_that_it_serves(address, net, digits, raw):
    x, _ = digits
    with Endpoint(_options(address, raw_input=raw)) as endpoint, torch.no_grad():
        torch.testing.assert_close(endpoint(x), net(x), rtol=1e-4, atol=1e-4)
        assert endpoint.ledger.queries == len(x)


def test_a_decision_attack_breaks_it_by_labels_alone_and_every_query_is_in_the_ledger(address, net, digits, tmp_path):
    x, y = digits[0][:4], digits[1][:4]
    parameters = {"queries": 300, "spherical_step": 0.05, "source_step": 0.05, "step_adaptation": 1.5}
    plan = AttackPlan(name="boundary", epsilon=1000.0, norm="l2", parameters=parameters)
    with Endpoint(_options(address, output="labels"), ledger=Ledger(tmp_path / "ledger.jsonl")) as endpoint:
        found = run_attack(endpoint, x, y, plan, sample_ids=torch.arange(4), seed=1, batch_size=4)
    lines = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert found.success.sum() >= 3
    assert torch.equal(net(found.x_adv).argmax(dim=1), found.prediction)
    assert len(lines) == endpoint.ledger.queries == int(found.forwards.sum())
    assert all(line["score"] is None for line in lines)


def test_a_substitute_of_it_costs_what_was_foreseen_and_not_one_query_more(address, digits):
    x, _ = digits
    recipe = Optimization(epochs=5, batch_size=64, learning_rate=0.003, schedule="constant")
    options = SubstituteOptions(augmentations=3, optimization=recipe)
    with Endpoint(_options(address, output="labels", budget=400)) as endpoint:
        held_out = x[50:], _labels(address, x[50:])
        found = imitate(endpoint, x[:50], options, classes=10, seed=1, held_out=held_out)
        assert endpoint.ledger.queries == found.history[-1].queries == 400
        with pytest.raises(BudgetSpent):
            endpoint(x[:1])
    assert found.history[-1].agreement > 0.7


def test_a_model_that_it_does_not_serve_is_refused_in_its_own_words(address):
    with Endpoint(_options(address, model="cats")) as endpoint, pytest.raises(Rejected, match="NOT_FOUND"):
        endpoint.check()


def _labels(address, x):
    with Endpoint(_options(address, output="labels")) as judge:
        return judge(x).argmax(dim=1)
