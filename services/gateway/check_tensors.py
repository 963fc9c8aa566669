"""The tensors of an uploaded model against what its architecture is made of, as far as the header of the file tells."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from sparring.v1 import models_pb2

from services.artifacts.headers import TensorInfo
from services.gateway import catalog
from services.gateway.names import shown


def check_tensors(signature: models_pb2.ModelSignature, tensors: Mapping[str, TensorInfo]) -> Iterator[str]:
    """Say what is wrong with the tensors of a fitted model; those of a network are the worker's to check.

    A letter of a shape stands for the same size in every tensor: D for the values of an input, K for the classes; the
    others stand for what the fit found, one at least.
    """
    wanted = catalog.architectures()[signature.architecture].tensors
    if wanted is None:
        return
    if tensors.keys() != wanted.keys():
        yield f"a {signature.architecture} has the tensors {', '.join(wanted)}, not {_listed(tensors)}"
        return
    sizes = {"D": math.prod(signature.input_shape), "K": signature.classes}
    for name, text in wanted.items():
        dtype, _, letters = text.partition(" ")
        tensor = tensors[name]
        if tensor.dtype != dtype or len(tensor.shape) != len(letters):
            yield f"tensor {name!r} is {_described(tensor)}; {dtype} of {len(letters)} dimensions is needed"
            continue
        for letter, size in zip(letters, tensor.shape, strict=True):
            known = sizes.setdefault(letter, size)
            if size != known or size == 0:
                yield f"tensor {name!r} is {_described(tensor)}; {letter} of {letters} must be {max(1, known)}"


def _described(tensor: TensorInfo) -> str:
    return f"{tensor.dtype}{list(tensor.shape)}"


def _listed(tensors: Mapping[str, TensorInfo]) -> str:
    return ", ".join(shown(name) for name in list(tensors)[:8])
