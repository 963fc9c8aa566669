"""Pictures from nothing: populations of them, and the archive of champions that they are bred from.

    archive.py    MAP-Elites: `evolve` breeds a generation, judges it in one forward, and keeps the best of every class
    direct.py     `Direct`: a genome is the picture itself
    cppn.py       `Cppn`: a genome is a small network that paints a picture from coordinates
    genome.py     that network, its mutations and its crossover
    operators.py  polynomial mutation and simulated binary crossover

Source: Nguyen, Yosinski, Clune, arXiv:1412.1897, with the settings of its authors' code.
"""

from __future__ import annotations

from workers.fooling.archive import Champions, Encoding, Judge, evolve, first_stream
from workers.fooling.cppn import Cppn
from workers.fooling.direct import Direct
from workers.fooling.genome import Rates

__all__ = ["Champions", "Cppn", "Direct", "Encoding", "Judge", "Rates", "evolve", "first_stream"]
