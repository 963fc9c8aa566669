"""Pictures for `linear.py`: digits, what is added to them, and what they become."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from workers.attacks.linear_nudge import linear_nudge
from workers.goals import Targeted
from workers.models import Classifier
from workers.threats import Linf

# Pixels on the screen of one pixel, the space around a picture, and the height of a line of text.
SCALE, SPACE, LINE = 3, 6, 14
CELL = 28 * SCALE + SPACE


def sheet_picture(path: Path, model: Classifier, x: Tensor, y: Tensor) -> None:
    """Draw one digit of each class turned into each class at the least perturbation; the diagonal is untouched."""
    rows = [int((y == digit).nonzero()[0, 0]) for digit in range(10)]
    sheet, _ = _blank(
        10, 10, "rows: the digit; columns: the class that softmax regression sees, as little changed as can be"
    )
    for line, row in enumerate(rows):
        start, goal = x[row].repeat(10, 1, 1, 1), Targeted(torch.arange(10))
        x_adv = linear_nudge(model, start, goal, Linf(1.0), margin=1.02)
        for column in range(10):
            own = x[row] if column == int(y[row]) else x_adv[column]
            _paste(sheet, own[0], column, line, top=LINE)
    sheet.save(path, optimize=True)


def decay_picture(path: Path, models: Mapping[float, Classifier], x: Tensor, y: Tensor) -> None:
    """Draw, for each weight decay, three digits, what is added to make them a 3, and the result."""
    rows, target = [int((y == digit).nonzero()[1, 0]) for digit in (7, 0, 4)], 3
    sheet, pen = _blank(9, len(models), "each: digit, what is added (grey is nothing), what is seen as a 3", extra=LINE)
    for line, (decay, model) in enumerate(models.items()):
        x_adv = linear_nudge(model, x[rows], Targeted(torch.full((3,), target)), Linf(1.0), margin=1.02)
        far = Linf(1.0).distance(x_adv, x[rows])
        top = LINE + line * (CELL + LINE)
        numbers = ", ".join(f"{value:.3f}" for value in far.tolist())
        pen.text((SPACE, top), f"weight decay {decay:g}; largest change of a pixel: {numbers}", fill=0)
        for place in range(3):
            added = 0.5 + (x_adv[place] - x[rows[place]]) / (2 * far[place])
            for part, picture in enumerate((x[rows[place]], added, x_adv[place])):
                _paste(sheet, picture[0], 3 * place + part, 0, top=top + LINE)
    sheet.save(path, optimize=True)


def _blank(columns: int, lines: int, title: str, *, extra: int = 0) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Return a white sheet for so many pictures, with its title, and what draws on it."""
    sheet = Image.new("L", (columns * CELL + SPACE, lines * (CELL + extra) + LINE + SPACE), 255)
    pen = ImageDraw.Draw(sheet)
    pen.text((SPACE, 1), title, fill=0)
    return sheet, pen


def _paste(sheet: Image.Image, pixels: Tensor, column: int, line: int, *, top: int) -> None:
    """Put a picture (28, 28) in [0, 1] where it belongs, enlarged."""
    grey = Image.fromarray((pixels * 255).round().clamp(0, 255).byte().numpy())
    large = grey.resize((28 * SCALE, 28 * SCALE), Image.Resampling.NEAREST)
    sheet.paste(large, (SPACE + column * CELL, SPACE + top + line * CELL))
