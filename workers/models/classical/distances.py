"""Squared distances between many points and many references."""

from __future__ import annotations

from torch import Tensor


def squared_distances(x: Tensor, references: Tensor) -> Tensor:
    """Return |x_i - r_j|^2, (N, R), from x (N, D) and references (R, D), differentiable in x.

        |x - r|^2 = |x - c|^2 + |r - c|^2 - 2 (x - c).(r - c),   c the mean of the references

    One matrix product instead of N R D differences. Measured from c, the two squares are of the size of the distance
    itself, so that little cancels: the error is some 1e-6 of the square of the cloud's diameter. Never below 0.
    """
    centre = references.mean(dim=0)
    a, b = x - centre, references - centre
    squares = a.square().sum(dim=1, keepdim=True) + b.square().sum(dim=1)
    return (squares - 2 * a @ b.T).clamp_min(0)
