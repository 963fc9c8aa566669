"""Fooling images by MAP-Elites, painted by small networks."""

from __future__ import annotations

from torch import Tensor

from workers.fooling import Cppn, Judge, Rates, evolve, first_stream
from workers.goals import Goal, Model
from workers.threats import Ball, Generators


def fooling_cppn(
    model: Model,
    x: Tensor,
    goal: Goal,
    ball: Ball,
    *,
    generations: int,
    offspring: int,
    add_neuron: float,
    remove_neuron: float,
    add_connection: float,
    remove_connection: float,
    change_connection: float,
    mutation_rate: float,
    eta_m: float,
    generator: Generators,
) -> Tensor:
    """Evolve networks that paint a picture from coordinates, with one champion per class.

        pixel at (u, v) = CPPN(u, v, sqrt(u^2 + v^2), 1)
        for each class c:   champion_c = child where p(c | child) > p(c | champion_c)

    Archive, rows, `x` (N, C, H, W) with C = 1 or 3, generator and result are as in `fooling_map_elites`. The rates are
    probabilities: of a child to gain or lose a neuron or a connection or to have a connection moved, and of each weight
    and function to change.

    Source: arXiv:1412.1897, section 2.3 (CPPN encoding), rates of the authors' code. See `workers.fooling.cppn`.
    """
    stream = first_stream(generator)
    judge = Judge(goal, model, count=len(x))
    rates = Rates(
        add_neuron=add_neuron,
        remove_neuron=remove_neuron,
        add_connection=add_connection,
        remove_connection=remove_connection,
        change_connection=change_connection,
        mutation=mutation_rate,
        eta_m=eta_m,
    )
    encoding = Cppn(like=x[0], rates=rates, generator=stream)
    champions = evolve(encoding, judge, generations=generations, offspring=offspring, generator=stream)
    return ball.around(x).project(champions.pictures[judge.row])
