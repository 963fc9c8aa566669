"""Attacks that users bring along: packages with an entry point in the group `sparring.attacks`.

    # pyproject.toml of the user's package
    [project.entry-points."sparring.attacks"]
    coin_flip = "my_package.coin_flip:PLUGIN"

    # my_package/coin_flip.py
    PLUGIN = Plugin(entry=AttackEntry(coin_flip, frozenset({"steps"})), defaults={"steps": 10})

The function is written as those in `workers.attacks` are, and gets what they get: batches, restarts, targets,
survivors, seeds, cost, progress, cancelling and verification. It is asked for by `plugin:name=coin_flip`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from workers.attacks import AttackEntry
from workers.failures import Rejected, words

GROUP: Final = "sparring.attacks"


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """An attack from outside: what the engine must know of it, and what its parameters are where nothing is said.

    Every parameter of `entry` needs a default, and arrives as a float. `entry.engine_parameters` may be `restarts` and
    `loss` is cross-entropy.
    """

    entry: AttackEntry
    defaults: Mapping[str, float] = field(default_factory=dict)


def load(name: str) -> Plugin:
    """Return the plug-in of that name; raises `Rejected` where there is none, or it is no plug-in."""
    found = installed()
    if name not in found:
        there = ", ".join(sorted(found)) if found else "none"
        raise Rejected(
            "UNKNOWN_PLUGIN",
            f"no plug-in {name!r} is installed beside this worker (there: {there}); install the package that has it "
            f"in the entry-point group {GROUP!r} in every worker",
        )
    return _loaded(found[name])


def installed() -> dict[str, EntryPoint]:
    """Return the plug-ins that are installed, by name; of two with one name the first."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, point)
    return found


def parameters(plugin: Plugin, given: Mapping[str, float | int | bool | str]) -> dict[str, float]:
    """Return the plug-in's parameters, `given` ones in the place of defaults; raises `Rejected` for others."""
    unknown = sorted(set(given) - set(plugin.defaults))
    if unknown:
        raise Rejected("BAD_ATTACK_PARAMETERS", f"the plug-in takes {sorted(plugin.defaults)}, not {unknown}")
    values = {name: float(given.get(name, value)) for name, value in plugin.defaults.items()}
    odd = [name for name, value in values.items() if not math.isfinite(value)]
    if odd:
        raise Rejected("BAD_ATTACK_PARAMETERS", f"the plug-in's parameters {odd} must be finite numbers")
    return values


@functools.cache
def _loaded(point: EntryPoint) -> Plugin:
    try:
        plugin = point.load()
    except Exception as error:
        raise Rejected("BROKEN_PLUGIN", f"the plug-in {point.name!r} can't be imported: {words(error)}") from error
    if not isinstance(plugin, Plugin):
        raise Rejected(
            "BROKEN_PLUGIN", f"{point.value} is {type(plugin).__name__}, and must be a workers.plugins.Plugin"
        )
    missing = sorted((plugin.entry.parameters | plugin.entry.engine_parameters) - set(plugin.defaults))
    if missing or plugin.entry.run is None:
        raise Rejected("BROKEN_PLUGIN", f"the plug-in {point.name!r} needs a function, and defaults for {missing}")
    return plugin
