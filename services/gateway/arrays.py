"""What the headers of a dataset's files have to say: pictures and labels of fitting types and shapes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from services.artifacts.headers import TensorInfo
from services.artifacts.store import AsyncArtifactStore
from services.errors import InvalidArgument, Violation
from services.gateway.check_signature import check_input_shape
from services.gateway.files import WHOLE, read_tensors

PICTURE_TYPES = frozenset({"U8", "F32"})
LABEL_TYPES = frozenset({"U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64"})


async def read_arrays(artifacts: AsyncArtifactStore, tenant: str, images: str, labels: str) -> tuple[int, list[int]]:
    """Return the number of samples and the shape of one, (channels, height, width).

    `images` and `labels` are digests, equal where one file holds both. Raises NotFound, and InvalidArgument with
    everything that the headers say wrong.
    """
    if images == labels:
        both = await _open(artifacts, tenant, images, "images")
        x, y = _tensor(both, "images", "x"), _tensor(both, "labels", "y", shared=True)
    else:
        pictures, answers = await asyncio.gather(
            _open(artifacts, tenant, images, "images"), _open(artifacts, tenant, labels, "labels")
        )
        x, y = _tensor(pictures, "images", "x"), _tensor(answers, "labels", "y")
    violations = list({found: None for found in (x, y) if isinstance(found, Violation)})
    if isinstance(x, TensorInfo):
        violations += _check_pictures(x)
    if isinstance(y, TensorInfo):
        violations += _check_labels(y)
    if isinstance(x, TensorInfo) and isinstance(y, TensorInfo) and not violations and x.shape[0] != y.shape[0]:
        violations.append(Violation("labels", f"there are {y.shape[0]} labels for {x.shape[0]} pictures"))
    if violations or isinstance(x, Violation):
        raise InvalidArgument(violations)
    return x.shape[0], list(_input_shape(x.shape))


async def _open(
    artifacts: AsyncArtifactStore, tenant: str, digest: str, field: str
) -> Mapping[str, TensorInfo] | Violation:
    """Return the tensors of a file, or what is wrong with it."""
    try:
        return await read_tensors(artifacts, tenant, digest)
    except ValueError as error:
        return Violation(field, str(error))


def _tensor(
    tensors: Mapping[str, TensorInfo] | Violation, field: str, name: str, *, shared: bool = False
) -> TensorInfo | Violation:
    """Return a file's tensor, or what is wrong; a `shared` file has to hold pictures and labels under their names."""
    if isinstance(tensors, Violation):
        return tensors
    if name in tensors:
        return tensors[name]
    if WHOLE not in tensors:
        held = ", ".join(sorted(tensors)[:5])
        return Violation(field, f"the safetensors file has no tensor {name!r}; it has {held or 'none'}")
    if shared:
        return Violation(field, "must be set where images is a .npy file, which holds one array only")
    return tensors[WHOLE]


def _check_pictures(x: TensorInfo) -> list[Violation]:
    """Check type and shape of the pictures."""
    violations = []
    if x.dtype not in PICTURE_TYPES:
        violations.append(Violation("images", f"pictures must be uint8 or float32, not {x.dtype}"))
    if len(x.shape) not in (3, 4) or x.shape[0] == 0:
        violations.append(Violation("images", f"must have shape (N, C, H, W) or (N, H, W), N > 0, not {x.shape}"))
    else:
        violations += check_input_shape(_input_shape(x.shape), "images")
    return violations


def _check_labels(y: TensorInfo) -> list[Violation]:
    """Check type and shape of the labels."""
    violations = []
    if y.dtype not in LABEL_TYPES:
        violations.append(Violation("labels", f"labels must be of an integer type, not {y.dtype}"))
    if len(y.shape) != 1:
        violations.append(Violation("labels", f"must have shape (N,), not {y.shape}"))
    return violations


def _input_shape(shape: Sequence[int]) -> Sequence[int]:
    """Return channels, height, width of pictures (N, C, H, W), or (N, H, W) for one channel."""
    return shape[1:] if len(shape) == 4 else (1, *shape[1:])
