"""Twenty pictures, a network, and what transformations and a simulated camera do to what fools it: see physical.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from workers.attacks.eot_pgd import eot_pgd
from workers.attacks.iterative_least_likely import least_likely
from workers.data import builtin
from workers.goals import Untargeted
from workers.photo import (
    Strengths,
    blur,
    brightness,
    contrast,
    destruction,
    draw_shots,
    jpeg_file,
    noise,
    photograph,
    right_within,
)
from workers.threats import Generators, Linf, draw

BATCH = 5  # pictures at once
PHOTOGRAPHS = 4  # of each picture

# The simulated camera: strengths are chosen, not measured.
CAMERA = Strengths(perspective=0.03, crop=0.03, blur=1.0, jpeg_quality=60, noise=0.03, gamma=0.2)
EOT_PICTURES, EOT_STEPS, EOT_SAMPLES = 8, 10, 4

Column = tuple[str, int]  # method, epsilon in grey levels
Row = dict[str, Any]


def streams(count: int, number: int) -> list[torch.Generator]:
    """One stream of random numbers per picture."""
    return [torch.Generator().manual_seed(1000 * number + picture) for picture in range(count)]


def in_files(x: Tensor) -> Tensor:
    """Whole grey levels, as a file has them."""
    return (x * 255).round() / 255


class Subject:
    """The pictures, and the network that looks at them."""

    def __init__(self, model: torch.nn.Module, *, pictures: int = 0) -> None:
        """Look at the clean pictures, the first few or (0) all of them."""
        data = builtin("imagenet20", "test").select(0, pictures)
        self.model, self.x, self.y = model, data.pixels(slice(None)), data.y
        self.z = self.look(self.x)
        self.rarest = least_likely(self.z)

    def look(self, x: Tensor) -> Tensor:
        """The logits, a few pictures at a time."""
        with torch.no_grad():
            return torch.cat([self.model(part) for part in x.split(BATCH)])

    def figures(self, z: Tensor) -> Row:
        """How many are right at the first guess and within five, how many are y_LL, and how sure the network is."""
        sure = z.softmax(dim=1).amax(dim=1)
        wrong = ~right_within(z, self.y, 1)
        return {
            "top1": int(right_within(z, self.y, 1).sum()),
            "top5": int(right_within(z, self.y, 5).sum()),
            "least_likely": int((z.argmax(dim=1) == self.rarest).sum()),
            "confidence": round(sure.mean().item(), 4),
            "surest_wrong": round(sure[wrong].max().item(), 4) if wrong.any() else 0.0,
        }


def transformations() -> dict[str, tuple[Callable[[Tensor, Generators], Tensor], int]]:
    """What is done to pictures, and how often: once where nothing is drawn."""

    def same(number: float, x: Tensor) -> Tensor:
        return torch.full((len(x),), number)

    def sensor(sigma: float) -> Callable[[Tensor, Generators], Tensor]:
        return lambda x, streams: noise(x, same(sigma / 255, x), draw(torch.randn, x, streams))

    return {
        "brightness +20": (lambda x, _: brightness(x, same(20 / 255, x)), 1),
        "brightness -20": (lambda x, _: brightness(x, same(-20 / 255, x)), 1),
        "contrast 0.7": (lambda x, _: contrast(x, same(0.7, x)), 1),
        "contrast 1.3": (lambda x, _: contrast(x, same(1.3, x)), 1),
        "blur 1": (lambda x, _: blur(x, same(1, x)), 1),
        "blur 2": (lambda x, _: blur(x, same(2, x)), 1),
        "noise 8": (sensor(8), 1),
        "noise 20": (sensor(20), 1),
        "JPEG 90": (lambda x, _: jpeg_file(x, 90), 1),
        "JPEG 50": (lambda x, _: jpeg_file(x, 50), 1),
        "JPEG 20": (lambda x, _: jpeg_file(x, 20), 1),
        "photograph": (lambda x, streams: in_files(photograph(x, draw_shots(CAMERA, x, streams))), PHOTOGRAPHS),
    }


def destroyed(subject: Subject, made: dict[Column, Tensor], columns: list[Column]) -> list[Row]:
    """The destruction rates: of those right when clean and fooled, how many are right again when transformed."""
    fooled = {column: subject.look(made[column]) for column in columns}
    print("\nDestroyed of those fooled, by the first guess:")
    print(" " * 16 + "".join(f"{method + ' ' + str(epsilon):>18s}" for method, epsilon in columns))
    rows = []
    for name, (transform, draws) in transformations().items():
        line = f"  {name:14s}"
        for column in columns:
            x = made[column]
            seen = [subject.look(transform(x, streams(len(x), number))) for number in range(draws)]
            for guesses in (1, 5):
                before = [right_within(z, subject.y, guesses) for z in (subject.z, fooled[column])]
                each = [destruction(*before, right_within(z, subject.y, guesses)) for z in seen]
                back, of = sum(one.destroyed for one in each), sum(one.fooled for one in each)
                row = {"transformation": name, "method": column[0], "epsilon": column[1], "top": guesses}
                rows.append({**row, "destroyed": back, "fooled": of, "rate": back / of if of else None})
                line += f"{f'{back / of:.2f} ({back}/{of})':>18s}" if guesses == 1 and of else ""
        print(line, flush=True)
    return rows


def through_the_camera(subject: Subject, made_by_bim: Tensor) -> list[Row]:
    """BIM against an attack in expectation over photographs, each met by photographs that neither has seen."""
    rows = right_within(subject.z, subject.y, 1).nonzero().squeeze(1)[:EOT_PICTURES]
    x, y, size = subject.x[rows], subject.y[rows], 16 / 255
    strengths = {name: value for name, value in vars(CAMERA).items() if name != "gamma"}
    robust = eot_pgd(
        subject.model,
        x,
        Untargeted(y),
        Linf(size),
        steps=EOT_STEPS,
        step_size=2.5 * size / EOT_STEPS,
        samples=EOT_SAMPLES,
        **strengths,
        generator=streams(len(x), 99),
    )
    figures = []
    print(f"\nStill fooling on {PHOTOGRAPHS} simulated photographs each of {len(x)} pictures, epsilon 16:")
    for method, pixels in (("clean", x), ("bim", made_by_bim[rows]), ("eot_pgd", in_files(robust))):
        shots = [
            in_files(photograph(pixels, draw_shots(CAMERA, pixels, streams(len(x), n)))) for n in range(PHOTOGRAPHS)
        ]
        wrong = sum(int((subject.look(shot).argmax(dim=1) != y).sum()) for shot in shots)
        figures.append({"method": method, "wrong": wrong, "photographs": PHOTOGRAPHS * len(x)})
        print(f"  {method:8s} {wrong} of {PHOTOGRAPHS * len(x)}", flush=True)
    return figures
