"""Which samples each step learns from."""

from __future__ import annotations

import pytest
import torch

from workers.data import Dataset
from workers.engine.feed import Feed, labelled_samples
from workers.failures import Rejected
from workers.recipe import Recipe

# Sample number i is a picture of i / 255; ten classes, unequal in number.
Y = torch.tensor([i % 10 if i < 50 else 0 for i in range(70)])
DATA = Dataset(torch.arange(70, dtype=torch.uint8).view(70, 1, 1, 1), Y, 10)


def numbers(x):
    """Which samples pictures are of."""
    return (255 * x).round().long().flatten().tolist()


class Replayed(Recipe):
    """Takes each batch three times."""

    replays = 3


class Sparse(Recipe):
    """Reads 20 labels, 8 at a time."""

    labelled = 20
    labelled_batch = 8


def epoch(feed, number):
    """The samples of every step of an epoch."""
    return [samples.tolist() for samples in feed.left(number * feed.steps)]


def test_an_epoch_has_every_sample_once():
    """In parts of at most the batch size that differ by one at most, and in another order each time."""
    feed = Feed(DATA, Recipe(), 16, seed=1)
    first, second = epoch(feed, 0), epoch(feed, 1)
    assert [len(part) for part in first] == [14] * 5
    assert all(sorted(number for part in parts for number in part) == list(range(70)) for parts in (first, second))
    assert first != second
    assert epoch(Feed(DATA, Recipe(), 16, seed=2), 0) != first


def test_an_epoch_is_taken_up_where_it_was_left():
    """The rest of an epoch is the end of the whole."""
    feed = Feed(DATA, Replayed(), 16, seed=1)
    assert [part.tolist() for part in feed.left(feed.steps + 4)] == epoch(feed, 1)[4:]


def test_a_batch_is_replayed():
    """Three steps in a row on each batch, and three times as many steps in an epoch."""
    feed = Feed(DATA, Replayed(), 16, seed=1)
    once = epoch(Feed(DATA, Recipe(), 16, seed=1), 0)
    assert feed.steps == 15
    assert epoch(feed, 0) == [part for part in once for _ in range(3)]


def test_pictures_and_labels_belong_together():
    """A batch holds what its samples are."""
    feed = Feed(DATA, Recipe(), 16, seed=1)
    samples = feed.left(0)[0]
    batch = feed.batch(samples, 0)
    assert numbers(batch.x) == samples.tolist()
    assert torch.equal(batch.y, Y[samples])
    assert batch.unlabelled is None


def test_labelled_samples_are_spread_over_the_classes():
    """As many of each class as of any other, or one more; others for another seed."""
    for count in (10, 20, 25):
        chosen = labelled_samples(DATA, count, seed=3)
        assert len(set(chosen.tolist())) == count
        counts = torch.bincount(Y[chosen], minlength=10)
        assert counts.max() - counts.min() <= 1
    assert labelled_samples(DATA, 20, seed=3).tolist() != labelled_samples(DATA, 20, seed=4).tolist()


def test_more_labelled_samples_than_a_class_has():
    """Small classes give all they have."""
    assert sorted(labelled_samples(DATA, 70, seed=3).tolist()) == list(range(70))


def test_only_the_labels_that_may_be_read_are_kept():
    """All pictures come without labels; those with labels are drawn from the few, without replacement."""
    feed = Feed(DATA, Sparse(), 16, seed=1)
    few, seen = set(labelled_samples(DATA, 20, seed=1).tolist()), set()
    for step in range(50):
        batch = feed.batch(feed.left(step)[0], step)
        drawn = numbers(batch.x)
        assert len(set(drawn)) == len(drawn) == 8
        assert set(drawn) <= few
        assert torch.equal(batch.y, Y[drawn])
        assert len(batch.unlabelled) == 14
        seen |= set(drawn)
    assert seen == few
    assert (feed._y == -1).sum() == 50  # what may not be read is not there to be read


def test_too_few_samples_for_the_labels():
    """An error that says how many there are."""
    with pytest.raises(Rejected) as caught:
        labelled_samples(DATA, 71, seed=0)
    assert caught.value.reason == "TOO_FEW_SAMPLES"
