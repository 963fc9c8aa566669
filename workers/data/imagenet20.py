"""Twenty photographs of ImageNet with their labels, as the package `foolbox` ships them (extra `imagenet`).

They are read out of the installed package's files; foolbox is not imported. Each is resized to 224 x 224 with Pillow's
bicubic filter, whatever its proportions (nineteen are square). Twenty pictures give steps of five points: figures on
them are for orderings and counts.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image

from workers.data.dataset import Dataset, DatasetInfo, SplitInfo
from workers.failures import Rejected

_SIDE: Final = 224  # pixels
_CLASSES: Final = 1000
_LABELS: Final = (243, 559, 438, 990, 949, 853, 609, 609, 915, 455, 541, 630, 741, 471, 129, 99, 251, 22, 317, 305)

# The digest is the SHA-256 of the twenty files' bytes one after the other: the pixels depend on the JPEG decoder.
INFO: Final = DatasetInfo(
    name="imagenet20",
    input_shape=(3, _SIDE, _SIDE),
    classes=_CLASSES,
    splits={"test": SplitInfo(len(_LABELS), tuple(_LABELS.count(label) for label in range(_CLASSES)))},
    digest="d625818dacf79cc40ced71ff12f1d4955c3d2655ae4b047b3c93b1819cb8f3fe",
    description="20 photographs of ImageNet's 1,000 classes at 224x224 pixels, by way of the package foolbox; needs "
    "pip install sparring[imagenet].",
    licence="MIT (foolbox); the photographs remain their owners', for research only",
)


def read() -> Dataset:
    """All twenty pictures as uint8; raises `Rejected`: EXTRA_NOT_INSTALLED, DAMAGED_DATASET."""
    found = importlib.util.find_spec("foolbox")
    if found is None or found.origin is None:
        raise Rejected(
            "EXTRA_NOT_INSTALLED", "imagenet20 needs the package foolbox; pip install sparring[imagenet] brings it"
        )
    folder = Path(found.origin).parent / "data"
    files = [folder / f"imagenet_{number:02d}_{label}.jpg" for number, label in enumerate(_LABELS)]
    missing = [file.name for file in files if not file.is_file()]
    digest = "" if missing else hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    if digest != INFO.digest:
        what = f"{missing[0]} is missing" if missing else f"sha256 {digest}"
        raise Rejected("DAMAGED_DATASET", f"the installed imagenet20 is not the one Sparring was made with: {what}")
    pictures = [torch.from_numpy(_pixels(file)) for file in files]
    return Dataset(torch.stack(pictures).permute(0, 3, 1, 2).contiguous(), torch.tensor(_LABELS), classes=_CLASSES)


def _pixels(file: Path) -> np.ndarray:
    """One picture as uint8 (224, 224, 3)."""
    with Image.open(file) as picture:
        small = picture.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    return np.array(small)
