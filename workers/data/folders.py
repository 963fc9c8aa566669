"""Folders of pictures, one folder per class: `train/CLASS/*`, `test/CLASS/*` or `val/CLASS/*`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from workers.data.dataset import Dataset, SplitInfo
from workers.data.description import Description
from workers.failures import Rejected

_FOLDERS = {"train": ("train",), "test": ("test", "val")}
_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm"})
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "PPM")
_MAX_PIXELS = 64 * 1024 * 1024
_MAX_SIDE = 4096


def recognises(path: Path) -> bool:
    """Whether `path` holds a split with class folders."""
    return any(_class_folders(folder) for folder in _splits(path).values())


def survey(path: Path, description: Description) -> tuple[tuple[int, int, int], int, Mapping[str, SplitInfo]]:
    """Input shape, number of classes, splits; lists every folder and opens one picture at most."""
    classes = _classes(path, description)
    files = {split: _files(folder, classes) for split, folder in _splits(path).items()}
    splits = {}
    for split, listed in files.items():
        if not listed:
            raise Rejected("EMPTY_DATASET", f"{path.name} has no picture in {split}")
        counts = np.bincount([label for _, label in listed], minlength=len(classes))
        splits[split] = SplitInfo(len(listed), tuple(counts.tolist()))
    size = description.size
    if size is None:
        size = _size(next(iter(files.values()))[0][0], path)
    return (description.channels, *size), len(classes), splits


def read(path: Path, description: Description, split: str, offset: int, count: int) -> Dataset:
    """Samples of one split; opens only the pictures that are asked for."""
    folders = _splits(path)
    if split not in folders:
        raise Rejected("UNKNOWN_SPLIT", f"{path.name} has no split {split!r}; it has {', '.join(folders)}")
    shape, classes, _ = survey(path, description)
    listed = _files(folders[split], _classes(path, description))
    # The numbers of the samples stand in for their pictures until the selection is known to be within the split.
    everything = Dataset(torch.arange(len(listed)), torch.tensor([label for _, label in listed]), classes)
    chosen = everything.select(offset, count)
    pictures = [_picture(listed[number][0], path, shape, crop=description.size is not None) for number in chosen.x]
    return Dataset(torch.stack(pictures), chosen.y, classes)


def _splits(path: Path) -> dict[str, Path]:
    found = {}
    for split, names in _FOLDERS.items():
        folder = next((path / name for name in names if (path / name).is_dir()), None)
        if folder is not None:
            found[split] = folder
    return found


def _class_folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir())


def _classes(path: Path, description: Description) -> tuple[str, ...]:
    """The names of the classes in the order of their labels, the same for every split."""
    if description.classes is not None:
        return description.classes
    names = sorted({name for folder in _splits(path).values() for name in _class_folders(folder)})
    if len(names) < 2:
        raise Rejected("TOO_FEW_CLASSES", f"{path.name} has {len(names)} class folder; there must be 2 or more")
    return tuple(names)


def _files(folder: Path, classes: tuple[str, ...]) -> list[tuple[Path, int]]:
    """Every picture with its label, in the order that torchvision's ImageFolder has."""
    return [
        (Path(parent) / file, label)
        for label, name in enumerate(classes)
        for parent, _, files in sorted(os.walk(folder / name))
        for file in sorted(files)
        if Path(file).suffix.lower() in _SUFFIXES
    ]


def _open(file: Path, path: Path) -> Image.Image:
    """The picture, not decoded yet: of an allowed format, and of a size that can be afforded."""
    try:
        image = Image.open(file, formats=_FORMATS)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise _malformed(file, path) from error
    if image.width * image.height > _MAX_PIXELS:
        raise Rejected("IMAGE_TOO_LARGE", f"{file.relative_to(path)} has more than {_MAX_PIXELS} pixels")
    return image


def _size(file: Path, path: Path) -> tuple[int, int]:
    with _open(file, path) as image:
        if max(image.size) > _MAX_SIDE:
            raise Rejected("IMAGE_TOO_LARGE", f"{file.relative_to(path)} has a side above {_MAX_SIDE}; say a `size`")
        return image.height, image.width


def _picture(file: Path, path: Path, shape: tuple[int, int, int], *, crop: bool) -> Tensor:
    """One picture as uint8 (C, H, W); with `crop` scaled to cover the size and cut to its middle."""
    channels, height, width = shape
    with _open(file, path) as image:
        if not crop and (image.height, image.width) != (height, width):
            raise Rejected(
                "WRONG_SHAPE",
                f"{file.relative_to(path)} is {image.height}x{image.width}, the first picture {height}x{width}; "
                'put {"size": [height, width]} into dataset.json',
            )
        try:
            decoded = image.convert("L" if channels == 1 else "RGB")
        except (OSError, ValueError, SyntaxError) as error:
            raise _malformed(file, path) from error
    if crop:
        decoded = ImageOps.fit(decoded, (width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(decoded).reshape(height, width, channels)).permute(2, 0, 1)


def _malformed(file: Path, path: Path) -> Rejected:
    return Rejected("MALFORMED_IMAGE", f"{file.relative_to(path)} can't be decoded; it must be {', '.join(_FORMATS)}")
