"""Fit what is no neural net: scikit-learn does the work, in pieces, while the monitor is told.

What a caller can count on:

* Equal arguments give equal bytes on the same kind of machine with the same number of threads; torch's global random
  state stays as it is.
* `monitor.tick` is called about four times a second. A piece (a tree, a machine, a solver) can't be stopped: where the
  monitor interrupts, the interruption comes out once the piece is done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from workers.data import Dataset
from workers.defenses import AdversarialRefit
from workers.engine.monitor import Monitor, NullMonitor
from workers.engine.seeds import key
from workers.failures import Rejected
from workers.models import Classifier, Signature
from workers.models.classical import fit
from workers.recipe import Recipe

_SILENCE: Final = NullMonitor()
# Seconds between two ticks.
_TICK_S: Final = 0.25
# Purpose of the random stream; see `seeds.key`. scikit-learn takes 32 bits.
_FITTING: Final = -20
_SEEDS: Final = 2**32
# Fitted machine by machine, one for each class.
_MACHINES: Final = ("linear_svm", "rbf_svm")
# Samples that are attacked at once.
_ATTACKED_AT_ONCE: Final = 256


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """What a fit takes; names, ranges and defaults are those of `sparring.v1.FitOptions`.

    An architecture reads those that `_FITS` shows, the others are of no use to it. `kernel_gamma` 0 is 1 / (D var(x)).
    """

    cost: float = 0.1
    kernel_gamma: float = 0.0
    max_depth: int = 20
    min_leaf: int = 1
    trees: int = 100
    neighbors: int = 5
    solver_rounds: int = 1000


def fit_model(
    signature: Signature,
    dataset: Dataset,
    defense: Recipe,
    options: FitOptions,
    *,
    seed: int,
    monitor: Monitor = _SILENCE,
) -> Classifier:
    """Fit a model of the architecture, on the CPU; with `AdversarialRefit` again on what its copies add.

    0 <= `seed` < 2^64. Raises Rejected: MISSING_CLASS, TOO_FEW_SAMPLES, CLASS_MISMATCH, NO_CLOSED_FORM; lets
    `failures.Interrupted` out of the monitor pass.
    """
    _check(signature, dataset)
    x, y = dataset.pixels(slice(None)), dataset.y
    refits = defense.refits if isinstance(defense, AdversarialRefit) and not defense.closed_form else 0
    state = key(seed, 0, _FITTING) % _SEEDS
    job = _Job(signature=signature, options=options, seed=state, monitor=monitor, phases=2 * refits + 1)
    if not isinstance(defense, AdversarialRefit):
        return job.fit(x, y)
    if defense.closed_form:
        return job.fit_worst_case(x, y, defense.epsilon)
    model, parts, labels = job.fit(x, y), [x], [y]
    for _ in range(refits):
        for some in torch.arange(len(y)).split(_ATTACKED_AT_ONCE):  # type: ignore[no-untyped-call]
            job.tick("copies against the last fit")
            copies, theirs = defense.copies(model, x[some], y[some])
            parts.append(copies)
            labels.append(theirs)
            job.advance(len(some) / len(y))
        model = job.fit(torch.cat(parts), torch.cat(labels))
    return model


@dataclass(kw_only=True)
class _Job:
    """One training of a fitted model: fit, copies, fit, copies, ... fit."""

    signature: Signature
    options: FitOptions
    seed: int
    monitor: Monitor
    phases: int
    done: float = 0.0

    def tick(self, message: str) -> None:
        """Say how far it has come, and ask whether to go on."""
        self.monitor.tick(min(1.0, self.done / self.phases), message)

    def advance(self, share: float) -> None:
        """Note a share of the present phase as done."""
        self.done += share

    def fit(self, x: Tensor, y: Tensor) -> Classifier:
        """Fit to x (N, C, H, W) in [0, 1], seen through the model's own normalisation."""
        name = self.signature.architecture
        return self._wrapped(_FITS[name](self._normalized(x), y, self.options, self.seed, self._work))

    def fit_worst_case(self, x: Tensor, y: Tensor, epsilon: float) -> Classifier:
        """Fit a linear model to its own worst case within epsilon, in the units of the pixels."""
        seen = self._normalized(x)
        # How far a value that the network sees moves with its pixel.
        reach = (self._normalized(torch.ones_like(x[:1])) - self._normalized(torch.zeros_like(x[:1]))).flatten()
        name, cost = self.signature.architecture, self.options.cost
        return self._wrapped(fit.worst_case(name, seen, y, reach=epsilon * reach, cost=cost, work=self._work))

    def _normalized(self, x: Tensor) -> Tensor:
        """What the network sees of the pixels."""
        outside = Classifier(self.signature, nn.Identity(), self.signature.input_shape[1:])
        return outside.normalize(x)  # type: ignore[no-any-return]

    def _wrapped(self, model: Classifier) -> Classifier:
        """The same network behind the model's own normalisation."""
        return Classifier(self.signature, model.network, self.signature.input_shape[1:]).eval()

    def _work(self, piece: Callable[[], Any]) -> Any:
        """Do a piece in a thread of its own, and tell the monitor meanwhile."""
        name, options = self.signature.architecture, self.options
        pieces = {"random_forest": options.trees, **dict.fromkeys(_MACHINES, self.signature.classes)}.get(name, 1)
        with ThreadPoolExecutor(1, "fit") as pool:
            future = pool.submit(piece)
            while not future.done():
                self.tick(f"fitting a {name}")
                wait([future], _TICK_S)
            self.advance(1 / pieces)
            return future.result()


# (pixels as the network sees them, labels, options, seed, how to work) -> model.
_Fit = Callable[[Tensor, Tensor, FitOptions, int, fit.Work], Classifier]
_FITS: Final[Mapping[str, _Fit]] = {
    "decision_tree": lambda x, y, given, seed, work: fit.decision_tree(
        x, y, max_depth=given.max_depth, min_leaf=given.min_leaf, seed=seed, work=work
    ),
    "linear_svm": lambda x, y, given, seed, work: fit.linear_svm(
        x, y, cost=given.cost, steps=given.solver_rounds, seed=seed, work=work
    ),
    "nearest_neighbors": lambda x, y, given, _seed, _work: fit.nearest_neighbors(x, y, k=given.neighbors),
    "random_forest": lambda x, y, given, seed, work: fit.random_forest(
        x, y, trees=given.trees, max_depth=given.max_depth, min_leaf=given.min_leaf, seed=seed, work=work
    ),
    "rbf_svm": lambda x, y, given, _seed, work: fit.rbf_svm(
        x, y, cost=given.cost, gamma=given.kernel_gamma if given.kernel_gamma > 0 else None, work=work
    ),
    "softmax_regression": lambda x, y, given, _seed, work: fit.softmax_regression(
        x, y, decay=1 / (given.cost * len(y)), steps=given.solver_rounds, work=work
    ),
}


def _check(signature: Signature, dataset: Dataset) -> None:
    """Every class has a sample, and there are as many of them as the model has."""
    if dataset.input_shape != signature.input_shape or dataset.classes != signature.classes:
        raise Rejected(
            "CLASS_MISMATCH",
            f"the model takes {list(signature.input_shape)} and has {signature.classes} classes, "
            f"the data have {list(dataset.input_shape)} and {dataset.classes}",
        )
    missing = [number for number, count in enumerate(dataset.class_counts()) if count == 0]
    if missing:
        raise Rejected("MISSING_CLASS", f"a fit needs samples of every class; there are none of {missing[:10]}")
