"""Models that answer at random are judged by the job's seed alone."""

from __future__ import annotations

import torch

from workers.data import builtin
from workers.engine.memory import Portion
from workers.engine.monitor import NullMonitor
from workers.models import Signature, build
from workers.models.components import Noise
from workers.run.shards import Samples, predict


def test_clean_answers_depend_on_the_seed_and_not_on_what_was_drawn_before() -> None:
    model = build(Signature("mlp", (1, 8, 8), 10, component=Noise(sigma=0.5, votes=1)), seed=0)
    data = builtin("digits", "test").select(0, 20)

    def answered(seed: int, before: int) -> tuple[torch.Tensor, torch.Tensor]:
        samples = Samples(
            x=data.pixels(slice(None)),
            y=data.y,
            index=torch.arange(20),
            data=data,
            first=0,
            seed=seed,
            batch_size=8,
            pictures=0,
            keep_all=False,
        )
        torch.manual_seed(before)
        return predict(model, samples, NullMonitor(), Portion(8))

    one, again, other = answered(1, before=1), answered(1, before=2), answered(2, before=1)
    assert all(torch.equal(first, second) for first, second in zip(one, again, strict=True))
    assert not torch.equal(one[1], other[1])
