"""Originals, perturbations and adversarial examples as PNG data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from workers.evaluation import words
from workers.evaluation.inputs import DataInfo, RunInfo, SummaryInput
from workers.evaluation.merge import ModelSamples
from workers.evaluation.shard import PICTURES

LARGEST = 96
"""Pixels along the longer side; larger pictures are shown reduced."""

BUDGET = 3_000_000
"""Pixels on one page, so that it stays within about ten megabytes; fewer samples are shown rather than more."""


@dataclass(frozen=True)
class Picture:
    """One picture; `verdict` is "right", "wrong" or "" and colours its caption; `target` is what was aimed at."""

    uri: str
    caption: str
    confidence: str
    verdict: str
    target: str = ""


@dataclass(frozen=True)
class Strip:
    """One attack on the samples of a gallery: what was added, enlarged `gain` times, and what came of it."""

    attack: str
    radius: str
    gain: str
    perturbations: tuple[Picture, ...]
    adversarial: tuple[Picture, ...]


@dataclass(frozen=True)
class Gallery:
    """One model: the originals, and a strip for each attack of the table."""

    model: str
    originals: tuple[Picture, ...]
    strips: tuple[Strip, ...]


def galleries(given: SummaryInput, samples: Sequence[ModelSamples]) -> list[Gallery]:
    """Show the first samples of the selection, the same for every model and attack; none where none were kept."""
    shown = [run for run in given.runs if run.curve is None]
    labels = words.labels(shown, given.runs)
    found = []
    for model, one in zip(given.models, samples, strict=True):
        runs = [run for run in shown if one.runs[run.key].x_adv is not None]
        columns = _columns(one, runs, len(given.models))
        if columns:
            strips = tuple(_strip(given.data, one, run, labels[run.key], columns) for run in runs)
            found.append(Gallery(words.short(model.name), _originals(given.data, one, columns), strips))
    return found


def png(picture: Tensor) -> str:
    """Return a (C, H, W) picture in [0, 1] as a PNG data URI: RGB for three channels, else their mean in grey."""
    levels = (picture.clamp(0, 1) * 255).round().to(torch.uint8)
    if len(picture) == 3:
        image = Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy(), "RGB")
    else:
        grey = levels[0] if len(picture) == 1 else levels.float().mean(0).round().to(torch.uint8)
        image = Image.fromarray(grey.contiguous().numpy(), "L")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _columns(one: ModelSamples, runs: Sequence[RunInfo], models: int) -> int:
    """Return how many samples can be shown without gaps and within the budget; at least 2 where there are any."""
    x = one.clean.x
    if x is None or not runs:
        return 0
    kept = min(PICTURES, len(x), *(_reach(one, run) for run in runs))
    pixels = _reduced(x[:1])[0, 0].numel()
    return min(kept, max(2, BUDGET // (pixels * models * (1 + 2 * len(runs)))))


def _reach(one: ModelSamples, run: RunInfo) -> int:
    x_adv = one.runs[run.key].x_adv
    return 0 if x_adv is None else len(x_adv)


def _reduced(x: Tensor) -> Tensor:
    side = max(x.shape[-2:])
    if side <= LARGEST:
        return x
    size = [max(1, round(length * LARGEST / side)) for length in x.shape[-2:]]
    return interpolate(x, size=size, mode="area")


def _originals(data: DataInfo, one: ModelSamples, columns: int) -> tuple[Picture, ...]:
    assert one.clean.x is not None
    x = _reduced(one.clean.x[:columns])
    pictures = []
    for i in range(columns):
        said, label = int(one.clean.prediction[i]), int(one.clean.label[i])
        caption = (
            class_name(data, label) if said == label else f"{class_name(data, label)}, seen as {class_name(data, said)}"
        )
        verdict = "right" if said == label else "wrong"
        pictures.append(Picture(png(x[i]), caption, words.percent(float(one.clean.confidence[i])), verdict))
    return tuple(pictures)


def _strip(data: DataInfo, one: ModelSamples, info: RunInfo, label: str, columns: int) -> Strip:
    run = one.runs[info.key]
    assert one.clean.x is not None
    assert run.x_adv is not None
    x, x_adv = one.clean.x[:columns], run.x_adv[:columns]
    gain = _gain(x_adv - x)
    enlarged = _reduced(0.5 + gain * (x_adv - x))
    reduced = _reduced(x_adv)
    adversarial = []
    for i in range(columns):
        verdict = "right" if int(run.prediction[i]) == int(one.clean.label[i]) else "wrong"
        said = class_name(data, int(run.prediction[i]))
        target = class_name(data, int(run.target[i])) if info.targeted else ""
        adversarial.append(Picture(png(reduced[i]), said, words.percent(float(run.confidence[i])), verdict, target))
    return Strip(
        label,
        f"{words.NORMS[info.norm]} {words.radius(info.norm, info.epsilon)}",
        f"{gain:g}",
        tuple(Picture(png(enlarged[i]), "", "", "") for i in range(columns)),
        tuple(adversarial),
    )


def _gain(delta: Tensor) -> float:
    """Return the factor, of two digits, that brings the largest change to half the grey scale; 1 for no change."""
    largest = float(delta.abs().max())
    if largest <= 0:
        return 1.0
    return float(f"{min(0.5 / largest, 1e4):.2g}")


def class_name(data: DataInfo, label: int) -> str:
    """Return the name of a class; its number where it has none."""
    return data.class_names[label] if label < len(data.class_names) else str(label)
