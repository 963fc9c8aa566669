"""What makes a step of an attack faster on a GPU, measured before the engine does any of it.

    python benchmarks/cuda_choices.py [--rounds 7] [--out out/benchmarks/cuda_choices.json]

A step is what BIM does: forward, cross-entropy, input gradient, sign, clamp against ready-made bounds; a query is a
forward without a graph, which is what Square does. Each variant is timed by CUDA events over a fixed number of steps,
in rounds that alternate between the variants; the ratio is that of the medians to the eager float32 loop of the same
net and batch. Time to prepare (compiling, capturing) stands beside it.

    channels_last   weights and inputs in NHWC
    bf16            the network under autocast; inputs, gradient, sign and clamp stay float32
    graph           the whole step captured once as a CUDA graph and replayed
    compile         torch.compile of the network, default mode
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STEPS = 20
EPSILON, STEP_SIZE = 8 / 255, 1 / 255
BATCHES = (1, 32, 256, 1024)
VARIANTS = (
    "eager",
    "channels_last",
    "bf16",
    "bf16 channels_last",
    "graph",
    "graph channels_last",
    "graph bf16 channels_last",
    "compile",
    "compile bf16 channels_last",
)


def small_net() -> tuple[nn.Module, tuple[int, int, int]]:
    """Four 3x3 convolutions (32-32-64-64) and fc200 for digits, untrained, seed 0."""
    torch.manual_seed(0)
    layers = (
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 49, 200), nn.ReLU(), nn.Linear(200, 10),
    )  # fmt: skip
    return nn.Sequential(*layers), (1, 28, 28)


def resnet18() -> tuple[nn.Module, tuple[int, int, int]]:
    """torchvision's ResNet-18 with the stem of 32x32 pictures, untrained, seed 0."""
    from torchvision.models import resnet18 as build

    torch.manual_seed(0)
    net = build(num_classes=10)
    net.conv1, net.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    return net, (3, 32, 32)


NETS = {"small": small_net, "resnet18": resnet18}


@dataclass
class Loop:
    """One variant of the loop over one batch."""

    net: nn.Module
    x: Tensor
    y: Tensor
    bf16: bool
    graphed: bool

    def __post_init__(self) -> None:
        """Put everything where a step finds it."""
        self.low, self.high = (self.x - EPSILON).clamp_(min=0), (self.x + EPSILON).clamp_(max=1)
        self.point = self.x.clone().requires_grad_()
        self.logits = self.net(self.x).detach()
        self._step: Callable[[], None] = self._eager_step
        self._query: Callable[[], None] = self._eager_query
        if self.graphed:
            self._step, self._query = self._captured(self._eager_step), self._captured(self._eager_query)

    def attack(self) -> None:
        """Run so many steps from the clean input."""
        with torch.no_grad():
            self.point.copy_(self.x)
        for _ in range(STEPS):
            self._step()

    def ask(self) -> None:
        """Run so many queries."""
        for _ in range(STEPS):
            self._query()

    def _forward(self) -> Tensor:
        with torch.autocast("cuda", torch.bfloat16) if self.bf16 else contextlib.nullcontext():
            logits: Tensor = self.net(self.point)
        return logits.float()

    def _eager_step(self) -> None:
        loss = F.cross_entropy(self._forward(), self.y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, self.point)
        with torch.no_grad():
            self.point.add_(gradient.sign_(), alpha=STEP_SIZE).clamp_(self.low, self.high)

    def _eager_query(self) -> None:
        with torch.no_grad():
            self.logits.copy_(self._forward())

    @staticmethod
    def _captured(work: Callable[[], None]) -> Callable[[], None]:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                work()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
        return graph.replay


def build(name: str, variant: str, count: int) -> tuple[Loop, float]:
    """Prepare a variant; returns it with the seconds that it took."""
    base, shape = NETS[name]()
    x = torch.rand(count, *shape, generator=torch.Generator().manual_seed(1)).cuda()
    net = copy.deepcopy(base).cuda().eval().requires_grad_(requires_grad=False)
    y = net(x).argmax(1)
    torch.cuda.synchronize()
    began = time.perf_counter()
    if "channels_last" in variant:
        net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    if "compile" in variant:
        net = torch.compile(net)
    loop = Loop(net, x, y, bf16="bf16" in variant, graphed="graph" in variant)
    loop.attack()
    loop.ask()
    torch.cuda.synchronize()
    return loop, time.perf_counter() - began


def timed(work: Callable[[], None]) -> float:
    """Milliseconds of one call on the device."""
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    begin.record()
    work()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end)


def measure(name: str, count: int, rounds: int) -> list[dict[str, object]]:
    """All variants of one net and batch."""
    loops = {variant: build(name, variant, count) for variant in VARIANTS}
    steps: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    queries: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for _ in range(rounds):
        for variant, (loop, _) in loops.items():
            steps[variant].append(timed(loop.attack) / STEPS)
            queries[variant].append(timed(loop.ask) / STEPS)
    base_step, base_query = statistics.median(steps["eager"]), statistics.median(queries["eager"])
    reference = loops["eager"][0].point.detach()
    return [
        {
            "net": name,
            "n": count,
            "variant": variant,
            "step_ms": statistics.median(steps[variant]),
            "step_ratio": statistics.median(steps[variant]) / base_step,
            "query_ms": statistics.median(queries[variant]),
            "query_ratio": statistics.median(queries[variant]) / base_query,
            "prepare_s": prepare_s,
            "pixels_as_eager": float((loop.point.detach() - reference).abs().lt(1e-6).float().mean()),
        }
        for variant, (loop, prepare_s) in loops.items()
    ]


def main() -> int:
    """Print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks/cuda_choices.json"))
    arguments = parser.parse_args()
    rows = []
    print(
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}, "
        f"{STEPS} steps a call, medians of {arguments.rounds} rounds"
    )
    head = ("net", "n", "variant", "step ms", "ratio", "query ms", "ratio", "prepare s", "same pixels")
    print("{:<9}{:>5} {:<27}{:>9}{:>7}{:>10}{:>7}{:>10}{:>12}".format(*head))
    for name in NETS:
        for count in BATCHES:
            for row in measure(name, count, arguments.rounds):
                rows.append(row)
                print(
                    "{net:<9}{n:>5} {variant:<27}{step_ms:>9.3f}{step_ratio:>7.2f}{query_ms:>10.3f}{query_ratio:>7.2f}"
                    "{prepare_s:>10.2f}{pixels_as_eager:>12.3f}".format(**row),
                    flush=True,
                )
    report = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "rows": rows}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
