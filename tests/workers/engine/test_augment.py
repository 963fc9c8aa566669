"""Pictures that are shifted and mirrored on their way into a batch."""

from __future__ import annotations

import torch

from workers.data import Dataset
from workers.engine.augment import Augmentation, shifted
from workers.engine.feed import Feed, Part
from workers.recipe import Recipe

DATA = Dataset(torch.arange(1, 1 + 12 * 2 * 4 * 5).view(12, 2, 4, 5).float() / 480, torch.arange(12) % 3, 3)


class Replayed(Recipe):
    """Takes each batch twice."""

    replays = 2


def test_a_shift_is_a_padded_crop():
    """By hand: each picture in a frame of zeros, cut from its own row and column on."""
    x = DATA.x
    moves = torch.stack([torch.arange(12) % 5, torch.arange(12) % 3 + 1])
    frame = torch.zeros(12, 2, 8, 9)
    frame[:, :, 2:6, 2:7] = x
    expected = [frame[i, :, r : r + 4, c : c + 5] for i, (r, c) in enumerate(moves.T.tolist())]
    assert torch.equal(shifted(x, moves, 2), torch.stack(expected))
    assert torch.equal(shifted(x, torch.full((2, 12), 2), 2), x)


def test_every_shift_and_both_sides_come_up():
    """Of 4,000 draws all 9 shifts by a pixel come up about equally often, and half are mirrored."""
    dot = torch.zeros(4000, 1, 3, 5)
    dot[:, 0, 1, 1] = 1
    moved = Augmentation(padding=1, flip=True)(dot, torch.Generator().manual_seed(0), slice(None), 4000)
    places = moved.flatten(1).argmax(1)
    counts = torch.bincount(places, minlength=15).view(3, 5)
    left, right = counts[:, :3], counts[:, 2:]
    assert counts.sum() == 4000
    # Column 2 is where a dot moved right and one that was mirrored and moved left meet.
    assert (counts[:, [0, 1, 3, 4]] > 150).all()
    assert (counts[:, 2] > 350).all()
    assert abs(left[:, :2].sum() - right[:, 1:].sum()) < 250


def feed(recipe=None, seed=1):
    return Feed(DATA, Recipe() if recipe is None else recipe, 6, seed, Augmentation(padding=1, flip=True))


def test_a_picture_is_moved_afresh_in_each_epoch_and_the_same_whenever_it_is_asked_for():
    """Keyed by the step: nothing that was drawn before matters."""
    samples = torch.arange(6)
    first, again, later, other = (
        made.batch(samples, step).x for made, step in ((feed(), 0), (feed(), 0), (feed(), 2), (feed(seed=2), 0))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    assert not torch.equal(first, other)
    assert torch.equal(feed().batch(samples, 0).y, DATA.y[:6])


def test_a_batch_that_is_replayed_stays_as_it_is():
    samples, made = torch.arange(6), feed(Replayed())
    assert torch.equal(made.batch(samples, 4).x, made.batch(samples, 5).x)
    assert not torch.equal(made.batch(samples, 4).x, made.batch(samples, 6).x)


def test_parts_of_a_batch_are_the_rows_of_the_whole():
    """However many processes share it: the same pictures, moved in the same way."""
    samples, made = torch.arange(7), feed()
    whole = made.batch(samples, 3)
    for size in (2, 3):
        parts = [made.batch(samples, 3, Part(rank, size)) for rank in range(size)]
        assert torch.equal(torch.cat([part.x for part in parts]), whole.x)
        assert torch.equal(torch.cat([part.y for part in parts]), whole.y)
        assert all(part.count == 7 for part in parts)
        lengths = [len(part.y) for part in parts]
        assert max(lengths) - min(lengths) <= 1
