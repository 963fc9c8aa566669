"""One thread, as every CPU worker has; a learner of seconds, and samples of two and of ten classes."""

from __future__ import annotations

import pytest
import torch

from workers.data import Dataset, builtin
from workers.engine.fitting import FitOptions
from workers.engine.train import Optimization
from workers.poisoning import FittedLearner, NetworkLearner

torch.set_num_threads(1)

CPU = torch.device("cpu")


@pytest.fixture
def train() -> Dataset:
    """600 digits of 8x8 pixels."""
    return builtin("digits", "train").select(0, 600)


@pytest.fixture
def held_out() -> Dataset:
    return builtin("digits", "test").select(0, 200)


@pytest.fixture
def network() -> NetworkLearner:
    optimization = Optimization(epochs=6, batch_size=50, learning_rate=0.02)
    return NetworkLearner(architecture="mlp", optimization=optimization, device=CPU)


@pytest.fixture
def softmax() -> NetworkLearner:
    optimization = Optimization(epochs=10, batch_size=50, learning_rate=0.02)
    return NetworkLearner(architecture="softmax_regression", optimization=optimization, device=CPU)


@pytest.fixture
def svm() -> FittedLearner:
    return FittedLearner(architecture="linear_svm", options=FitOptions(cost=1.0), device=CPU)
