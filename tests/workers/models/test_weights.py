"""Weights out, and a stranger's weights in."""

from __future__ import annotations

import pickle

import pytest
import safetensors.torch
import torch

from workers.failures import Rejected
from workers.models import Signature, build, load, save

SIGNATURE = Signature("wong_cnn", (1, 28, 28), 10)


@pytest.fixture
def state():
    """The tensors of a valid file."""
    return safetensors.torch.load(save(build(SIGNATURE, seed=0)))


def rejection(tensors, signature=SIGNATURE):
    """Why a file with these tensors is refused."""
    with pytest.raises(Rejected) as caught:
        load(safetensors.torch.save(tensors), signature)
    return caught.value


def test_round_trip():
    """What is loaded answers as what was saved, and saves to the same bytes."""
    model = build(SIGNATURE, seed=1)
    loaded = load(save(model), SIGNATURE)
    x = torch.rand(4, 1, 28, 28)
    assert torch.equal(loaded(x), model(x))
    assert save(loaded) == save(model)
    assert not loaded.training
    assert all(parameter.requires_grad for parameter in loaded.parameters())


def test_seed_decides_the_weights():
    """Equal seeds give equal bytes, other seeds others, whatever the global random state."""
    torch.manual_seed(1)
    first = save(build(SIGNATURE, seed=7))
    torch.manual_seed(2)
    assert save(build(SIGNATURE, seed=7)) == first
    assert save(build(SIGNATURE, seed=8)) != first


def test_global_random_state_is_left_alone():
    """Neither building nor loading draws from torch's global generator."""
    before = torch.get_rng_state()
    load(save(build(SIGNATURE, seed=0)), SIGNATURE)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_cut_off_file(cut):
    """A file that ends too early is refused."""
    with pytest.raises(Rejected) as caught:
        load(save(build(SIGNATURE, seed=0))[:cut], SIGNATURE)
    assert caught.value.reason == "MALFORMED_SAFETENSORS"


def test_pickle_is_not_opened():
    """A pickle is no safetensors file, and is not run."""

    class Bomb:
        def __reduce__(self):
            return pytest.fail, ("the pickle was run",)

    with pytest.raises(Rejected) as caught:
        load(pickle.dumps(Bomb()), SIGNATURE)
    assert caught.value.reason == "MALFORMED_SAFETENSORS"


def test_what_does_not_fit_is_named(state):
    """Missing, unexpected and mis-shaped tensors are named, five at most, the rest counted."""
    del state["0.weight"], state["0.bias"]
    state["2.weight"] = state["2.weight"].transpose(0, 1).contiguous()
    state["5.weight"] = state["5.weight"].half()
    state |= {"extra": torch.zeros(1), "other": torch.zeros(1)}
    error = rejection(state)
    assert error.reason == "MODEL_DOES_NOT_FIT"
    for words in (
        "0.weight is missing",
        "0.bias is missing",
        "extra is not part",
        "2.weight is float32[16, 32, 4, 4], not float32[32, 16, 4, 4]",
        "and 1 more",
    ):
        assert words in error.message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers(state, value):
    """NaN and infinity are refused, with the tensor's name."""
    state["7.bias"][3] = value
    error = rejection(state)
    assert error.reason == "NOT_FINITE"
    assert "7.bias" in error.message


def test_answer_that_is_no_number(state):
    """Finite weights whose answer overflows are refused too."""
    state["5.weight"].fill_(1e38)
    state["7.weight"].fill_(1e38)
    assert rejection(state).reason == "NOT_FINITE"


def test_model_that_is_too_large():
    """A network of 3 * 10^11 weights is refused before any memory is asked for."""
    with pytest.raises(Rejected) as caught:
        build(Signature("softmax_regression", (3, 1024, 1024), 100_000), seed=0)
    assert caught.value.reason == "MODEL_TOO_LARGE"


def test_negative_variance_is_found():
    """A batch normalisation that divides by the root of a negative number is refused."""
    signature = Signature("shufflenet_v2_x0_5", (1, 8, 8), 3)
    state = safetensors.torch.load(save(build(signature, seed=0)))
    state["conv1.1.running_var"].fill_(-1)
    assert rejection(state, signature).reason == "NOT_FINITE"


def test_index_tables_are_compared():
    """A table that addresses memory must be the architecture's own, not a stranger's."""
    signature = Signature("swin_t", (1, 8, 8), 3)
    state = safetensors.torch.load(save(build(signature, seed=0)))
    state["features.1.0.attn.relative_position_index"] += 10**6
    error = rejection(state, signature)
    assert error.reason == "MODEL_DOES_NOT_FIT"
    assert "relative_position_index" in error.message
