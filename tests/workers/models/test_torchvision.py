"""Torchvision's classifiers through the one adapter."""

from __future__ import annotations

import builtins
import re

import pytest
import safetensors.torch
import torch

from workers.models import Signature, architectures, build, load, save, torchvision_compat
from workers.models.classical import FITTED
from workers.models.registry import OWN
from workers.models.weights import skeleton

# One of each way of being built, in torchvision 0.28.
FAMILIES = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_x_400mf",
    "regnet_y_128gf",
    "resnet18",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_0",
    "swin_t",
    "swin_v2_t",
    "vgg11",
    "vgg19_bn",
    "vit_b_16",
    "vit_h_14",
    "wide_resnet50_2",
]


@pytest.mark.parametrize("name", FAMILIES)
def test_small_grey_pictures(name):
    """Every family takes one channel, 12x8 pixels, five classes; on `meta`, where that costs no memory."""
    model = skeleton(Signature(name, (1, 12, 8), 5)).to("meta")
    assert model(torch.empty(2, 1, 12, 8, device="meta")).shape == (2, 5)


def test_no_family_is_left_out():
    """Every classifier that torchvision has begins as one of those above does."""
    stems = {re.match("[a-z]+", name).group() for name in FAMILIES}
    others = [name for name in architectures() if name not in OWN and name not in FITTED]
    assert [name for name in others if re.match("[a-z]+", name).group() not in stems] == []


def test_large_inputs_are_not_resized():
    """Inputs above the minimum reach the network as they are; a network of one size gets that size."""
    assert architectures()["resnet50"].size(224, 300) == (224, 300)
    assert architectures()["resnet50"].size(28, 300) == (32, 300)
    assert architectures()["alexnet"].size(28, 28) == (64, 64)
    assert architectures()["vit_b_16"].size(300, 28) == (224, 224)


@pytest.mark.parametrize("name", ["googlenet", "shufflenet_v2_x0_5"])
def test_gradients_reach_the_input(name):
    """A real network, in training mode too: plain logits, finite input gradients, a round trip of its weights."""
    signature = Signature(name, (1, 28, 28), 4, mean=(0.1,), std=(0.3,))
    model = build(signature, seed=0)
    assert save(load(save(model), signature)) == save(model)
    x = torch.rand(4, 1, 28, 28, requires_grad=True)
    (gradient,) = torch.autograd.grad(model.train()(x).square().sum(), x)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0


def test_torchvisions_own_state_dict_is_a_valid_upload():
    """The tensor names are torchvision's, so its weights load as they are and give the same logits."""
    theirs = torchvision_compat.torchvision_models().shufflenet_v2_x0_5(num_classes=9).eval()
    ours = load(safetensors.torch.save(theirs.state_dict()), Signature("shufflenet_v2_x0_5", (3, 64, 64), 9))
    x = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(ours(x), theirs(x))


def test_nothing_is_declared_where_torchvision_loads(monkeypatch):
    """A healthy install is left alone."""
    torchvision_compat.torchvision_models()  # from here on its import succeeds in this process

    def declare():
        pytest.fail("declared an operator that is there")

    monkeypatch.setattr(torchvision_compat, "_declare", declare)
    assert torchvision_compat.torchvision_models.__wrapped__() is torchvision_compat.torchvision_models()


def test_other_failures_of_the_import_are_not_hidden(monkeypatch):
    """Only the one known error is mended."""
    real = builtins.__import__

    def broken(name, *args, **kwargs):
        if name == "torchvision":
            raise RuntimeError("libjpeg is out of order")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(RuntimeError, match="libjpeg"):
        torchvision_compat.torchvision_models.__wrapped__()
