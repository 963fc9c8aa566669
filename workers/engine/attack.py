"""Run any attack over any number of samples: batches, seeds, cost, cancelling and verification live here.

What a caller can count on, whatever the attack:

* The model is given back as it was lent (`frozen`), also where the attack raises or is interrupted.
* Every result is checked by itself: ball, box, finite, label by a fresh float32 forward.
* A sample's noise and target depend on the seed and its id alone, and its batch is fixed by `batch_size`; so the same
  plan gives the same bytes on the same kind of device, wherever and in whatever order its batches run.
* A batch that does not fit into memory goes through the model in halves, quarters, ... down to single samples
  (`memory.Portion`); the steps, the noise and the figures of cost stay those of the whole batch.
* `survivors_only` spares the samples that are broken already. It changes the cost and not the outcome: both ways the
  first point that reaches the goal is kept. (The sizes of the batches differ, and with them the last bit of a logit.)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import torch
from torch import Tensor, nn

from workers.engine.batch import Batch, attack_batch
from workers.engine.frozen import device_of, frozen
from workers.engine.memory import Portion
from workers.engine.monitor import Monitor, NullMonitor
from workers.engine.plan import AttackPlan, AttackResult, GoalSpec, Recipe, look_up
from workers.engine.propagate import Eager, Propagator
from workers.engine.seeds import seed_model_noise
from workers.failures import Rejected
from workers.goals import Model
from workers.threats import TOLERANCE

_SILENCE: Final = NullMonitor()

__all__ = ["AttackPlan", "AttackResult", "GoalSpec", "run_attack"]


def run_attack(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    plan: AttackPlan,
    *,
    sample_ids: Tensor,
    seed: int,
    batch_size: int,
    monitor: Monitor = _SILENCE,
    survivors_only: bool = True,
    portion: Portion | None = None,
    propagator: Propagator | None = None,
) -> AttackResult:
    """Attack N samples, `batch_size` at a time.

    `x` (N, ...) floating point in [0, 1], at least two dimensions; `y` (N,) int64 true labels; `sample_ids` (N,) int64,
    a sample's name in the dataset, which keys its random numbers; 0 <= `seed` < 2^64. Batches are moved to the model's
    device, results come back on `x`'s. `monitor.tick` is called before every batch and every gradient. `portion` says
    how many samples the model may see at once, and keeps what was learned of it; None: whole batches at first.
    `propagator` says how the model is asked (`propagate.Graphed` for CUDA graphs); None: operation by operation.

    Raises `failures.Rejected` for inputs, labels, parameters or logits that can't be used, and as torch does where
    not even one sample fits into memory; lets `failures.Interrupted` out of the monitor pass.

    Measured: BIM with 81 steps on the small net of Wong (28 x 28), one thread of an AMD EPYC, torch 2.13.0, CPU time
    as a multiple of a bare loop of forward, input gradient, sign and clamp (benchmarks/engine.py, medians of 11): every
    sample to the last step 1.03 at N = 256 and 1.10 at N = 1; survivors only, where all break early, 0.13 and 0.17.
    What one call costs beside its loop is 1.5 ms, so 20 steps at N = 1 come to 1.27.
    """
    started = time.perf_counter()
    recipe = look_up(plan, survivors_only=survivors_only)
    x, y, sample_ids = _checked(x, y, sample_ids)
    portion = Portion(batch_size) if portion is None else portion
    propagator = Eager() if propagator is None else propagator
    batches: list[dict[str, Tensor]] = []
    with frozen(model):
        network, device = portion.through(_in_float32(model)), device_of(model)
        for begin in range(0, len(x), batch_size):
            span = slice(begin, begin + batch_size)
            ids = sample_ids[span]
            tick = _ticker(monitor, plan.name, start=begin / len(x), share=len(ids) / len(x), calls=recipe.total_calls)
            batch = Batch(x=x[span], y=y[span], sample_ids=ids, seed=seed, tick=tick)
            batches.append(portion.fit(partial(_attack, network, batch, recipe, device, propagator), len(ids)))
    monitor.tick(1.0, plan.name)
    columns = _joined(batches, x)
    violations = int(columns.pop("violation").sum())
    return AttackResult(seconds=time.perf_counter() - started, violations=violations, **columns)


def _checked(x: Tensor, y: Tensor, sample_ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return float32 inputs in [0, 1], int64 labels and ids; raises `Rejected` for anything that is not nearly so."""
    if x.ndim < 2 or y.shape != x.shape[:1] or sample_ids.shape != x.shape[:1]:
        shapes = f"x {tuple(x.shape)}, y {tuple(y.shape)}, sample_ids {tuple(sample_ids.shape)}"
        raise Rejected("SHAPE_MISMATCH", f"needs x (N, ...), y (N,) and sample_ids (N,), got {shapes}")
    if not x.is_floating_point() or y.is_floating_point() or sample_ids.is_floating_point():
        raise Rejected("WRONG_DTYPE", "needs floating-point inputs in [0, 1], and whole labels and sample ids")
    if len(x) > 0:
        low, high = (float(bound) for bound in x.aminmax())  # both NaN where any pixel is
        if not (math.isfinite(low) and math.isfinite(high)):
            raise Rejected("INPUT_NOT_FINITE", "some pixels are NaN or infinite")
        if low < -TOLERANCE or high > 1 + TOLERANCE:
            raise Rejected(
                "INPUT_OUT_OF_RANGE", f"pixels must be in [0, 1], found {low:.6g} to {high:.6g}; rescale them"
            )
        if int(y.min()) < 0:
            raise Rejected("LABEL_OUT_OF_RANGE", f"label {int(y.min())}; labels count from 0")
        if low < 0 or high > 1:
            x = x.clamp(0, 1)
    return x.float(), y.long(), sample_ids.long().cpu()


def _attack(
    network: Model, batch: Batch, recipe: Recipe, device: torch.device, propagator: Propagator
) -> dict[str, Tensor]:
    """Attack one batch on the model's device, from its first tick on; the rows come back to where the batch lies."""
    batch.tick(0)
    seed_model_noise(batch.seed, int(batch.sample_ids[0]), device)
    home = batch.x.device
    found = attack_batch(network, replace(batch, x=batch.x.to(device), y=batch.y.to(device)), recipe, propagator)
    return found if device == home else {name: rows.to(home) for name, rows in found.items()}


def _ticker(monitor: Monitor, name: str, *, start: float, share: float, calls: int) -> Callable[[int], None]:
    """Return what tells the monitor how far the work has come after so many of about `calls` queries of a batch.

    A batch that begins again for want of memory is not taken back; it is no further until it has caught up.
    """
    furthest = 0

    def tick(made: int) -> None:
        nonlocal furthest
        furthest = min(max(furthest, made), calls)
        monitor.tick(start + share * furthest / calls, name)

    return tick


def _joined(batches: list[dict[str, Tensor]], x: Tensor) -> dict[str, Tensor]:
    """Return the rows of all batches, by name; of no batch, columns of no row."""
    if len(batches) == 1:
        return batches[0]
    if batches:
        return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
    kinds = {
        torch.int64: ("clean_prediction", "prediction", "target", "stage", "forwards", "backwards"),
        torch.float32: ("clean_confidence", "confidence", "distance"),
        torch.bool: ("success", "attacked", "zero_gradient", "violation"),
    }
    columns = {name: x.new_empty(0, dtype=dtype) for dtype, names in kinds.items() for name in names}
    return columns | {"x_adv": x.clone()}


def _in_float32(model: nn.Module) -> Model:
    """Return the model as a function of float32 inputs, whatever it computes in."""
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    return model if dtype == torch.float32 else _InFloat32(model, dtype)


@dataclass(frozen=True)
class _InFloat32:
    """A model of another floating-point type behind float32 inputs and logits; `module` is the model itself."""

    module: nn.Module
    dtype: torch.dtype

    def __call__(self, x: Tensor) -> Tensor:
        logits: Tensor = self.module(x.to(self.dtype))
        return logits.float()
