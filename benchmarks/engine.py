"""What the attack engine costs over a bare loop: BIM on the small net of Wong (arXiv:2001.03994), one CPU thread.

    python benchmarks/engine.py [--rounds 9] [--out out/benchmarks/engine.json]

The bare loop is the least that BIM can do on this net: forward, input gradient, sign, one clamp against ready-made
bounds; its parameters require no gradient. The engine does all of its work on top: checks, clean pass, books, counting,
ticks, verification. Calls alternate between the two; the ratio is the median over the rounds, in CPU time (one thread
that never waits), which other processes on the machine disturb less than the wall clock, printed beside it.

    off       every sample takes every step: the honest overhead
    on        survivors only; the net is untrained and epsilon is 0.3, so samples leave early
    unbroken  survivors only where nothing ever breaks (epsilon 1e-4): the worst case of looking for survivors

BIM has its default number of steps at epsilon 0.3, which is 81. The rows of 20 steps have no bound; they show what one
call costs before and after its loop, which at N = 1 is the time of four steps or so.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workers.engine.attack import AttackPlan, run_attack
from workers.engine.memory import keep_memory

STEPS, FEW_STEPS = 81, 20
BOUNDS = {1: 1.15, 256: 1.05}
MODES = {"off": (0.3, False), "on": (0.3, True), "unbroken": (1e-4, True)}


def small_net() -> nn.Sequential:
    """Build conv16 4x4/2, conv32 4x4/2, fc100 for 28 x 28, untrained, seed 0."""
    torch.manual_seed(0)
    features = (nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(), nn.Flatten())
    return nn.Sequential(*features, nn.Linear(32 * 49, 100), nn.ReLU(), nn.Linear(100, 10)).eval().requires_grad_(False)


def bare(net: nn.Module, x: Tensor, y: Tensor, steps: int, epsilon: float) -> Tensor:
    """BIM with nothing around it."""
    low, high = (x - epsilon).clamp_(min=0), (x + epsilon).clamp_(max=1)
    x_n, step_size = x, 2.5 * epsilon / steps
    for _ in range(steps):
        point = x_n.detach().requires_grad_()
        loss = F.cross_entropy(net(point), y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, point)
        x_n = torch.clamp(x_n + step_size * gradient.sign(), low, high)
    return x_n


def engine(net: nn.Module, x: Tensor, y: Tensor, steps: int, epsilon: float, *, survivors_only: bool) -> Tensor:
    """BIM as a job runs it."""
    parameters = {"steps": steps, "step_size": 2.5 * epsilon / steps}
    plan = AttackPlan(name="bim", epsilon=epsilon, parameters=parameters)
    ids = torch.arange(len(x))
    return run_attack(net, x, y, plan, sample_ids=ids, seed=0, batch_size=len(x), survivors_only=survivors_only).x_adv


def measure(net: nn.Module, count: int, mode: str, steps: int, rounds: int) -> dict[str, object]:
    """One row: the medians of both sides over the rounds, and the median of the ratios of each round.

    A round is a fifth of a second or more: bare, engine, bare, engine, ... one call after the other.
    """
    epsilon, survivors_only = MODES[mode]
    x = torch.rand(count, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    y = net(x).argmax(1)  # so that every sample counts and is attacked
    calls = {
        "bare": lambda: bare(net, x, y, steps, epsilon),
        "engine": lambda: engine(net, x, y, steps, epsilon, survivors_only=survivors_only),
    }
    for call in calls.values():
        call()
    times = {side: {"cpu": [], "wall": []} for side in calls}
    pairs = 5 if count == 1 else 1
    for _ in range(rounds):
        spent = {side: [0.0, 0.0] for side in calls}
        for _ in range(pairs):
            for side, call in calls.items():
                cpu, wall = time.process_time(), time.perf_counter()
                call()
                spent[side][0] += time.process_time() - cpu
                spent[side][1] += time.perf_counter() - wall
        for side, (cpu, wall) in spent.items():
            times[side]["cpu"].append(cpu / pairs)
            times[side]["wall"].append(wall / pairs)
    row = {f"{side}_{clock}_ms": 1e3 * statistics.median(times[side][clock]) for side in calls for clock in times[side]}
    ratio, wall_ratio = (
        statistics.median(a / b for a, b in zip(times["engine"][clock], times["bare"][clock], strict=True))
        for clock in ("cpu", "wall")
    )
    bound = BOUNDS[count] if steps == STEPS else None
    return {"n": count, "steps": steps, "mode": mode, **row, "ratio": ratio, "wall_ratio": wall_ratio, "bound": bound}


def main() -> int:
    """Print the table, write the JSON, and fail where a bound does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks/engine.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()  # as a worker does, for both sides
    net = small_net()
    cases = [(count, mode, STEPS) for count in BOUNDS for mode in MODES] + [
        (count, "off", FEW_STEPS) for count in BOUNDS
    ]
    rows = [measure(net, *case, arguments.rounds) for case in cases]
    print(f"BIM, torch {torch.__version__}, 1 thread, medians of {arguments.rounds} rounds")
    print(
        f"{'N':>4} {'steps':>6} {'mode':<9}{'bare ms':>9}{'engine ms':>10}{'ratio':>7}{'by wall clock':>14}{'bound':>6}"
    )
    for row in rows:
        case = "{n:>4} {steps:>6} {mode:<9}".format(**row)
        print(case + "{bare_cpu_ms:9.2f}{engine_cpu_ms:10.2f}{ratio:7.3f}{wall_ratio:14.3f}{bound!s:>6}".format(**row))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    report = {"torch": torch.__version__, "machine": platform.machine(), "rows": rows}
    arguments.out.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if all(row["bound"] is None or row["ratio"] <= row["bound"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
