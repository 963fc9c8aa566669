"""How real numbers mutate and cross in evolutionary algorithms.

Source: Deb and Agrawal 1995 (simulated binary crossover), Deb and Goyal 1996 (polynomial mutation); arXiv:1412.1897,
section 2.3, uses both. `uniform` is like `values` drawn from U(0, 1); the larger eta, the nearer results stay.
"""

from __future__ import annotations

from torch import Tensor


def polynomial_mutation(values: Tensor, uniform: Tensor, *, eta: float, low: float, high: float) -> Tensor:
    """Add delta (high - low) and clip, with delta in (-1, 1) of density (eta + 1) / 2 (1 - |delta|)^eta."""
    power = 1 / (eta + 1)
    down = (2 * uniform).pow(power) - 1  # for uniform < 1/2
    up = 1 - (2 * (1 - uniform)).clamp_min(0).pow(power)
    delta = down.where(uniform < 0.5, up)
    return (values + (high - low) * delta).clamp(low, high)


def simulated_binary_crossover(
    values: Tensor, others: Tensor, uniform: Tensor, *, eta: float, low: float, high: float
) -> Tensor:
    """The child nearer to `values`: their middle, plus beta times half of the difference, clipped.

    beta = (2 u)^(1/(eta + 1)) for u <= 1/2, else (1 / (2 (1 - u)))^(1/(eta + 1)).
    """
    power = 1 / (eta + 1)
    shrinking = (2 * uniform).pow(power)
    stretching = (0.5 / (1 - uniform).clamp_min(1e-7)).pow(power)
    beta = shrinking.where(uniform <= 0.5, stretching)
    return ((values + others) / 2 + beta * (values - others) / 2).clamp(low, high)
