"""`dataset.json`: what a mounted folder says of itself.

Every key may be left out:

description   what it is and where it is from, in a sentence
licence       under what licence
size          [height, width] that the pictures of an image folder are brought to
channels      1 or 3 (the default), for an image folder
classes       the class folders of an image folder in the order of the labels; else they are sorted by name
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.failures import Rejected

_MAX_BYTES = 1 << 20
_MAX_SIDE = 4096


@dataclass(frozen=True)
class Description:
    """The content of a `dataset.json`; see above."""

    description: str = ""
    licence: str = ""
    size: tuple[int, int] | None = None
    channels: int = 3
    classes: tuple[str, ...] | None = None


def describe(path: Path) -> Description:
    """The description in the folder `path`; the empty one where there is none."""
    file = path / "dataset.json"
    if not file.is_file():
        return Description()
    if file.stat().st_size > _MAX_BYTES:
        raise _bad(path, f"it is longer than {_MAX_BYTES} bytes")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _bad(path, str(error)) from error
    if not isinstance(content, dict) or not content.keys() <= Description.__dataclass_fields__.keys():
        raise _bad(path, f"it must be an object with no other keys than {', '.join(Description.__dataclass_fields__)}")
    for key, value in content.items():
        if not _fits(key, value):
            raise _bad(path, f"{key} can't be {value!r}")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
    return Description(**values)


def _fits(key: str, value: Any) -> bool:
    match key:
        case "size":
            return isinstance(value, list) and len(value) == 2 and all(_is_side(side) for side in value)
        case "channels":
            return type(value) is int and value in (1, 3)
        case "classes":
            names = isinstance(value, list) and all(isinstance(name, str) for name in value)
            return names and len(set(value)) == len(value) >= 2
        case _:
            return isinstance(value, str)


def _is_side(value: Any) -> bool:
    return type(value) is int and 1 <= value <= _MAX_SIDE


def _bad(path: Path, what: str) -> Rejected:
    return Rejected("BAD_DATASET_JSON", f"the dataset.json of {path.name} can't be used: {what}")
