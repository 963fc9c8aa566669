"""Previews as a person asks for them: what an attack makes of one picture, and what samples look like.

`Client` and `AsyncClient` have `preview` and `samples` as methods of the same arguments. Pictures are messages, bytes
or plain numbers: `picture` makes the message, `values` reads one, and neither needs more than the standard library.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

from sparring import names, requests
from sparring.names import DatasetLike
from sparring.requests import AttackLike, Target
from sparring.v1.models_pb2 import Model
from sparring.v1.preview_pb2 import ListSamplesRequest, Picture, PreviewAttackRequest, SampleName
from sparring.values import Value, fill

ModelsLike = str | Model | Sequence[str | Model]
PictureLike = Picture | tuple[DatasetLike, int]


def preview(
    models: ModelsLike,
    shown: PictureLike,
    attack: AttackLike | None = None,
    *,
    split: str = "",
    label: int | None = None,
    target: Target | None = None,
    seed: int = 0,
    **parameters: Value | None,
) -> PreviewAttackRequest:
    """Look at an attack on one picture: `preview("my-net", ("mnist10k", 7), "fgsm", epsilon=0.1)`.

    `models` are one or two; `shown` is a sample, as (dataset, number in the `split`), or a picture of one's own, whose
    true class is `label`, if there is one. `attack`, `target` and `parameters` are those of an attack job: fgsm, bim,
    iterative_least_likely, pgd or fooling_gradient, 50 steps at most; without an attack the models are only asked.
    Nothing is recorded. Unavailable: no worker answered within 5 seconds, again and again for as long as a call may
    take; ResourceExhausted: too many previews of the tenant are under way.
    """
    chosen = [models] if isinstance(models, str | Model) else models
    request = PreviewAttackRequest(models=[names.model(model) for model in chosen])
    if isinstance(shown, Picture):
        request.drawn.CopyFrom(shown)
    else:
        dataset, index = shown
        request.sample.CopyFrom(SampleName(dataset=names.dataset(dataset), split=split, index=index))
    if attack is not None:
        request.attack.CopyFrom(requests.attack(attack, target, **parameters))
    elif target is not None or parameters:
        raise requests.bad("attack", "a target and parameters are an attack's; name one")
    fill([request], {"seed": seed, "label": label})
    return request


def samples(dataset: DatasetLike, *, split: str = "", offset: int = 0, count: int | None = None) -> ListSamplesRequest:
    """Look at samples of a dataset, 16 unless `count` says so, 64 at most: labels, and pictures in grey levels."""
    request = ListSamplesRequest(dataset=names.dataset(dataset), split=split, offset=offset)
    fill([request], {"count": count})
    return request


def picture(pixels: bytes | Sequence[float], shape: Sequence[int]) -> Picture:
    """Make a picture of `shape` (channels, height, width), row by row, from grey levels or from values in [0, 1].

    Bytes are grey levels, one for each value. InvalidArgument: it has more or fewer values than the shape.
    """
    size = math.prod(shape)
    if len(pixels) != size:
        raise requests.bad("picture", f"the shape {list(shape)} has {size} values, these are {len(pixels)}")
    if isinstance(pixels, bytes):
        return Picture(shape=shape, uint8=pixels)
    return Picture(shape=shape, float32=struct.pack(f"<{size}f", *pixels))


def values(shown: Picture) -> tuple[float, ...]:
    """Return the values of a picture, in [0, 1], row by row."""
    if shown.HasField("uint8"):
        return tuple(level / 255 for level in shown.uint8)
    return struct.unpack(f"<{len(shown.float32) // 4}f", shown.float32)
