"""How far an attack may go.

A ball knows its `steepest` step, its `distance` and the `shortest` way to a hyperplane; `around(x)` centres it, and
then it can `project` and start at `random`. Every set S(x) is cut with the box [0, 1]^D of valid pixels; `project`
gives the nearest point of both, not of one and then the other. Arithmetic is float32, so a result may be outside by
rounding: at most `TOLERANCE`.

Legend: x (N, ...) clean inputs in [0, 1], point (N, ...) anything; D values per sample; norms run over all but N.
"""

from __future__ import annotations

from typing import Final

from workers.threats.dense import L2, Linf
from workers.threats.region import TOLERANCE, Ball, Generators, PartStream, Radius, Region, draw
from workers.threats.sparse import L0, L1

__all__ = [
    "BALLS",
    "L0",
    "L1",
    "L2",
    "TOLERANCE",
    "Ball",
    "Generators",
    "Linf",
    "PartStream",
    "Radius",
    "Region",
    "draw",
]

# The balls by the name that stands in the contract (NORM_LINF, NORM_L2, ...).
BALLS: Final[dict[str, type[Linf | L2 | L1 | L0]]] = {"linf": Linf, "l2": L2, "l1": L1, "l0": L0}
