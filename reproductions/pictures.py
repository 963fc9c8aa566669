"""Pictures on the client's side: which of them are chosen, as files have them, and sheets of them to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

# A cell of a sheet: a picture (C, H, W) in [0, 1], and the words below it.
Cell = tuple[np.ndarray, str]

_MARGIN = 4  # pixels around a cell
_WORDS = 12  # pixels of a line of words


def of_each_class(label: np.ndarray, right: np.ndarray, per_class: int) -> np.ndarray:
    """Choose the first samples of each class that are right, class by class: their rows.

    Raises ValueError where a class has too few.
    """
    rows = [np.flatnonzero(right & (label == one))[:per_class] for one in np.unique(label)]
    if any(len(some) < per_class for some in rows):
        raise ValueError(f"a class has fewer than {per_class} samples that are answered rightly; take more samples")
    return np.concatenate(rows)


def in_files(x: np.ndarray) -> np.ndarray:
    """Round pictures in [0, 1] to whole grey levels, as a file has them: uint8."""
    levels: np.ndarray = np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8)
    return levels


def sheet(rows: Sequence[Sequence[Cell]], *, side: int) -> Image:
    """Lay pictures out in rows, each `side` pixels wide and high with its words below; small ones keep their pixels."""
    from PIL import Image as Pillow
    from PIL import ImageDraw

    width, height = side + _MARGIN, side + _MARGIN + _WORDS
    page = Pillow.new("RGB", (width * max(len(row) for row in rows) + _MARGIN, height * len(rows) + _MARGIN), "white")
    pen = ImageDraw.Draw(page)
    for i, row in enumerate(rows):
        for j, (x, words) in enumerate(row):
            corner = (_MARGIN + j * width, _MARGIN + i * height)
            page.paste(_picture(x, side), corner)
            pen.text((corner[0], corner[1] + side), words, fill="black", font_size=10)
    return page


def _picture(x: np.ndarray, side: int) -> Image:
    from PIL import Image as Pillow

    pixels = in_files(x)
    picture = Pillow.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, 2))
    smooth = picture.width > side
    return picture.convert("RGB").resize(
        (side, side), Pillow.Resampling.BICUBIC if smooth else Pillow.Resampling.NEAREST
    )
