"""The weights of EfficientNet-Lite0 are read without torch, and nothing else is."""

from __future__ import annotations

import collections
import io
import pickle

import numpy as np
import pytest
import torch

from reproductions.lite0 import read


def old_format(state: object) -> bytes:
    """What torch.save wrote before it wrote zip files."""
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def test_tensors_come_out_as_torch_wrote_them() -> None:
    whole = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    state = collections.OrderedDict(
        weight=torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(1)),
        turned=whole.T,
        part=whole[1:3, 2:],
        counter=torch.tensor(7),
    )
    found = read(old_format(state))
    assert list(found) == list(state)
    for name, tensor in state.items():
        assert found[name].dtype == tensor.numpy().dtype
        np.testing.assert_array_equal(found[name], tensor.numpy())


def test_a_real_network_survives() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    found = read(old_format(network.state_dict()))
    assert {name: array.shape for name, array in found.items()} == {
        name: tuple(tensor.shape) for name, tensor in network.state_dict().items()
    }


def test_a_pickle_that_names_anything_else_is_refused() -> None:
    with pytest.raises(pickle.UnpicklingError, match="which is no tensor"):
        read(old_format({"weight": io.BytesIO}))
