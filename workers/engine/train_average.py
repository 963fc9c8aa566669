"""A running average of a network's weights, which is the result of the training instead of the weights themselves."""

from __future__ import annotations

import copy

import torch

from workers.models import Classifier


def averaged(network: Classifier) -> Classifier:
    """A copy of a network to average into: in eval mode, and nothing in it is learned."""
    return copy.deepcopy(network).eval().requires_grad_(requires_grad=False)


def average(into: Classifier, network: Classifier, decay: float, step: int) -> None:
    """Take the weights after step number `step` of this network, from 1 on, into the average.

        average <- d average + (1 - d) theta,   d = min(decay, (1 + step) / (10 + step))

    The smaller d of the first steps forgets the initial weights. It is the exponential moving average of
    arXiv:2010.03593; the ramp of d is none of that paper's, but TensorFlow's.
    """
    d = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for mean, parameter in zip(into.parameters(), network.parameters(), strict=True):
            mean.lerp_(parameter, 1 - d)


def with_buffers(average: Classifier, network: Classifier) -> Classifier:
    """The average with the network's own buffers: the statistics of batch normalisation are averages already."""
    for mean, buffer in zip(average.buffers(), network.buffers(), strict=True):
        mean.copy_(buffer)
    return average
