"""Memory of gateway, worker and store while one BIM-10 job attacks 50,000 pictures of 32 x 32 through ResNet-18.

    python benchmarks/memory.py [--count 50000] [--small 5000] [--workers 2] [--out out/benchmarks/memory.json]

The same job is run at two sizes. Peaks (proportional resident memory, sampled twice a second) of the gateway and of a
worker must not grow with it, but for the pictures themselves, which a worker keeps as bytes; the store holds what it is
asked to: the dataset, the shards with their adversarial examples in float32, and the file they are put together to.

The pictures are digits of MNIST, enlarged to 32 x 32, tinted and shifted, no two alike; the network is torchvision's
ResNet-18 with fresh weights, the labels are its own answers, so that every picture is attacked. BIM takes ten steps at
epsilon 8/255. Ends with 1 where a bound does not hold.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import sparring
import torch
from safetensors.torch import save

from services.local import LocalStack
from workers.data import builtin
from workers.models import Signature, build

MIB = 1 << 20
SHAPE, CLASSES = (3, 32, 32), 10
STEPS, EPSILON = 10, 8 / 255
# How much more a process may need for the larger job, beyond the bytes of the pictures that it keeps.
GROWTH_MIB = 100
LIMIT_S = 3600.0


class Watch:
    """A thread that keeps the largest resident memory of each program and of its children."""

    def __init__(self, stack: LocalStack, workers: int) -> None:
        names = ["gateway", "store", *(f"worker-{number}" for number in range(1, workers + 1))]
        self._stack, self._names = stack, names
        self.peaks: dict[str, int] = dict.fromkeys(names, 0)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._left.wait(0.5):
            for name in self._names:
                self.peaks[name] = max(self.peaks[name], resident(self._stack.pid(name)))


def resident(pid: int) -> int:
    """Bytes of a process and its children; 0 for one that is not there.

    Proportional: what a store shares with the child that rewrites its log is there once, and counted once.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    own = sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return own * 1024 + sum(resident(int(child)) for child in children)


def pictures(count: int) -> np.ndarray:
    """`count` pictures (N, 3, 32, 32) uint8, no two alike."""
    digits = builtin("mnist10k", "train")
    rng = np.random.default_rng(0)
    chosen = rng.integers(len(digits.x), size=count)
    found = np.zeros((count, *SHAPE), dtype=np.uint8)
    tints = rng.integers(64, 256, size=(count, 3))
    shifts = rng.integers(0, 5, size=(count, 2))
    source = digits.x.numpy()[:, 0]
    for i in range(count):
        top, left = shifts[i]
        found[i, :, top : top + 28, left : left + 28] = source[chosen[i]] * (tints[i][:, None, None] / 255)
    return found


def as_npy(array: np.ndarray) -> bytes:
    """The bytes of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def run(count: int, workers: int) -> dict[str, object]:
    """One job on a stack of its own; the peaks of its processes in MiB."""
    images = pictures(count)
    model = build(Signature("resnet18", SHAPE, CLASSES), seed=0)
    with torch.no_grad():
        parts = torch.from_numpy(images).split(500)
        labels = torch.cat([model(part.float() / 255).argmax(dim=1) for part in parts]).numpy().astype(np.uint8)
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalStack(workers=workers, data_dir=folder) as stack,
        sparring.connect(stack.target) as client,
    ):
        client.models.upload(
            save({name: value.contiguous() for name, value in model.network.state_dict().items()}),
            architecture="resnet18",
            input_shape=SHAPE,
            classes=CLASSES,
            model_id="resnet",
        )
        idle = {name: resident(stack.pid(name)) for name in ("gateway", "store", "worker-1")}
        with Watch(stack, workers) as watch:
            data = client.datasets.upload(as_npy(images), as_npy(labels), classes=CLASSES, dataset_id="pictures")
            began = time.monotonic()
            job = client.attack("resnet", data, "bim", epsilon=EPSILON, steps=STEPS)
            done = client.jobs.wait(job, timeout_s=LIMIT_S, check=True)
            seconds = time.monotonic() - began
            target = Path(folder) / "examples.safetensors"
            client.artifacts.download(client.jobs.artifact(done, "adversarial"), target)
            size = target.stat().st_size
        (row,) = [row for row in done.result.rows if row.attack == "bim"]
        return {
            "count": count,
            "seconds": round(seconds, 1),
            "examples_mib": round(size / MIB, 1),
            "pictures_mib": round(images.nbytes / MIB, 1),
            "success_rate": row.success_rate.value,
            "idle_mib": {name: round(value / MIB, 1) for name, value in idle.items()},
            "peak_mib": {name: round(value / MIB, 1) for name, value in watch.peaks.items()},
        }


def main() -> int:
    """Print both runs, write the JSON, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--small", type=int, default=5_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks/memory.json"))
    arguments = parser.parse_args()
    runs = [run(count, arguments.workers) for count in (arguments.small, arguments.count)]
    small, large = runs
    bounds = {}
    for name, peak in large["peak_mib"].items():
        if name == "store":
            # Dataset, shards and file, each once, and half as much again for the allocator and what is on its way.
            allowed = large["idle_mib"]["store"] + 1.5 * (large["pictures_mib"] + 2 * large["examples_mib"])
        else:
            more = large["pictures_mib"] - small["pictures_mib"] if name.startswith("worker") else 0
            allowed = small["peak_mib"][name] + 2 * more + GROWTH_MIB
        bounds[name] = {"peak_mib": peak, "allowed_mib": round(allowed, 1), "held": peak <= allowed}
    for one in runs:
        print(
            f"{one['count']} pictures, BIM-{STEPS}: {one['seconds']} s, {one['examples_mib']} MiB of examples, "
            f"success {one['success_rate']:.3f}"
        )
        print("   idle MiB " + ", ".join(f"{name} {value}" for name, value in one["idle_mib"].items()))
        print("   peak MiB " + ", ".join(f"{name} {value}" for name, value in one["peak_mib"].items()))
    for name, bound in bounds.items():
        print(
            f"{name:<10} {bound['peak_mib']:>8} MiB of {bound['allowed_mib']:>8} {'ok' if bound['held'] else 'MISSED'}"
        )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({"runs": runs, "bounds": bounds}, indent=1) + "\n")
    return 0 if all(bound["held"] for bound in bounds.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
