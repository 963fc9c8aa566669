"""What happens to a picture between one file of it and another: light, lens, sensor, JPEG, a print and its photograph.

Nothing was printed or photographed: all of it is simulated, with strengths that were chosen and not measured. Pictures
are x (N, C, H, W) in [0, 1], C = 1 or 3; every function returns pictures of the same shape in [0, 1], and random
numbers come from a generator that is given.

Source: arXiv:1607.02533, sections 3 and 4.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from reproductions.pictures import in_files

Transformation = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Camera:
    """How much may go wrong in a photograph of a print; each photograph draws each number up to there."""

    perspective: float = 0.03  # largest shift of a corner along either side, in shares of the side
    crop: float = 0.03  # largest share of a side that is cut off
    blur: float = 1.0  # largest standard deviation of the lens's blur, in pixels
    brightness: float = 0.1  # in units of pixels in [0, 1]
    contrast: float = 0.1  # largest departure of the factor from 1
    gamma: float = 0.2  # largest departure of the exponent of the print's tones from 1
    noise: float = 0.03  # largest standard deviation of the sensor's noise, in units of pixels in [0, 1]
    quality: int = 60  # lowest quality of the camera's file, 1 to 100


# The artificial transformations by name, with the blurs that suit pictures of 224 pixels a side, or of 28.
BLURS: Final[Mapping[int, tuple[float, float]]] = {224: (1.0, 2.0), 28: (0.5, 1.0)}


def transformations(side: int) -> dict[str, Transformation]:
    """The artificial transformations; digits are blurred half as much."""
    small, large = BLURS[side]
    return {
        "brightness +20": lambda x, _: brightness(x, 20 / 255),
        "brightness -20": lambda x, _: brightness(x, -20 / 255),
        "contrast 0.7": lambda x, _: contrast(x, 0.7),
        "contrast 1.3": lambda x, _: contrast(x, 1.3),
        f"blur {small:g}": lambda x, _: blur(x, small),
        f"blur {large:g}": lambda x, _: blur(x, large),
        "noise 8": lambda x, draw: noise(x, 8 / 255, draw),
        "noise 20": lambda x, draw: noise(x, 20 / 255, draw),
        "JPEG 90": lambda x, _: jpeg(x, 90),
        "JPEG 50": lambda x, _: jpeg(x, 50),
        "JPEG 20": lambda x, _: jpeg(x, 20),
    }


def brightness(x: np.ndarray, shift: float) -> np.ndarray:
    """More or less light: x + shift."""
    return _boxed(x + shift)


def contrast(x: np.ndarray, factor: float) -> np.ndarray:
    """Differences stretched or pressed: m + factor (x - m), m the mean of each picture."""
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    return _boxed(mean + factor * (x - mean))


def noise(x: np.ndarray, sigma: float, draw: np.random.Generator) -> np.ndarray:
    """The sensor's noise: x + sigma n, n ~ N(0, 1)."""
    return _boxed(x + sigma * draw.standard_normal(x.shape))


def blur(x: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur, sigma > 0 in pixels: K x K^T, the rows of K summing to 1, so that nothing is beyond the edge."""
    return _boxed(_kernel(x.shape[2], sigma) @ x @ _kernel(x.shape[3], sigma).T)


def _kernel(size: int, sigma: float) -> np.ndarray:
    place = np.arange(size)
    weights = np.exp(-np.square(place[:, None] - place) / (2 * sigma**2))
    kernel: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return kernel


def jpeg(x: np.ndarray, quality: int) -> np.ndarray:
    """What is read from the JPEG file that is written of each picture, by Pillow; chromas at half the size."""
    return np.stack([_through_a_file(picture, quality) for picture in in_files(x)])


def _through_a_file(pixels: np.ndarray, quality: int) -> np.ndarray:
    with io.BytesIO() as file:
        Image.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, 2)).save(
            file, "JPEG", quality=quality, subsampling=2
        )
        read = np.asarray(Image.open(file), dtype=np.float32) / 255
    return read[None] if read.ndim == 2 else np.moveaxis(read, 2, 0)


def photograph(x: np.ndarray, camera: Camera, draw: np.random.Generator) -> np.ndarray:
    """Print and photograph each picture, simulated: tones, angle and cut, lens, light, sensor, the camera's file."""
    return np.concatenate([_photograph(picture[None], camera, draw) for picture in x])


def _photograph(x: np.ndarray, camera: Camera, draw: np.random.Generator) -> np.ndarray:
    """One picture, (1, C, H, W)."""

    def around(middle: float, most: float) -> float:
        return middle + most * draw.uniform(-1, 1)

    cut, place = camera.crop * draw.random(2), draw.random(2)  # left to right, top to bottom
    near, far = cut * place, 1 - cut * (1 - place)
    corners = np.array([[near[0], near[1]], [far[0], near[1]], [far[0], far[1]], [near[0], far[1]]])
    corners += camera.perspective * draw.uniform(-1, 1, (4, 2))
    printed = x ** around(1, camera.gamma)
    seen = blur(warp(printed, corners), max(camera.blur * draw.random(), 1e-3))
    lit = brightness(contrast(seen, around(1, camera.contrast)), around(0, camera.brightness))
    taken = noise(lit, camera.noise * draw.random(), draw)
    return jpeg(taken, round(100 - (100 - camera.quality) * draw.random()))


def warp(x: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Show what lies at `corners` (4, 2) in the corners of the result, and between them by a projective map; bilinear.

    Corners are (u, v) in shares of the sides, u to the right and v down, from the top left clockwise. Beyond the
    picture its edge is repeated.
    """
    height, width = x.shape[2:]
    v, u = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij")
    a, b, c, d, e, f, g, h = _projective(corners)
    depth = g * u + h * v + 1
    column = np.clip((a * u + b * v + c) / depth * width - 0.5, 0, width - 1)
    row = np.clip((d * u + e * v + f) / depth * height - 0.5, 0, height - 1)
    left, above = np.floor(column).astype(int), np.floor(row).astype(int)
    right, below = np.minimum(left + 1, width - 1), np.minimum(above + 1, height - 1)
    across, down = column - left, row - above
    upper = (1 - across) * x[:, :, above, left] + across * x[:, :, above, right]
    lower = (1 - across) * x[:, :, below, left] + across * x[:, :, below, right]
    return _boxed((1 - down) * upper + down * lower)


def _projective(corners: np.ndarray) -> np.ndarray:
    """The map ((a u + b v + c), (d u + e v + f)) / (g u + h v + 1) from the unit square to four corners: a to h."""
    equations, values = [], []
    for (u, v), (s, t) in zip(((0, 0), (1, 0), (1, 1), (0, 1)), corners, strict=True):
        equations += [[u, v, 1, 0, 0, 0, -s * u, -s * v], [0, 0, 0, u, v, 1, -t * u, -t * v]]
        values += [s, t]
    return np.linalg.solve(np.array(equations), np.array(values))


def _boxed(x: np.ndarray) -> np.ndarray:
    inside: np.ndarray = np.clip(x, 0, 1)
    return inside
