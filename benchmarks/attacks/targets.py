"""What the figures have to reach, and what is said where one does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.attacks.side import OURS

Row = dict[str, Any]

FULL, SURVIVORS = OURS
# Times as fast as the fastest peer.
AT_FIXED_STEPS = {"small_standard": 1.5, "small_robust": 1.5, "resnet18": 1.0}
ON_SURVIVORS = {"small_standard": 3.0, "small_robust": 1.3}
# Of the whole ensemble: the part of pyautoattack's time, and the difference in robust accuracy.
ENSEMBLE_TIME, ENSEMBLE_ACCURACY = 0.5, 0.002
# Robust accuracy left by ours, beyond that of any peer with the same budget.
DIFFERENTIAL = 0.005
# Of a mean distance, so that the last bits of a sum do not decide.
SAME_DISTANCE = 1.001


@dataclass(frozen=True)
class Target:
    """One thing that had to be reached."""

    case: str
    sentence: str
    figure: float
    held: bool


def targets(key: str, comparison: Row) -> list[Target]:
    """Every target of one comparison."""
    case, rows = comparison["case"], comparison["rows"]
    peers = {name: row for name, row in rows.items() if "seconds" in row and name not in OURS}
    plain = {name: row for name, row in peers.items() if "favoured" not in name}
    if not plain:
        return []
    if case["fixed_steps"]:
        found = _speeds(key, case["net"], plain)
    elif case["minimum"]:
        found = _shortest(key, rows[SURVIVORS], plain)
    elif case["attack"] == "auto_attack":
        found = _ensemble(key, rows[SURVIVORS], plain["pyautoattack"])
    else:
        found = [_faster(key, plain)]
    ours = {name: row for name, row in rows.items() if name in OURS}
    if not case["minimum"]:
        found.append(_differential(key, ours, plain))
    invalid = sum(row["violations"] for row in ours.values())
    found.append(Target(key, "no result of ours outside box or ball", invalid, invalid == 0))
    return found


def _speeds(key: str, net: str, peers: dict[str, Row]) -> list[Target]:
    bounds = {FULL: AT_FIXED_STEPS.get(net), SURVIVORS: ON_SURVIVORS.get(net)}
    found = []
    for mode, bound in bounds.items():
        if bound is None or (mode == SURVIVORS and key.startswith("fgsm")):
            continue
        name, ratio = _fastest(peers, mode)
        words = "every step" if mode == FULL else "survivors only"
        found.append(Target(key, f"{words}: at least {bound:g} times as fast as {name}", ratio, ratio >= bound))
    return found


def _shortest(key: str, ours: Row, peers: dict[str, Row]) -> list[Target]:
    """Against the best peer: the one that breaks most, and of those the one with the shortest way."""
    best = max(peers, key=lambda name: (peers[name]["success_rate"], -(peers[name]["mean_distance"] or 0.0)))
    lead = ours["success_rate"] - peers[best]["success_rate"]
    found = [Target(key, f"success rate not below that of {best}", lead, lead >= 0)]
    ratio = peers[best]["distance_ratio"][SURVIVORS]
    if ratio is not None:
        found.append(Target(key, f"mean distance not above that of {best}", ratio, ratio <= SAME_DISTANCE))
    return [*found, _faster(key, {best: peers[best]})]


def _ensemble(key: str, ours: Row, theirs: Row) -> list[Target]:
    lead = ours["robust_accuracy"] - theirs["robust_accuracy"]
    part = 1 / theirs["times_ours"][SURVIVORS]
    return [
        Target(key, "robust accuracy within 0.2 points of pyautoattack's", lead, abs(lead) <= ENSEMBLE_ACCURACY),
        Target(key, "robust accuracy not above pyautoattack's", lead, lead <= 0),
        Target(key, f"at most {ENSEMBLE_TIME:g} of pyautoattack's time", part, part <= ENSEMBLE_TIME),
    ]


def _faster(key: str, peers: dict[str, Row]) -> Target:
    name, ratio = _fastest(peers, SURVIVORS)
    return Target(key, f"faster than {name}", ratio, ratio >= 1)


def _differential(key: str, ours: dict[str, Row], peers: dict[str, Row]) -> Target:
    strongest = min(peers, key=lambda name: peers[name]["robust_accuracy"])
    most = max(row["robust_accuracy"] for row in ours.values())
    excess = most - peers[strongest]["robust_accuracy"]
    return Target(key, f"robust accuracy at most half a point above {strongest}'s", excess, excess <= DIFFERENTIAL)


def _fastest(peers: dict[str, Row], mode: str) -> tuple[str, float]:
    ratios = {name: row["times_ours"][mode] for name, row in peers.items()}
    name = min(ratios, key=lambda peer: ratios[peer])
    return name, ratios[name]
