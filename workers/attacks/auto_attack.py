"""AutoAttack: four attacks without a parameter to tune, each on the samples that withstood the ones before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Parameters = Mapping[str, float | int | bool | str]


def auto_attack(parameters: Parameters) -> Sequence[tuple[str, Parameters]]:
    """Return the stages of the standard version, (attack, parameters) each.

        x_adv = the first point at the goal of  APGD on cross-entropy,  APGD-T on the DLR,  FAB-T,  Square

    `steps` >= 1 of APGD and FAB for each class; `targets` >= 1 classes, the likeliest first, at most all but the label;
    `queries` >= 1 of Square. With fewer than four classes, for which there is no targeted DLR, APGD-T has the margin.

    Source: arXiv:2003.01690, section 6 and table 2 (100 steps, 9 targets, 5,000 queries); L1: arXiv:2103.01208.
    Differs from the paper in: a sample leaves FAB-T with the first point inside the ball, not with the nearest one. In
    L1 there are as many classes and restarts as in the other norms, not 5 and 5.
    """
    steps, targets = parameters["steps"], parameters["targets"]
    ascent = {"steps": steps, "rho": 0.75, "restarts": 1}
    return [
        ("apgd", {**ascent, "loss": "cross_entropy", "targets": 0}),
        ("apgd", {**ascent, "loss": "dlr", "targets": targets}),
        ("fab", {"steps": steps, "targets": targets, "restarts": 1, "alpha_max": 0.1, "eta": 1.05, "beta": 0.9}),
        ("square", {"queries": parameters["queries"], "p_init": 0.8, "restarts": 1, "loss": "margin"}),
    ]
