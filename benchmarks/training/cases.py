"""What is compared: one PGD training with the same net, data, steps, rates and batches for everybody."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Case:
    """One training, ready to be given to everybody."""

    net: str
    digits: int  # of one epoch
    epochs: int  # each of them is a timed round
    rate: float  # the top of its one cycle
    # Whether the nets are attacked in the end: only where they have learned something by then.
    judged: bool
    batch_size: int = 100
    epsilon: float = 0.3
    steps: int = 7  # K
    ramp: float = 0.5  # the part of the training over which epsilon rises from 0

    @property
    def key(self) -> str:
        """Its name in the results."""
        return f"pgd-{self.steps} {self.net}"

    @property
    def batches(self) -> int:
        """Of one epoch."""
        return self.digits // self.batch_size

    @property
    def floor(self) -> int:
        """Passes a sample: forward and input gradient of each step, then forward, backward and weight gradient."""
        return 2 * self.steps + 3

    def step_size(self, epsilon: float) -> float:
        """Of the inner attack at this epsilon (arXiv:1706.06083, section 5)."""
        return 2.5 * epsilon / self.steps


CASES = (
    Case(net="wong_cnn", digits=8000, epochs=8, rate=2e-3, judged=True),
    Case(net="four_convolutions", digits=600, epochs=4, rate=2e-3, judged=False),
)


def quick(case: Case) -> Case:
    """The same for a minute: speeds that wobble, and nets that have learned nothing."""
    return replace(case, digits=max(2, case.batches // 4) * case.batch_size, epochs=2, judged=False)
