"""What is compared: one attack with one budget on one net, and which figure it has to reach.

Parameters have our names; each library's file translates them into its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

SMALL_NETS = ("small_standard", "small_robust")
DIGITS = {"small_standard": 0.2, "small_robust": 0.3, "resnet18": 0.1}
MINIMUM_SEARCHES = ("carlini_wagner", "deepfool", "jsma", "ddn", "fmn")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One attack, ready to be given to every library."""

    attack: str
    net: str
    count: int  # samples, attacked as one batch
    quick_count: int
    norm: str = "linf"
    epsilon: float
    parameters: Mapping[str, float | int | bool | str] = field(default_factory=dict)
    # The class that every sample is to be turned into; the samples are those of the other classes. None: untargeted.
    target: int | None = None
    # Ours is timed to the last step of every sample, and once more on the survivors only; the others also with our
    # memory layout and allocator given to them.
    fixed_steps: bool = False
    # Timed rounds, beside the one in which the propagations are counted; 0: that one is timed.
    rounds: int = 4

    @property
    def key(self) -> str:
        """Its name in the results."""
        return f"{self.attack} {self.norm} {self.net}"

    @property
    def minimum(self) -> bool:
        """Whether the shortest way is looked for, so that distances are compared."""
        return self.attack in MINIMUM_SEARCHES


def _in_ball(net: str) -> list[Case]:
    """FGSM, BIM, PGD and MI-FGSM with the same steps everywhere: 20, 40 and 10 on digits, 10 on the ResNet."""
    epsilon, large = DIGITS[net], net == "resnet18"
    count, quick = (64, 16) if large else (200, 40)
    bim, pgd, momentum = (10, 10, 10) if large else (20, 40, 10)
    starts: dict[str, dict[str, float | int | bool | str]] = {
        "fgsm": {},
        "bim": {"steps": bim, "step_size": 2.5 * epsilon / bim},
        "pgd": {
            "steps": pgd,
            "step_size": 2.5 * epsilon / pgd,
            "random_start": True,
            "restarts": 1,
            "loss": "cross_entropy",
        },
        "mi_fgsm": {
            "steps": momentum,
            "step_size": epsilon / momentum,
            "decay": 1.0,
            "nesterov": False,
            "diversity_probability": 0.0,
            "kernel_size": 0,
            "loss": "cross_entropy",
        },
    }
    return [
        Case(
            attack=name,
            net=net,
            count=count,
            quick_count=quick,
            epsilon=epsilon,
            parameters=parameters,
            fixed_steps=True,
        )
        for name, parameters in starts.items()
    ]


def _shortest(net: str) -> list[Case]:
    return [
        Case(
            attack="carlini_wagner",
            net=net,
            count=16,
            quick_count=8,
            norm="l2",
            epsilon=1000.0,
            parameters={
                "search_steps": 5,
                "steps": 100,
                "learning_rate": 0.05,
                "confidence": 0.0,
                "initial_c": 1.0,
                "abort_early": True,
            },
            rounds=2,
        ),
        Case(
            attack="deepfool",
            net=net,
            count=64,
            quick_count=16,
            norm="l2",
            epsilon=1000.0,
            parameters={"steps": 50, "overshoot": 0.02, "candidates": 10},
            rounds=2,
        ),
        Case(
            attack="jsma",
            net=net,
            count=16,
            quick_count=4,
            norm="l0",
            epsilon=1e6,
            parameters={"theta": 1.0, "max_fraction": 0.145, "pairs": True, "use_logits": False},
            target=3,
            rounds=0,
        ),
        Case(
            attack="ddn",
            net=net,
            count=64,
            quick_count=16,
            norm="l2",
            epsilon=1000.0,
            parameters={"steps": 100, "gamma": 0.05, "initial_norm": 1.0},
            rounds=2,
        ),
        Case(
            attack="fmn",
            net=net,
            count=64,
            quick_count=16,
            norm="l2",
            epsilon=1000.0,
            parameters={"steps": 100, "initial_step": 1.0, "gamma_0": 0.05},
            rounds=2,
        ),
    ]


def _strongest(net: str) -> list[Case]:
    epsilon = DIGITS[net]
    return [
        Case(
            attack="apgd",
            net=net,
            count=200,
            quick_count=40,
            epsilon=epsilon,
            parameters={"steps": 100, "restarts": 1, "loss": "cross_entropy", "rho": 0.75, "targets": 0},
            rounds=2,
        ),
        Case(
            attack="square",
            net=net,
            count=64,
            quick_count=16,
            epsilon=epsilon,
            parameters={"queries": 1000, "p_init": 0.8, "restarts": 1, "loss": "margin"},
            rounds=0,
        ),
        Case(
            attack="auto_attack",
            net=net,
            count=60,
            quick_count=8,
            epsilon=epsilon,
            parameters={"version": "standard", "steps": 100, "queries": 5000, "targets": 9},
            rounds=0,
        ),
    ]


CASES: tuple[Case, ...] = (
    *(case for net in (*SMALL_NETS, "resnet18") for case in _in_ball(net)),
    *_shortest("small_standard"),
    *_strongest("small_robust"),
)


def larger(case: Case, times: int) -> Case:
    """The same case with so many times the samples, up to all 2,000; shortest ways are not made larger."""
    return case if case.minimum else replace(case, count=min(times * case.count, 2000))
