"""MAP-Elites: one champion for each class."""

from __future__ import annotations

import torch

from workers.fooling import Direct, Judge, evolve
from workers.goals import Targeted


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def direct(seed=1):
    return Direct(like=torch.zeros(2, 3), mutation_rate=0.3, eta_m=5, generator=seeded(seed))


def corners(pictures):
    """Three classes: bright, dark, and bright as well."""
    mean = pictures.flatten(1).mean(dim=1)
    return torch.stack([mean, -mean, mean], dim=1)


def test_every_class_gets_fitter_and_never_less_fit():
    """And the last champions are as fit as their fitness says."""
    history = []
    champions = evolve(
        direct(), corners, generations=60, offspring=20, generator=seeded(2), watch=lambda _, f: history.append(f)
    )
    trace = torch.stack(history)
    assert len(trace) == 61
    assert (trace.diff(dim=0) >= 0).all()
    assert (trace[-1] > trace[0] + 0.1).all()
    assert torch.equal(corners(champions.pictures).diagonal(), champions.fitness)
    assert torch.equal(torch.stack(champions.genomes), champions.pictures)


def test_a_child_takes_every_class_that_it_is_best_at():
    """Two classes with the same fitness always have the same champion, although only one can be its parent's."""
    champions = evolve(direct(), corners, generations=20, offspring=5, generator=seeded(3))
    assert torch.equal(champions.pictures[0], champions.pictures[2])
    assert not torch.equal(champions.pictures[0], champions.pictures[1])


def test_a_generation_is_judged_in_one_call():
    """Generations and one more, of as many pictures as asked for."""
    asked = []

    def fitness(pictures):
        asked.append(len(pictures))
        return corners(pictures)

    evolve(direct(), fitness, generations=7, offspring=13, generator=seeded(4))
    assert asked == [13] * 8


def test_the_same_streams_give_the_same_champions():
    """Nothing else is random."""
    first, second, other = (
        evolve(direct(seed), corners, generations=10, offspring=8, generator=seeded(5)).pictures for seed in (6, 6, 7)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


class Spy(Targeted):
    """Notes whom the queries are charged to."""

    def logits(self, model, x, rows=None, *, candidates=True):
        self.__dict__.setdefault("asked", []).append((rows.tolist(), candidates))
        return super().logits(model, x, rows, candidates=candidates)


def test_fitness_is_the_log_probability_of_the_goals_classes_and_is_charged_to_the_rows_in_turn():
    """Classes that two rows share are one; no picture is a candidate for the goal."""
    goal = Spy(torch.tensor([2, 0, 2]))
    judge = Judge(goal, lambda x: 3 * x, count=3)
    pictures = torch.rand(5, 4, generator=seeded(8))
    expected = (3 * pictures).softmax(dim=1).log()[:, [0, 2]]
    assert torch.allclose(judge(pictures), expected)
    assert judge.row.tolist() == [1, 0, 1]
    assert goal.asked == [([0, 1, 2, 0, 1], False)]
