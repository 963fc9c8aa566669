"""What a GPU gives Sparring: gradients, PGD steps and training steps a second, and the memory that they take.

    python benchmarks/gpu.py [--device cuda] [--quick] [--rounds 5] [--include NAME=FILE ...] [--out FILE]

Two networks of the registry, untrained, seed 0: wong_cnn on 1 x 28 x 28 and resnet18 on 3 x 32 x 32, at several N.

    gradient   forward, cross-entropy and input gradient of a batch: float32 as the engine attacks (TF32 off), with
               TF32, and under bfloat16's autocast
    pgd        PGD (arXiv:1706.06083), Linf 8/255, every sample to the last step: the engine as a job runs it
               (`fastest`, which on a GPU replays CUDA graphs) beside a bare loop that does no more than the update
    training   forward, gradient by the weights and a step of SGD: float32, and bfloat16 as `precision` of a training

Each figure is the median over the rounds of wall-clock times that wait for the device, after one call that is not
counted. Peak memory is torch's, of one call, weights included; None on a CPU. The file carries the device's name and
memory, driver, CUDA, cuDNN and versions. `--device cpu` runs the same code, as the tests do; its figures go to out/.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import platform
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workers.engine.attack import AttackPlan, run_attack
from workers.engine.fastest import fastest
from workers.engine.train_precision import in_bfloat16
from workers.models import Signature, build
from workers.run.device import capacity, processor

RESULTS = Path(__file__).parent / "results"
EPSILON, STEP_SIZE = 8 / 255, 1 / 255
NETS = {"wong_cnn": (1, 28, 28), "resnet18": (3, 32, 32)}
BATCHES, QUICK_BATCHES = (1, 64, 256, 1024), (4,)
STEPS, QUICK_STEPS = 20, 2
HEAD = ("what", "net", "n", "precision", "by", "ms", "samples/s", "MiB")
Row = dict[str, Any]


def network(name: str, device: torch.device) -> nn.Module:
    """An untrained network of the registry in evaluation mode."""
    return build(Signature(name, NETS[name], 10), seed=0).to(device)


def samples(name: str, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Noise (N, C, H, W) in [0, 1] and labels (N,)."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(count, *NETS[name], generator=generator)
    return x.to(device), torch.randint(10, (count,), generator=generator).to(device)


def seconds(work: Callable[[], object], device: torch.device, rounds: int) -> float:
    """The median over the rounds, each until the device is done."""
    times = []
    for number in range(rounds + 1):
        wait_for(device)
        began = time.perf_counter()
        work()
        wait_for(device)
        times.append(time.perf_counter() - began)
        if number == 0:
            times.clear()
    return statistics.median(times)


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_bytes(work: Callable[[], object], device: torch.device) -> int | None:
    """The most memory that tensors took during one call."""
    if device.type != "cuda":
        return None
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    work()
    wait_for(device)
    return int(torch.cuda.max_memory_allocated(device))


@contextlib.contextmanager
def tensor_cores(*, allowed: bool) -> Iterator[None]:
    """TF32 in convolutions and products, on or off; a CPU has none, and takes no notice."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def gradients(name: str, count: int, device: torch.device, rounds: int) -> Iterator[Row]:
    """Input gradients of a batch in each precision that the device has."""
    net = network(name, device).requires_grad_(requires_grad=False)
    x, y = samples(name, count, device)

    def gradient(precision: str) -> Tensor:
        point = x.detach().requires_grad_()
        low = torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else contextlib.nullcontext()
        with low:
            logits = net(point)
        return torch.autograd.grad(F.cross_entropy(logits.float(), y, reduction="sum"), point)[0]

    for precision in ("float32", "tf32", "bfloat16") if device.type == "cuda" else ("float32", "bfloat16"):

        def work(precision: str = precision) -> Tensor:
            return gradient(precision)

        with tensor_cores(allowed=precision == "tf32"):
            took, peak = seconds(work, device, rounds), peak_bytes(work, device)
        yield row(took, count, peak, what="gradient", net=name, n=count, precision=precision, side="bare")


def attacks(name: str, count: int, device: torch.device, rounds: int, steps: int) -> Iterator[Row]:
    """PGD by the engine and by a bare loop; the engine's steps are as many, and its row says by what factor slower."""
    net = network(name, device).requires_grad_(requires_grad=False)
    x, _ = samples(name, count, device)
    with torch.no_grad():
        # So that every sample counts and is attacked.
        y = net(x).argmax(dim=1)
    parameters = {"steps": steps, "step_size": STEP_SIZE, "restarts": 1, "random_start": False, "loss": "cross_entropy"}
    plan, ids, propagator = (
        AttackPlan(name="pgd", epsilon=EPSILON, parameters=parameters),
        torch.arange(count),
        fastest(net),
    )
    low, high = (x - EPSILON).clamp_(min=0), (x + EPSILON).clamp_(max=1)

    def bare() -> Tensor:
        point = x.clone()
        for _ in range(steps):
            point.requires_grad_()
            (gradient,) = torch.autograd.grad(F.cross_entropy(net(point), y, reduction="sum"), point)
            point = point.detach().add_(gradient.sign_(), alpha=STEP_SIZE).clamp_(low, high)
        return point

    def engine() -> Tensor:
        found = run_attack(
            net, x, y, plan, sample_ids=ids, seed=0, batch_size=count, survivors_only=False, propagator=propagator
        )
        return found.x_adv

    with tensor_cores(allowed=False):
        sides = {"bare": bare, "engine": engine}
        took = {side: seconds(work, device, rounds) for side, work in sides.items()}
        peak = {side: peak_bytes(work, device) for side, work in sides.items()}
    for side in sides:
        facts = {"what": "pgd", "net": name, "n": count, "precision": "float32", "side": side, "steps": steps}
        found = row(took[side], count * steps, peak[side], **facts)
        yield {**found, "steps_per_s": steps / took[side], "times_bare": took[side] / took["bare"]}


def trainings(name: str, count: int, device: torch.device, rounds: int) -> Iterator[Row]:
    """One step of SGD in each precision that a training may be asked for."""
    x, y = samples(name, count, device)
    for precision in ("float32", "bfloat16"):
        net = network(name, device).train()
        optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)

        def step(net: nn.Module = net, optimizer: torch.optim.Optimizer = optimizer) -> None:
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()

        with in_bfloat16(net) if precision == "bfloat16" else contextlib.nullcontext():
            took, peak = seconds(step, device, rounds), peak_bytes(step, device)
        yield row(took, count, peak, what="training", net=name, n=count, precision=precision, side="bare")


def row(took_s: float, done: int, peak_bytes: int | None, **facts: Any) -> Row:
    """One line of the table; `done` samples went forward and back."""
    return {**facts, "ms": 1e3 * took_s, "samples_per_s": done / took_s, "peak_bytes": peak_bytes}


def about(device: torch.device) -> dict[str, Any]:
    """The device and the versions of everything that the figures depend on."""
    cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if cuda else processor(),
        "kind": device.type,
        "memory_bytes": capacity(device),
        "threads": torch.get_num_threads(),
        "driver": driver(),
        "cuda": torch.version.cuda if cuda else None,
        "cudnn": torch.backends.cudnn.version() if cuda else None,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in ("torch", "sparring")},
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
    }


def driver() -> str | None:
    """The version of NVIDIA's driver as its own tool says it; None where there is no such tool, or no GPU."""
    if (tool := shutil.which("nvidia-smi")) is None:
        return None
    query = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    said = subprocess.run(query, capture_output=True, text=True, check=False)
    return said.stdout.strip().partition("\n")[0] if said.returncode == 0 and said.stdout.strip() else None


def place(found: dict[str, Any]) -> Path:
    """Where the figures go: those of a GPU beside the others that are kept, by its name; a CPU's to out/."""
    name = re.sub(r"[^a-z0-9]+", "-", found["device"].lower()).strip("-")
    folder = RESULTS if found["kind"] == "cuda" else Path("out/benchmarks")
    return folder / f"gpu-{name}.json"


def measure(device: torch.device, *, quick: bool, rounds: int) -> Iterator[Row]:
    """Every row of the table."""
    for name in NETS:
        for count in QUICK_BATCHES if quick else BATCHES:
            yield from gradients(name, count, device, rounds)
            yield from attacks(name, count, device, rounds, QUICK_STEPS if quick else STEPS)
            yield from trainings(name, count, device, rounds)


def main(arguments: list[str] | None = None) -> int:
    """Print the table and write the JSON; 2 where the device is not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="one small batch and two steps: does it run at all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--include", action="append", default=[], metavar="NAME=FILE", help="put this JSON in, too")
    parser.add_argument(
        "--out", type=Path, help="left out: benchmarks/results/gpu-DEVICE.json, for a CPU out/benchmarks"
    )
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        print(f"torch {torch.__version__} sees no GPU; nothing was measured")
        return 2
    device = torch.device(given.device)
    found = about(device)
    print(json.dumps(found))
    print("{:<9}{:<10}{:>5} {:<9}{:<7}{:>10}{:>14}{:>10}".format(*HEAD))
    rows = []
    for one in measure(device, quick=given.quick, rounds=given.rounds):
        rows.append(one)
        peak = "" if one["peak_bytes"] is None else f"{one['peak_bytes'] / 2**20:.0f}"
        head = "{what:<9}{net:<10}{n:>5} {precision:<9}{side:<7}{ms:>10.3f}{samples_per_s:>14.0f}".format(**one)
        print(f"{head}{peak:>10}", flush=True)
    included = {name: json.loads(Path(file).read_text()) for name, _, file in (i.partition("=") for i in given.include)}
    out = place(found) if given.out is None else given.out
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({**found, "rows": rows, **included}, indent=1) + "\n")
    print(f"written to {out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
