"""What the engine could do to a net to make it faster on a CPU: each choice against the bare loop, in one run.

    python -m benchmarks.cpu_choices [--threads 1] [--only small] [--rounds 9]

The bare loop calls the net as it is, in torch's ordinary layout, float32, eager. Choices run one after the other in
every round; a ratio is the median over the rounds of choice / bare, below 1 where the choice is faster. CPU time where
one thread works, wall-clock time otherwise. "first" is the first call, which compiles what is compiled. "off" is the
largest difference of a logit from the bare loop's, as a part of the largest logit.

    gradient   forward, and the gradient of the summed cross-entropy by the input: one step of most attacks
    forward    logits alone: one query of an attack that has no gradients
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.nn import functional as F

from benchmarks.attacks.nets import RECIPES, samples
from workers.engine.memory import keep_memory

Call = Callable[[], Tensor]
# Nets, and the batches they are asked about.
SIZES = {"small_standard": (1, 16, 256), "resnet18": (1, 16, 64)}
LAST = torch.channels_last


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One thing to do, or several."""

    name: str
    weights_last: bool = False
    inputs_last: bool = False
    folded: bool = False  # batch norm into the convolution before it
    compiled: bool = False  # by torch.compile, which is inductor
    bf16: bool = False  # autocast
    mode: str = ""  # forward only: no_grad, inference_mode
    frozen: bool = False  # forward only: torch.jit.freeze and optimize_for_inference (oneDNN)


BARE = Choice(name="bare")
BOTH = Choice(name="channels_last weights and inputs", weights_last=True, inputs_last=True)
EITHER = (
    Choice(name="channels_last weights", weights_last=True),
    BOTH,
    Choice(name="batch norm folded", folded=True),
    replace(BOTH, name="folded, channels_last", folded=True),
    Choice(name="compiled", compiled=True),
    replace(BOTH, name="compiled, channels_last", compiled=True),
    replace(BOTH, name="compiled, folded, channels_last", compiled=True, folded=True),
    Choice(name="bf16 autocast", bf16=True),
    replace(BOTH, name="bf16 autocast, channels_last", bf16=True),
)
FORWARD_ONLY = (
    Choice(name="no_grad", mode="no_grad"),
    Choice(name="inference_mode", mode="inference_mode"),
    Choice(name="frozen for inference", mode="no_grad", frozen=True),
    replace(BOTH, name="frozen for inference, channels_last", mode="no_grad", frozen=True),
)


def prepared(model: nn.Module, x: Tensor, choice: Choice) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """A copy of the net as the choice wants it, and the batch."""
    mine = copy.deepcopy(model).eval().requires_grad_(False)
    if choice.folded:
        mine = fuse(mine)
    if choice.weights_last:
        mine = mine.to(memory_format=LAST)
    x = x.contiguous(memory_format=LAST) if choice.inputs_last else x.contiguous()
    if choice.frozen:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            traced = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(mine, x)))
        return traced, x
    if choice.compiled:
        torch._dynamo.reset()  # noqa: SLF001 - there is no other name for it; each choice compiles anew
        return torch.compile(mine), x
    return mine, x


def call_of(model: nn.Module, x: Tensor, y: Tensor, choice: Choice, work: str) -> Call:
    """One step or one query, as the choice does it; returns logits."""
    network, x = prepared(model, x, choice)
    modes: dict[str, Callable[[], AbstractContextManager[object]]] = {
        "": nullcontext,
        "no_grad": torch.no_grad,
        "inference_mode": torch.inference_mode,
    }

    def look(point: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=choice.bf16):
            return network(point).float()

    def gradient() -> Tensor:
        point = x.detach().requires_grad_()
        logits = look(point)
        torch.autograd.grad(F.cross_entropy(logits, y, reduction="sum"), point)
        return logits.detach()

    def forward() -> Tensor:
        with modes[choice.mode]():
            return look(x).detach()

    return gradient if work == "gradient" else forward


def clock(call: Call, repeats: int, *, cpu: bool) -> float:
    """Seconds of one call, the mean of some."""
    now = time.process_time if cpu else time.perf_counter
    begin = now()
    for _ in range(repeats):
        call()
    return (now() - begin) / repeats


def measure(name: str, count: int, work: str, given: argparse.Namespace) -> list[dict[str, object]]:
    """The rows of one net, one batch size and one kind of work."""
    torch.manual_seed(0)
    model = RECIPES[name].make().to(memory_format=torch.contiguous_format).eval()
    x, y = samples(name, count)
    choices = [
        BARE,
        *EITHER,
        *(FORWARD_ONLY if work == "forward" else ()),
    ]
    if name != "resnet18":
        choices = [choice for choice in choices if not choice.folded]
    calls, rows = {}, {}
    bare = call_of(model, x, y, BARE, work)()
    for choice in choices:
        begin = time.perf_counter()
        try:
            calls[choice.name] = call_of(model, x, y, choice, work)
            logits = calls[choice.name]().clone()
        except Exception as error:  # noqa: BLE001 - a choice that does not work here is a result
            calls.pop(choice.name, None)
            rows[choice.name] = {"failed": f"{type(error).__name__}: {error}"[:200]}
            continue
        off = float((logits - bare).abs().max() / bare.abs().max())
        rows[choice.name] = {"first_s": time.perf_counter() - begin, "off": off}
    cpu = given.threads == 1
    repeats = max(1, round(given.slice / clock(calls["bare"], 2, cpu=False)))
    times: dict[str, list[float]] = {choice: [] for choice in calls}
    for _ in range(given.rounds):
        for choice, call in calls.items():
            times[choice].append(clock(call, repeats, cpu=cpu))
    for choice, spent in times.items():
        ratio = statistics.median(a / b for a, b in zip(spent, times["bare"], strict=True))
        rows[choice] |= {"ms": 1e3 * statistics.median(spent), "ratio": ratio}
    return [{"net": name, "n": count, "work": work, "choice": choice, **row} for choice, row in rows.items()]


def main() -> None:
    """Print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--slice", type=float, default=0.05, help="seconds of one choice in one round, about")
    parser.add_argument("--only", default="", help="nets whose name contains this")
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks/cpu_choices.json"))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_memory()
    rows = []
    print(f"torch {torch.__version__}, {given.threads} thread(s), medians of {given.rounds} rounds")
    for name in (name for name in SIZES if given.only in name):
        for count in SIZES[name]:
            for work in ("gradient", "forward"):
                print(
                    f"\n{name}, N = {count}, {work}\n{'':<36}{'ms':>9}{'ratio':>7}{'first s':>9}{'off':>9}", flush=True
                )
                for row in measure(name, count, work, given):
                    rows.append(row)
                    figures = "{ms:9.3f}{ratio:7.2f}{first_s:9.2f}{off:9.1e}" if "ms" in row else " {failed}"
                    print(f"{row['choice']:<36}" + figures.format(**row), flush=True)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    report = {"torch": torch.__version__, "threads": given.threads, "rows": rows}
    given.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
