"""Changes of single pixels: light, contrast, the print's tones, the sensor's noise.

Legend: x (N, C, H, W) in [0, 1]; one number per sample, (N,). Every result is clipped to [0, 1].
"""

from __future__ import annotations

from typing import Final

from torch import Tensor

# Below this a power is a straight line down to 0: its slope at 0 would be infinite for exponents below 1.
_BLACK: Final = 1e-3


def brightness(x: Tensor, shift: Tensor) -> Tensor:
    """More or less light: x + shift, `shift` (N,) in units of pixels in [0, 1]; 20/255 is 20 grey levels."""
    return (x + over(shift, x)).clamp(0, 1)


def contrast(x: Tensor, factor: Tensor) -> Tensor:
    """Differences stretched or pressed: m + factor (x - m), m the mean over the picture's pixels and channels."""
    mean = x.flatten(1).mean(dim=1)
    return (over(mean, x) + over(factor, x) * (x - over(mean, x))).clamp(0, 1)


def gamma(x: Tensor, exponent: Tensor) -> Tensor:
    """The tones of a print: x^exponent, `exponent` (N,) > 0; above 1 the middle darkens."""
    return x * x.clamp_min(_BLACK).pow(over(exponent - 1, x))


def noise(x: Tensor, sigma: Tensor, grain: Tensor) -> Tensor:
    """The sensor's noise: x + sigma grain, `grain` like x drawn from N(0, 1), `sigma` (N,) in units of pixels."""
    return (x + over(sigma, x) * grain).clamp(0, 1)


def over(numbers: Tensor, x: Tensor) -> Tensor:
    """Shape (N,) so that it broadcasts over x (N, ...)."""
    return numbers.view(-1, *[1] * (x.ndim - 1))
