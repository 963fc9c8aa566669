"""The datasets that ship with Sparring, and the type that all of them have."""

from __future__ import annotations

import hashlib
from importlib import resources

import pytest
import torch

from workers.data import BUILT_IN, Dataset, built_in, builtin
from workers.failures import Rejected


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_table_tells_what_is_there(name):
    """Shape, classes, counts and per-class counts in the table are those of the samples."""
    info = BUILT_IN[name]
    for split, expected in info.splits.items():
        data = builtin(name, split)
        assert data.input_shape == info.input_shape
        assert data.classes == info.classes
        assert len(data) == expected.count
        assert data.class_counts() == expected.class_counts


def test_mnist10k_is_the_documented_file():
    """The digest is that of the file, which lies beside its licence."""
    folder = resources.files("workers.data")
    assert hashlib.sha256(folder.joinpath("mnist10k.npz").read_bytes()).hexdigest() == BUILT_IN["mnist10k"].digest
    assert "CC BY-SA 3.0" in folder.joinpath("mnist10k.md").read_text(encoding="utf-8")


def test_pixels_are_in_the_unit_range():
    """Pictures come out as float32 that reaches from 0 to 1: 255 of mnist10k, 16 of digits."""
    for name in BUILT_IN:
        x = builtin(name, "test").pixels(slice(None))
        assert x.dtype == torch.float32
        assert (x.min(), x.max()) == (0, 1)


def test_damaged_data_are_refused(monkeypatch):
    """Bytes that do not have the table's digest are not used."""
    monkeypatch.setattr(built_in, "BUILT_IN", {"digits": BUILT_IN["mnist10k"]})
    with pytest.raises(Rejected) as caught:
        built_in._digits.__wrapped__()
    assert caught.value.reason == "DAMAGED_DATASET"


@pytest.mark.parametrize(
    ("name", "split", "reason"), [("mnist", "test", "UNKNOWN_DATASET"), ("digits", "val", "UNKNOWN_SPLIT")]
)
def test_unknown_names(name, split, reason):
    """A dataset or split that is not there is refused by name."""
    with pytest.raises(Rejected, match=split if reason == "UNKNOWN_SPLIT" else name) as caught:
        builtin(name, split)
    assert caught.value.reason == reason


@pytest.fixture
def small():
    """Five samples, numbered in their first pixel."""
    x = torch.zeros(5, 1, 2, 2, dtype=torch.uint8)
    x[:, 0, 0, 0] = torch.arange(5)
    return Dataset(x, torch.tensor([0, 1, 2, 0, 1]), classes=4)


def test_select(small):
    """A selection holds the samples from its offset on, all of them where the count is 0."""
    assert small.select(1, 3).x[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert small.select(3).y.tolist() == [0, 1]
    assert small.class_counts() == (2, 2, 1, 0)


@pytest.mark.parametrize(("offset", "count"), [(-1, 2), (5, 0), (4, 2), (0, 6), (3, -1)])
def test_select_outside(small, offset, count):
    """A selection that is empty or reaches outside is refused."""
    with pytest.raises(Rejected) as caught:
        small.select(offset, count)
    assert caught.value.reason == "SELECTION_OUT_OF_RANGE"


def test_pixels_of_some(small):
    """Pictures can be taken by slice and by index, in the order of the index, leaving the dataset as it is."""
    assert (small.pixels(torch.tensor([4, 0]))[:, 0, 0, 0] * 255).tolist() == [4, 0]
    assert small.pixels(slice(1, 3)).shape == (2, 1, 2, 2)
    assert small.x.dtype == torch.uint8
