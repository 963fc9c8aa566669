"""What is watched while a network is trained, and what follows from it: which epoch is kept, when one goes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

import torch

from workers.data import Dataset
from workers.engine.seeds import key
from workers.failures import Rejected

# Purpose of a random stream; see `seeds.key`.
_HELD_OUT: Final = -10

# Roll-backs of one training; at the next trip it ends with the best weights that it had.
MOST_ROLLBACKS: Final = 3


@dataclass(frozen=True, kw_only=True)
class Validation:
    """How a training is watched; mirrors `sparring.v1.Validation`, where ranges and defaults stand.

    Off where both `held_out` and `overfitting_drop` are 0, and then it costs nothing.
    """

    held_out: float = 0.0
    select: Literal["last", "robust", "clean"] = "last"
    probe_epsilon: float = 0.3
    probe_steps: int = 10
    probe_samples: int = 500
    overfitting_drop: float = 0.0
    probe_every: int = 1

    @property
    def on(self) -> bool:
        """Whether anything is watched."""
        return self.held_out > 0 or self.overfitting_drop > 0

    @property
    def selects(self) -> bool:
        """Whether the result may be another epoch's weights than the last one's."""
        return self.select in {"robust", "clean"}


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Shares of samples that were right after an epoch, counted over the whole training from 1 on.

    The held-out ones are None where nothing is held out; "robust" is under PGD, whether or not the sample was right
    clean. `rolled_back`: the training went back to earlier weights because of it.
    """

    epoch: int
    held_out_clean: float | None
    held_out_robust: float | None
    probe_clean: float
    probe_robust: float
    rolled_back: bool = False


def split(data: Dataset, validation: Validation, seed: int) -> tuple[Dataset, Dataset | None]:
    """The samples to learn from, and those that are held out, if any: the same share of each class, drawn by `seed`.

    Both come in a drawn order, of which every beginning has all classes; without a share both are as they were.
    Raises Rejected where the share is too small to hold out a single sample, or where it is needed and 0.
    """
    if validation.selects and not validation.held_out:
        raise Rejected(
            "NOTHING_HELD_OUT", f"select {validation.select} judges on held-out samples; set held_out above 0"
        )
    if not validation.held_out:
        return data, None
    order = shuffled(data, seed)
    y = data.y[order]
    place = torch.zeros_like(y)
    for label in range(data.classes):
        own = y == label
        place[own] = torch.arange(int(own.sum()), device=y.device)
    shares = (torch.bincount(y, minlength=data.classes) * validation.held_out).long()
    out = place < shares[y]
    if not bool(out.any()):
        raise Rejected(
            "TOO_FEW_SAMPLES",
            f"held_out {validation.held_out:g} of {len(data)} samples is less than one of each class; "
            "hold out a larger part, or learn from more samples",
        )
    return _taken(data, order[~out]), _taken(data, order[out])


def probed(data: Dataset, validation: Validation, seed: int) -> Dataset:
    """The samples that are looked at: `probe_samples` of them at most, drawn by `seed`."""
    return _taken(data, shuffled(data, seed)[: validation.probe_samples])


def shuffled(data: Dataset, seed: int) -> torch.Tensor:
    """The numbers of all samples in a drawn order, (N,) int64."""
    generator = torch.Generator().manual_seed(key(seed, 0, _HELD_OUT))
    return torch.randperm(len(data), generator=generator).to(data.y.device)


def _taken(data: Dataset, samples: torch.Tensor) -> Dataset:
    return replace(data, x=data.x[samples], y=data.y[samples])


def overfits(validation: Validation, probes: Sequence[Probe], latest: Probe) -> bool:
    """Whether accuracy under PGD on samples that are learned from has fallen too far below the best before it.

    A network that has learned to answer its own one-step examples, and nothing else, is right under no PGD, all of a
    sudden: catastrophic overfitting (arXiv:2001.03994; its authors' code stops at a drop of 0.2).
    """
    before = [probe.probe_robust for probe in probes if not probe.rolled_back]
    fallen = max(before, default=0.0) - latest.probe_robust
    return validation.overfitting_drop > 0 and fallen > validation.overfitting_drop


def best(validation: Validation, probes: Sequence[Probe]) -> Probe | None:
    """The probe whose weights are selected, the first of equals; None where the last weights are, or none was made."""
    if not validation.selects:
        return None
    return max(
        (probe for probe in probes if not probe.rolled_back), key=lambda probe: _worth(validation, probe), default=None
    )


def _worth(validation: Validation, probe: Probe) -> tuple[float, ...]:
    clean, robust = probe.held_out_clean, probe.held_out_robust
    assert clean is not None
    assert robust is not None
    return (robust, clean) if validation.select == "robust" else (clean, robust)


def steadiest(probes: Sequence[Probe]) -> Probe | None:
    """The probe that a training goes back to: the best under PGD on samples that are learned from, first of equals."""
    return max((probe for probe in probes if not probe.rolled_back), key=lambda probe: probe.probe_robust, default=None)


def plain(probes: Sequence[Probe]) -> list[dict[str, Any]]:
    """Probes as JSON has them."""
    return [asdict(probe) for probe in probes]
