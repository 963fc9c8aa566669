"""Sparring's own networks and the input side of every classifier."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from workers.failures import Rejected
from workers.models import Signature, build, evaluating
from workers.models.classifier import Resize
from workers.models.registry import OWN


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (2, 5, 9), (4, 1, 1)])
def test_any_input_size_and_number_of_classes(name, shape):
    """Each network takes any input and gives one logit per class."""
    model = build(Signature(name, shape, 7), seed=0)
    assert model(torch.rand(3, *shape)).shape == (3, 7)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("softmax_regression", 7_850),
        ("mlp", 199_210),
        ("mlp_bn", 840_010),
        ("madry_cnn", 3_274_634),
        ("wong_cnn", 166_406),
        ("threshold_cnn", 167_182),
        ("dropout_mlp", 199_210),
        ("maxout_mlp", 1_233_610),
        ("rbf_network", 238_510),
    ],
)
def test_parameters_on_mnist(name, parameters):
    """The numbers of parameters are those of the published networks."""
    model = build(Signature(name, (1, 28, 28), 10), seed=0)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_normalisation_is_the_first_layer():
    """A model with mean and std on x answers as one without on (x - mean) / std."""
    plain = build(Signature("wong_cnn", (2, 8, 8), 4), seed=0)
    normalising = build(Signature("wong_cnn", (2, 8, 8), 4, mean=(0.5, 0.1), std=(0.2, 3.0)), seed=0)
    x = torch.rand(5, 2, 8, 8)
    mean, std = torch.tensor([0.5, 0.1]).view(1, 2, 1, 1), torch.tensor([0.2, 3.0]).view(1, 2, 1, 1)
    assert torch.equal(normalising(x), plain((x - mean) / std))


@pytest.mark.parametrize("to", [(32, 32), (28, 64), (75, 75)])
def test_resizing_is_bilinear(to):
    """Two matrix products give what F.interpolate gives."""
    x = torch.rand(2, 3, 28, 20)
    expected = F.interpolate(x, size=to, mode="bilinear", align_corners=False)
    torch.testing.assert_close(Resize((28, 20), to)(x), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "fields",
    [
        {"input_shape": (1, 28)},
        {"input_shape": (0, 28, 28)},
        {"input_shape": (1, 5000, 1)},
        {"input_shape": (4, 4000, 4000)},
        {"classes": 1},
        {"classes": 100_001},
        {"mean": (0.1, 0.2)},
        {"mean": (float("nan"),)},
        {"std": (0.0,)},
        {"std": (float("inf"),)},
    ],
)
def test_signatures_that_no_network_has(fields):
    """What lies outside the ranges of the contract is refused when the signature is made."""
    given = {"architecture": "mlp", "input_shape": (1, 28, 28), "classes": 10} | fields
    with pytest.raises(Rejected) as caught:
        Signature(**given)
    assert caught.value.reason == "BAD_SIGNATURE"


def test_unknown_architecture_names_the_nearest():
    """A misspelt name is answered with the right one."""
    with pytest.raises(Rejected, match="wong_cnn") as caught:
        build(Signature("wong_cn", (1, 28, 28), 10), seed=0)
    assert caught.value.reason == "UNKNOWN_ARCHITECTURE"


def test_evaluating_gives_every_module_its_own_mode_back():
    """A layer that its owner froze stays frozen, also after an exception."""
    model = build(Signature("mlp", (1, 2, 2), 3), seed=0).train()
    frozen = model.network[2].eval()
    inside = []

    def use():
        with evaluating(model):
            inside.extend(module.training for module in model.modules())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use()
    assert not any(inside)
    assert not frozen.training
    assert all(module.training for module in model.modules() if module is not frozen)
