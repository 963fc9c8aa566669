"""Packing: what goes in comes out, and the bytes depend on the tensors alone."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from safetensors.torch import load

from workers.evaluation import Shard, pack, pictures_in, shard_stats, unpack


@pytest.fixture
def shard(make):
    clean = make.clean([0, 1, 2, 0], pictures=4)
    return Shard(clean, (make.run(clean, [1, 1, 2, 0], keep=4), make.run(clean, [1, 0, 0, 0], key="c1.3")))


def equal(a, b):
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def test_round_trip(shard):
    back = unpack(pack(shard))
    for mine, theirs in [(shard.clean, back.clean), *zip(shard.runs, back.runs, strict=True)]:
        assert all(equal(getattr(mine, f.name), getattr(theirs, f.name)) for f in fields(mine))


def test_equal_tensors_give_equal_bytes_whatever_the_order_layout_and_dtype(shard):
    other = replace(
        shard.runs[0],
        prediction=shard.runs[0].prediction.to(torch.int32),
        confidence=shard.runs[0].confidence.double(),
        x_adv=shard.runs[0].x_adv.to(memory_format=torch.channels_last),
    )
    assert pack(Shard(shard.clean, (shard.runs[1], other))) == pack(shard)


def test_another_prediction_gives_other_bytes(shard):
    other = replace(shard.runs[0], prediction=shard.runs[0].prediction + 1)
    assert pack(Shard(shard.clean, (other, shard.runs[1]))) != pack(shard)


def test_no_time_and_no_metadata_are_in_the_bytes(shard):
    data = pack(shard)
    assert b"seconds" not in data
    assert b"__metadata__" not in data
    assert shard_stats({"a0": 1}) == {"seconds": {"a0": 1.0}}


def test_one_tensor_may_stand_in_two_places(make):
    clean = make.clean([0, 1])
    same = replace(clean, prediction=clean.label)
    assert torch.equal(unpack(pack(Shard(same, ()))).clean.prediction, clean.label)


@pytest.mark.parametrize("key", ["", "a/b", "clean"])
def test_keys_that_could_not_be_read_back_are_refused(make, key):
    with pytest.raises(ValueError, match="can't be called"):
        make.run(make.clean([0]), [0], key=key)


def test_two_runs_of_one_name_are_refused(shard):
    with pytest.raises(ValueError, match="two runs"):
        pack(Shard(shard.clean, (shard.runs[0], shard.runs[0])))


@pytest.mark.parametrize("field", ["success", "distance", "x_adv"])
def test_a_tensor_of_another_length_is_refused(shard, field):
    longer = torch.cat([getattr(shard.runs[0], field)] * 2)
    with pytest.raises(ValueError, match=f"run/a0/{field} has shape"):
        pack(Shard(shard.clean, (replace(shard.runs[0], **{field: longer}),)))


def test_pictures_are_the_first_of_the_selection():
    assert [pictures_in(start, 3, 8) for start in (0, 3, 6, 9)] == [3, 3, 2, 0]


def test_dtypes_are_those_of_the_head_of_the_module(shard):
    tensors = load(pack(shard))
    assert tensors["clean/index"].dtype == torch.int64
    assert tensors["run/a0/x_adv"].dtype == torch.float32
    assert tensors["run/c1.3/success"].dtype == torch.bool
    assert "run/c1.3/x_adv" not in tensors
