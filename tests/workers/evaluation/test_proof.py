"""The check of every example: each kind of damage is seen, in float64, and nothing sound is suspected."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from workers.data import Dataset
from workers.evaluation.inputs import NO_LIMIT
from workers.evaluation.proof import KINDS, NONE, Claim, added, examine

FIRST, N = 50, 7


@pytest.fixture
def data():
    """Seven grey-level pictures, as a dataset keeps them."""
    x = torch.randint(0, 256, (N, 1, 5, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    x[0].flatten()[:2] = torch.tensor([0, 255], dtype=torch.uint8)
    return Dataset(x, torch.arange(N) % 3, 3)


@pytest.fixture
def sound(data):
    """Examples on the very edge of a ball of 0.1, cut at the box."""
    x = data.pixels(slice(None))
    x_adv = (x + 0.1 * torch.where(x > 0.5, -1.0, 1.0)).clamp(0, 1)
    return Claim(x_adv=x_adv, label=data.y.clone(), index=torch.arange(FIRST, FIRST + N), norm="linf", epsilon=0.1)


def found(claim, data):
    """The kinds that were counted, with their counts."""
    counts, failed = examine(claim, data, FIRST)
    assert failed.shape == (N,)
    assert max(counts) <= failed.sum() <= sum(counts)
    return {kind: count for kind, count in zip(KINDS, counts, strict=True) if count}


def test_what_is_sound_passes(sound, data):
    assert examine(sound, data, FIRST)[0] == NONE
    assert not examine(sound, data, FIRST)[1].any()


def test_rounding_of_float32_is_no_violation(data):
    """x + epsilon in float32 may be beyond epsilon by a little."""
    x = data.pixels(slice(None))
    for epsilon in (1 / 255, 8 / 255, 0.3, 1 / 3):
        x_adv = (x + torch.tensor(epsilon)).clamp(0, 1)
        claim = Claim(x_adv=x_adv, label=data.y, index=torch.arange(FIRST, FIRST + N), norm="linf", epsilon=epsilon)
        assert found(claim, data) == {}


def damage(claim, **changes):
    """The claim with one sample's tensors changed in place."""
    copies = {name: getattr(claim, name).clone() for name in ("x_adv", "label", "index")}
    for name, change in changes.items():
        change(copies[name])
    return replace(claim, **copies)


def put(row, pixel, value):
    return lambda tensor: tensor[row].flatten().__setitem__(pixel, value)


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({"x_adv": lambda x: x[3].add_(torch.where(x[3] > 0.5, -0.2, 0.2))}, {"ball": 1}),
        ({"x_adv": put(0, 1, 1.0 + 1e-6)}, {"box": 1}),
        ({"x_adv": put(0, 0, -1e-9)}, {"box": 1}),
        ({"x_adv": put(2, 4, float("nan"))}, {"finite": 1}),
        ({"x_adv": put(2, 4, float("inf"))}, {"finite": 1}),
        ({"label": lambda y: y[1:3].add_(1)}, {"label": 2}),
        ({"index": lambda i: i.__setitem__([0, 1], i[[1, 0]])}, {"index": 2}),
        ({"index": lambda i: i.sub_(1)}, {"index": N}),
    ],
    ids=["ball", "above the box", "below the box", "nan", "infinite", "labels", "swapped", "shifted"],
)
def test_each_kind_of_damage_is_counted(sound, data, changes, kinds):
    claim = damage(sound, **changes)
    if "box" in kinds:  # far enough inside the ball that only the box is left
        claim = replace(claim, epsilon=1.5)
    assert found(claim, data) == kinds


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_examples_of_another_dtype_are_all_counted(sound, data, dtype):
    """In half precision they are outside the ball as well, once they are written as float32."""
    claim = replace(sound, x_adv=sound.x_adv.to(dtype))
    assert found(claim, data)["dtype"] == N
    assert found(replace(sound, label=sound.label.int()), data) == {"dtype": N}


def test_a_ball_in_l2_is_measured_in_l2(data):
    x = data.pixels(slice(None))
    step = torch.zeros_like(x)
    step[:, 0, 2, 2:4] = torch.where(x[:, 0, 2, 2:4] > 0.5, -0.3, 0.4)
    claim = Claim(x_adv=x + step, label=data.y, index=torch.arange(FIRST, FIRST + N), norm="l2", epsilon=0.6)
    assert found(claim, data) == {}
    outside = int((step.flatten(1).norm(dim=1) > 0.45).sum())
    assert found(replace(claim, epsilon=0.45), data) == {"ball": outside}
    assert 0 < outside < N


def moved(data, changes):
    """A claim whose examples differ from the data by `changes` in their first pixels."""
    x = data.pixels(slice(None))
    step = torch.zeros_like(x)
    step.flatten(1)[:, : len(changes)] = torch.tensor(changes)
    x_adv = torch.where(x > 0.5, x - step, x + step)
    return Claim(x_adv=x_adv, label=data.y, index=torch.arange(FIRST, FIRST + N), norm="l1", epsilon=0.0)


def test_a_ball_in_l1_adds_up_every_change(data):
    claim = moved(data, [0.1, 0.2, 0.05])
    assert found(replace(claim, epsilon=0.351), data) == {}
    assert found(replace(claim, epsilon=0.349), data) == {"ball": N}
    assert found(replace(claim, epsilon=0.35), data) == {}, "rounding of float32 is no violation"


def test_a_ball_in_l0_counts_what_differs_by_more_than_rounding(data):
    claim = replace(moved(data, [0.1, 0.2, 1e-5]), norm="l0")
    assert found(replace(claim, epsilon=3), data) == {}
    assert found(replace(claim, epsilon=2), data) == {"ball": N}
    rounded = replace(moved(data, [0.1, 0.2, 1e-7]), norm="l0", epsilon=2)
    assert found(rounded, data) == {}


@pytest.mark.parametrize(("norm", "limit"), list(NO_LIMIT.items()))
def test_no_limit_lets_the_furthest_corner_of_the_box_pass(data, norm, limit):
    x = data.pixels(slice(None))
    claim = Claim(x_adv=(x < 0.5).float(), label=data.y, index=torch.arange(FIRST, FIRST + N), norm=norm, epsilon=limit)
    assert found(claim, data) == {}


def test_many_small_changes_add_up():
    """4096 pixels of 1e-3 each are 0.064 in L2."""
    x = torch.full((1, 1, 64, 64), 0.5)
    claim = Claim(x_adv=x + 1e-3, label=torch.zeros(1).long(), index=torch.tensor([0]), norm="l2", epsilon=0.0639)
    truth = Dataset(x, torch.zeros(1).long(), 2)
    assert examine(claim, truth, 0)[0][0] == 1
    assert examine(replace(claim, epsilon=0.0641), truth, 0)[0] == NONE


def test_pieces_change_nothing(sound, data, monkeypatch):
    claim = damage(sound, x_adv=lambda x: x[3:].add_(0.3))
    whole = examine(claim, data, FIRST)
    monkeypatch.setattr("workers.evaluation.proof._AT_ONCE", 50)
    pieces = examine(claim, data, FIRST)
    assert whole[0] == pieces[0]
    assert torch.equal(whole[1], pieces[1])


@pytest.mark.parametrize("name", ["x_adv", "label", "index"])
def test_a_claim_about_another_number_of_samples_is_refused(sound, data, name):
    with pytest.raises(ValueError, match="have the shapes"):
        examine(replace(sound, **{name: getattr(sound, name)[:-1]}), data, FIRST)


def test_counts_add_up_kind_by_kind():
    assert added([(1, 0, 0, 0, 0, 2), (1, 0, 3, 0, 0, 0)]) == (2, 0, 3, 0, 0, 2)
    assert added([]) == NONE
