"""What the examples have in common: rows of pictures with captions, and bars that are met or missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw
from torch import Tensor

_CAPTION = 14  # pixels
_GAP = 4  # pixels


def sheet(rows: Sequence[Sequence[tuple[Tensor, str]]], *, side: int) -> Image.Image:
    """Pictures (C, H, W) in [0, 1] with a caption each, `side` pixels wide and high, row under row."""
    columns = max(len(row) for row in rows)
    page = Image.new("RGB", (columns * (side + _GAP), len(rows) * (side + _CAPTION + _GAP)), "white")
    draw = ImageDraw.Draw(page)
    for line, row in enumerate(rows):
        for column, (pixels, caption) in enumerate(row):
            corner = column * (side + _GAP), line * (side + _CAPTION + _GAP)
            page.paste(picture(pixels).resize((side, side), _filter(pixels, side)), corner)
            draw.text((corner[0], corner[1] + side + 1), _fitted(caption, draw, side), fill="black")
    return page


def _filter(pixels: Tensor, side: int) -> Image.Resampling:
    """Small pictures are shown pixel by pixel."""
    return Image.Resampling.NEAREST if pixels.shape[2] < side else Image.Resampling.BICUBIC


def _fitted(caption: str, draw: ImageDraw.ImageDraw, side: int) -> str:
    while caption and draw.textlength(caption) > side:
        caption = caption[:-1]
    return caption


def picture(pixels: Tensor) -> Image.Image:
    """One picture (C, H, W) in [0, 1] as Pillow has it."""
    levels = (pixels.detach().cpu() * 255).round().clamp(0, 255).byte()
    return Image.fromarray(levels.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy())


def save(page: Image.Image, path: Path) -> None:
    """As PNG and, smaller, as JPEG, `path` being without an ending."""
    page.save(path.with_suffix(".png"), optimize=True)
    page.save(path.with_suffix(".jpg"), quality=80, optimize=True)


def judge(bars: Mapping[str, bool]) -> int:
    """Print each bar; 1 if one of them was missed, else 0."""
    for bar, met in bars.items():
        print(f"{'OK    ' if met else 'MISSED'} {bar}")
    return 0 if all(bars.values()) else 1
