"""Fooling images by MAP-Elites, pixel by pixel."""

from __future__ import annotations

from torch import Tensor

from workers.fooling import Direct, Judge, evolve, first_stream
from workers.goals import Goal, Model
from workers.threats import Ball, Generators


def fooling_map_elites(
    model: Model,
    x: Tensor,
    goal: Goal,
    ball: Ball,
    *,
    generations: int,
    offspring: int,
    mutation_rate: float,
    eta_m: float,
    generator: Generators,
) -> Tensor:
    """Evolve pictures with one champion per class; a child becomes champion of every class that it is better at.

        child = polynomial mutation of a random champion, pixel by pixel with probability mutation_rate
        for each class c:   champion_c = child where p(c | child) > p(c | champion_c)

    The whole batch is one archive, of the classes that are its goals; row i gets the champion of its class. Of `x`
    (N, ...) only the shape is used, and its ball where epsilon < 1: the champions are drawn into it at the end.
    `generations` >= 1; `offspring` >= 1 pictures in each and in the first, random one; 0 <= `mutation_rate` <= 1;
    `eta_m` >= 0. The random numbers are those of the first row. Returns (N, ...), detached.

    Source: arXiv:1412.1897, section 2.2 (MAP-Elites) and 2.3 (direct encoding).
    Differs from the paper in: pictures of several channels are mutated in their own channels, not in hue, saturation
    and brightness. See `workers.fooling`.
    """
    stream = first_stream(generator)
    judge = Judge(goal, model, count=len(x))
    encoding = Direct(like=x[0], mutation_rate=mutation_rate, eta_m=eta_m, generator=stream)
    champions = evolve(encoding, judge, generations=generations, offspring=offspring, generator=stream)
    return ball.around(x).project(champions.pictures[judge.row])
