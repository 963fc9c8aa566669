"""How the victim learns: a network by gradient steps, what is fitted, a machine of two classes, or a last layer alone.

`fit` is a function of its arguments, so the model of a clean set and that of a poisoned one differ by the poison only.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workers.data import Dataset
from workers.defenses import StandardTraining
from workers.engine.fitting import FitOptions, fit_model
from workers.engine.frozen import device_of, frozen
from workers.engine.monitor import TrainingMonitor
from workers.engine.train import Optimization, train
from workers.failures import Rejected
from workers.models import Classifier, Signature, build, penultimate
from workers.models.penultimate import features_of
from workers.poisoning.machine import Kernel, classifier, fit_machine, signs

# Architectures that minimise a hinge loss.
SVMS = ("linear_svm", "rbf_svm")
# Samples of one forward pass where nothing is learned.
AT_ONCE = 256
# C of a last layer that is fitted by itself: its weights are as good as free.
LAST_LAYER_COST = 1000.0
# The largest loss: trees and neighbours give some classes no chance at all.
LARGEST = 100.0


class Learner(Protocol):
    """A way to make a model of samples."""

    def fit(self, data: Dataset, *, seed: int, monitor: TrainingMonitor) -> Classifier:
        """A model of these samples, in eval mode; raises Rejected where they make none."""

    def loss_table(self, scores: Tensor) -> Tensor:
        """The loss (N, K) of scores (N, K) under each label in turn."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkLearner:
    """Trains a network from fresh weights: cross-entropy on the samples as they come."""

    # Input shape and classes are those of the data that it is given.
    architecture: str
    optimization: Optimization
    device: torch.device
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def fit(self, data: Dataset, *, seed: int, monitor: TrainingMonitor) -> Classifier:
        """Initial weights, order of samples and dropout are keyed by the seed."""
        signature = Signature(self.architecture, data.input_shape, data.classes, self.mean, self.std)
        model = build(signature, seed=seed).to(self.device)
        return train(model, data, StandardTraining(), self.optimization, seed=seed, monitor=monitor).model

    def loss_table(self, scores: Tensor) -> Tensor:
        """Cross-entropy."""
        return cross_entropies(scores)


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedLearner:
    """Fits what is no neural net, as `engine.fitting` does."""

    architecture: str
    options: FitOptions
    device: torch.device
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def fit(self, data: Dataset, *, seed: int, monitor: TrainingMonitor) -> Classifier:
        """What the fit draws is keyed by the seed; raises Rejected where a class has no sample."""
        signature = Signature(self.architecture, data.input_shape, data.classes, self.mean, self.std)
        on_cpu = data.to(torch.device("cpu"))
        fitted = fit_model(signature, on_cpu, StandardTraining(), self.options, seed=seed, monitor=monitor)
        return fitted.to(self.device)

    def loss_table(self, scores: Tensor) -> Tensor:
        """The hinge loss of the margin for support vector machines, else cross-entropy."""
        return hinges(scores) if self.architecture in SVMS else cross_entropies(scores)


@dataclass(frozen=True, kw_only=True, eq=False)
class MachineLearner:
    """Solves a support vector machine of two classes, with multipliers to be looked at; see `machine`."""

    kernel: Kernel
    cost: float
    device: torch.device

    def fit(self, data: Dataset, *, seed: int, monitor: TrainingMonitor) -> Classifier:
        """Nothing of it is random; raises Rejected where a class has no sample."""
        del seed
        monitor.tick(0.0, "fitting")
        if 0 in data.class_counts():
            raise Rejected("MISSING_CLASS", "a machine of two classes needs samples of both; take more samples")
        x = data.pixels(slice(None)).cpu().flatten(1).double()
        return classifier(fit_machine(self.kernel, x, signs(data.y.cpu()), self.cost), data.input_shape).to(self.device)

    def loss_table(self, scores: Tensor) -> Tensor:
        """The hinge loss max(0, 1 - y f)."""
        return hinges(scores)


@dataclass(frozen=True, kw_only=True, eq=False)
class LastLayerLearner:
    """Transfer learning: everything but the last layer of a network stays; that layer is fitted anew to the samples.

    The last layer is softmax regression on the features, fitted to its minimum by L-BFGS.
    """

    network: Classifier

    def fit(self, data: Dataset, *, seed: int, monitor: TrainingMonitor) -> Classifier:
        """A copy of the network with another last layer; nothing of it is random."""
        z = features(self.network, data)
        options = FitOptions(cost=LAST_LAYER_COST)
        shape = (z.shape[1], 1, 1)
        rows = replace(data, x=z.view(-1, *shape), y=data.y.cpu())
        layer = Signature("softmax_regression", shape, data.classes)
        fitted = fit_model(layer, rows, StandardTraining(), options, seed=seed, monitor=monitor).network
        assert isinstance(fitted, nn.Sequential)
        model = deepcopy(self.network)
        last_layer(model).load_state_dict(fitted[1].state_dict())
        return model

    def loss_table(self, scores: Tensor) -> Tensor:
        """Cross-entropy."""
        return cross_entropies(scores)


def cross_entropies(scores: Tensor) -> Tensor:
    """-log softmax(z)_k under each label k, (N, K)."""
    return (-F.log_softmax(scores, dim=1)).clamp(max=LARGEST)


def hinges(scores: Tensor) -> Tensor:
    """The hinge loss of the margin, max(0, 1 - (z_k - max_{j != k} z_j)), under each label k, (N, K)."""
    top = scores.topk(2, dim=1)
    best = top.values[:, :1].repeat(1, scores.shape[1])
    best.scatter_(1, top.indices[:, :1], top.values[:, 1:2])
    return (1 - (scores - best)).clamp(min=0)


def scores_of(model: Classifier, data: Dataset) -> Tensor:
    """What the model says to each sample, (N, K) float32, on the CPU."""
    device = device_of(model)
    parts = [slice(begin, begin + AT_ONCE) for begin in range(0, len(data), AT_ONCE)]
    with frozen(model), torch.no_grad():
        return torch.cat([model(data.pixels(part).to(device)).float().cpu() for part in parts])


def features(model: Classifier, data: Dataset) -> Tensor:
    """What the last layer is given for each sample, (N, F) float32, on the CPU."""
    device = device_of(model)
    parts = [slice(begin, begin + AT_ONCE) for begin in range(0, len(data), AT_ONCE)]
    with frozen(model), torch.no_grad():
        return torch.cat([feature_pass(model, data.pixels(part).to(device)).float().cpu() for part in parts])


def feature_pass(model: Classifier, x: Tensor) -> Tensor:
    """One pass to the features (N, F) of x (N, C, H, W), with a graph where x has one."""
    return features_of(model, last_layer(model), x)


def last_layer(model: Classifier) -> nn.Linear:
    """The layer that gives the scores; raises Rejected for an architecture that ends otherwise."""
    layer = penultimate.last_layer(model)
    if layer is None:
        message = f"a {model.signature.architecture} does not end with a linear layer over features; take another one"
        raise Rejected("NO_LAST_LAYER", message)
    return layer
