"""Where memory runs out the model sees fewer samples at once; the attack, its cost and its figures stay the same."""

from __future__ import annotations

import gc
import platform
import subprocess
import sys
import weakref

import pytest
import torch
from torch import nn

from workers.engine.attack import AttackPlan, GoalSpec, run_attack
from workers.engine.memory import Portion, is_out_of_memory

ITERATED = {"steps": 12, "step_size": 0.005}
PGD = {**ITERATED, "restarts": 3, "random_start": True, "loss": "margin"}
PLANS = {
    "fgsm": AttackPlan(name="fgsm", epsilon=0.02),
    "bim": AttackPlan(name="bim", epsilon=0.02, parameters=ITERATED),
    "least likely": AttackPlan(name="iterative_least_likely", epsilon=0.05, parameters=ITERATED),
    "pgd": AttackPlan(name="pgd", epsilon=0.02, parameters=PGD),
    "pgd l2": AttackPlan(name="pgd", epsilon=0.3, norm="l2", parameters=PGD, goal=GoalSpec(kind="random")),
}
every_plan = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
ERRORS = (
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"),
    RuntimeError("could not create a primitive"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
)


class Small(nn.Module):
    """A net on a device where so many samples fit, and no more."""

    def __init__(self, net: nn.Module, fits: int, error: Exception) -> None:
        super().__init__()
        self.net, self.fits, self.error, self.seen = net, fits, error, []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(x))
        if len(x) > self.fits:
            raise self.error
        return self.net(x)


def run(model, pictures, plan, **options):
    return run_attack(
        model, *pictures, plan, **{"sample_ids": torch.arange(32), "seed": 4, "batch_size": 16, **options}
    )


@every_plan
@pytest.mark.parametrize("fits", [31, 9])
def test_the_result_is_the_same_to_the_last_bit_and_the_last_propagation(small_net, pictures, plan, fits):
    """Rows of a float32 forward do not depend on their company down to pieces of eight; see `Portion`."""
    whole = run(small_net, pictures, plan, batch_size=32)
    portion = Portion(32)
    halved = run(Small(small_net, fits, MemoryError()), pictures, plan, portion=portion, batch_size=32)
    assert portion.size == (16 if fits == 31 else 8)
    assert whole.attacked.any()
    for name in ("x_adv", "prediction", "success", "target", "forwards", "backwards", "zero_gradient", "distance"):
        assert torch.equal(getattr(halved, name), getattr(whole, name)), name


@pytest.mark.parametrize("plan", [PLANS["fgsm"], PLANS["pgd l2"]], ids=["fgsm", "pgd l2"])
def test_one_sample_at_a_time_is_the_least_that_is_tried(small_net, pictures, plan):
    """The kernels for one row round otherwise, so that the points are near and not equal; the noise is the same."""
    whole = run(small_net, pictures, plan)
    alone = run(Small(small_net, 1, MemoryError()), pictures, plan)
    assert torch.equal(alone.target, whole.target)
    assert (alone.success == whole.success).float().mean() > 0.9
    near = (alone.x_adv - whole.x_adv).flatten(1).abs().amax(1) < 1e-4
    assert near.float().mean() > 0.9


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: f"{type(error).__name__} {error}"[:40])
def test_every_way_of_saying_so_is_understood_and_the_last_one_gets_out(small_net, pictures, error):
    model, portion = Small(small_net, 0, error), Portion(16)
    with pytest.raises(type(error)) as raised:
        run(model, pictures, PLANS["bim"], portion=portion)
    assert raised.value is error
    assert is_out_of_memory(error)
    assert model.seen == [16, 8, 4, 2, 1]


@pytest.mark.parametrize("error", [RuntimeError("shapes do not fit"), ValueError("can't allocate memory")])
def test_any_other_error_is_not_tried_again(small_net, pictures, error):
    model = Small(small_net, 0, error)
    with pytest.raises(type(error)):
        run(model, pictures, PLANS["bim"])
    assert model.seen == [16]


def test_what_fitted_is_kept_for_the_batches_and_the_attacks_after(small_net, pictures):
    model, portion = Small(small_net, 5, MemoryError()), Portion(16)
    run(model, pictures, PLANS["bim"], portion=portion)
    assert (portion.asked, portion.size, portion.halved) == (16, 4, True)
    assert sorted(size for size in model.seen if size > 5) == [8, 16]
    model.seen.clear()
    run(model, pictures, PLANS["pgd"], portion=portion)
    assert max(model.seen) <= 4


def test_a_batch_that_fits_is_never_cut(small_net, pictures):
    portion = Portion(16)
    model = Small(small_net, 16, MemoryError())
    run(model, pictures, PLANS["pgd"], portion=portion)
    assert not portion.halved
    assert max(model.seen) == 16


def test_progress_does_not_go_back_where_a_batch_begins_again(small_net, pictures):
    fractions: list[float] = []

    class Heard:
        def tick(self, fraction, message=""):
            fractions.append(fraction)

        def metric(self, name, value, step):
            raise AssertionError

    calls = iter(range(1000))

    class Late(nn.Module):
        def forward(self, x):
            if next(calls) in {6, 20}:
                raise MemoryError
            return small_net(x)

    run(Late(), pictures, PLANS["bim"], monitor=Heard())
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_nothing_of_the_attempt_before_is_held_when_the_next_begins(small_net, pictures):
    """The traceback holds every tensor of the batch; the next attempt would run out of memory for its sake."""
    held: list[weakref.ref] = []
    left: list[int] = []

    class Watched(nn.Module):
        def forward(self, x):
            left.append(sum(ref() is not None for ref in held))
            if len(x) > 4:
                held.append(weakref.ref(x))
                raise MemoryError
            return small_net(x)

    gc.disable()  # what is gone is gone by our own doing
    try:
        run(Watched(), pictures, PLANS["bim"])
    finally:
        gc.enable()
    assert left[:3] == [0, 0, 0]
    assert len(held) == 2


# Two activations of 0.8 MB a sample, so 100 MB for 64 of them, where 64 are left. Nothing but torch's own allocator is
# asked for them: oneDNN, which convolves, may crash where memory runs out.
LIMITED = """
import resource
from pathlib import Path
import torch
from workers.engine.attack import AttackPlan, run_attack
from workers.engine.memory import Portion

class Wide(torch.nn.Module):
    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(64, 3072, generator=generator))

    def forward(self, x):
        return torch.tanh(x.flatten(1).unsqueeze(1) * self.weight).sum(dim=2)

torch.set_num_threads(1)
net, x = Wide(), torch.rand(64, 3, 32, 32, generator=torch.Generator().manual_seed(1))
with torch.no_grad():
    y = torch.cat([net(part).argmax(1) for part in x.split(4)])
plan = AttackPlan(name="bim", epsilon=0.01, parameters={"steps": 3, "step_size": 0.004})

def attack(portion):
    return run_attack(net, x, y, plan, sample_ids=torch.arange(64), seed=0, batch_size=64, portion=portion)

few = Portion(64)
few.size = 4
before = attack(few)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 64 * 2**20,) * 2)
portion = Portion(64)
after = attack(portion)
near = torch.allclose(before.x_adv, after.x_adv, atol=1e-5)
print(portion.size, int(near), int(torch.equal(before.success, after.success)), int(after.success.sum()))
"""


@pytest.mark.skipif(platform.system() != "Linux", reason="only Linux keeps to RLIMIT_AS")
def test_a_process_that_may_have_no_more_memory_goes_on_with_less():
    """No simulation: the system refuses, torch says so in its own words, and the attack ends all the same."""
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    size, near, same, broken = map(int, done.stdout.split())
    assert 1 <= size < 64
    assert (near, same) == (1, 1)
    assert broken > 0
