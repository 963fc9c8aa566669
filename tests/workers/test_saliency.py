"""The pixels that are worth most, found without comparing all pairs."""

from __future__ import annotations

import pytest
import torch

from workers import saliency
from workers.saliency import best_pair, best_pixel

GAINS = {
    "independent": lambda a, b: (a, b),
    "opposed": lambda a, b: (a, 0.1 * b - a),
    "equal": lambda a, _: (a, a),
    "tied": lambda a, b: (a.round(), b.round()),
    "mostly losses": lambda a, b: (a - 2, b - 1),
    "tiny": lambda a, b: (1e-38 * a, 1e-38 * b),
}


@pytest.mark.parametrize("at_once", [2**22, 100])
@pytest.mark.parametrize("kind", GAINS)
@pytest.mark.parametrize("count", [1, 2, 3, 50, 120])
def test_the_best_pair_is_the_best_of_all_pairs(kind, count, at_once, monkeypatch):
    """Compared with all D^2 of them, some pixels being out of the domain; in portions too."""
    monkeypatch.setattr(saliency, "_AT_ONCE", at_once)
    generator = torch.Generator().manual_seed(count)
    alpha, beta = GAINS[kind](*torch.randn(2, 20, count, generator=generator))
    allowed = torch.rand(20, count, generator=generator) < 0.8
    gain, loss = ((v.double().unsqueeze(2) + v.double().unsqueeze(1)) for v in (alpha, beta))
    domain = allowed.unsqueeze(2) & allowed.unsqueeze(1) & ~torch.eye(count, dtype=torch.bool)
    worth = (gain * loss).masked_fill(~(domain & (gain > 0) & (loss > 0)), 0)
    pair, found = best_pair(alpha, beta, allowed)
    best = worth.flatten(1).amax(dim=1)
    assert torch.equal(found, best > 0)
    rows = torch.arange(20)[found]
    assert torch.equal(worth[rows, pair[found, 0], pair[found, 1]], best[found])


def test_few_of_many_pixels_are_compared():
    """Of 20,000 some dozens are in no other's shadow: no matrix of 4 10^8 pairs is made, and none drawn is better."""
    generator = torch.Generator().manual_seed(0)
    alpha, beta = torch.randn(2, 2, 20_000, generator=generator).double()
    order = alpha.argsort(dim=1, descending=True)
    assert (beta.gather(1, order) > saliency._second_largest_before(beta.gather(1, order))).sum(dim=1).max() < 60
    pair, found = best_pair(alpha, beta, torch.ones_like(alpha, dtype=torch.bool))
    assert found.all()
    drawn = torch.randint(20_000, (2, 2, 100_000), generator=generator)
    of_drawn = [v.unsqueeze(1).expand(2, 2, -1).gather(2, drawn).sum(dim=1) for v in (alpha, beta)]
    best = (of_drawn[0].clamp_min(0) * of_drawn[1].clamp_min(0)).amax(dim=1)
    assert (alpha.gather(1, pair).sum(dim=1) * beta.gather(1, pair).sum(dim=1) > best).all()


def test_the_best_pixel_is_the_best_of_all():
    """The same by one pixel at a time."""
    alpha, beta = (
        torch.tensor([[2.0, 3.0, 9.0, -4.0], [1.0, 1.0, -1.0, 1.0]]),
        torch.tensor([[5.0, 2, 9, -4]]).expand(2, -1),
    )
    pixel, found = best_pixel(alpha, beta, torch.tensor([[True, True, False, True], [False, False, True, True]]))
    assert pixel[0] == 0
    assert found.tolist() == [True, False]
