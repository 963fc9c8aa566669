"""The file that says what each row counts, sample by sample."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load
from sparring.paired import wilson as client_wilson

from workers.evaluation import Shard, summarize
from workers.evaluation.proportions import wilson


@pytest.fixture
def summary(make):
    """Two models of two shards under a PGD, a minimum-norm attack, a targeted one and a point of a curve."""
    runs = [
        make.info("a0"),
        make.info("a1", "fmn", epsilon=1.0, minimum=True),
        make.info("a2", "bim", goal="label", goal_label=1),
        make.info("c0.0", "bim", epsilon=0.1, curve=0),
    ]
    shards = []
    for said in ([0, 1, 2, 0], [0, 0, 0, 0]):
        for start in (0, 4):
            clean = make.clean([0, 1, 2, 0], [0, 1, 2, 1], start=start)
            shards.append(
                Shard(
                    clean,
                    (
                        make.run(clean, said, key="a0"),
                        make.run(clean, [1, 1, 1, 1], key="a1", distance=torch.tensor([0.2, 0.2, 0.4, 0.2])),
                        make.run(clean, [1, 1, 2, 1], key="a2", target=[1, 1, 1, 1]),
                        make.run(clean, [0, 1, 2, 2], key="c0.0"),
                    ),
                )
            )
    models = [make.model("models/a"), make.model("models/b")]
    return summarize(make.given(shards, runs, models=models))


def test_every_row_s_verdicts_add_up_to_its_robust_accuracy(summary):
    tensors = load(summary.verdicts)
    kinds = {row.attack for row in summary.rows}
    assert {"clean", "pgd", "fmn", "bim", "worst_case"} <= kinds
    for number, row in enumerate(summary.rows):
        held = tensors[f"held/{number}"]
        judged = tensors.get(f"judged/{number}", torch.ones_like(held))
        assert held.dtype == judged.dtype == torch.bool
        assert (int(held.sum()), int(judged.sum())) == (row.robust_accuracy.count, row.robust_accuracy.of)


def test_the_samples_are_those_of_the_selection_in_order(summary):
    tensors = load(summary.verdicts)
    assert tensors["index"].tolist() == list(range(8))
    assert tensors["label"].tolist() == [0, 1, 2, 0] * 2


def test_a_longer_perturbation_than_the_ball_s_radius_breaks_nothing_in_the_worst_case(summary):
    """Of sample 2, which PGD leaves alone on the one model, the shortest perturbation is 0.4 long."""
    tensors = load(summary.verdicts)
    worst = {row.model: i for i, row in enumerate(summary.rows) if (row.attack, row.epsilon) == ("worst_case", 0.3)}
    assert tensors[f"held/{worst['models/a']}"].tolist()[:4] == [False, True, True, False]
    assert tensors[f"held/{worst['models/b']}"].tolist()[:4] == [False, False, False, False]


def test_the_client_s_intervals_are_those_of_the_workers():
    for count, of in ((0, 0), (0, 9), (9, 9), (412, 1000), (3, 7)):
        ours, theirs = wilson(count, of), client_wilson(count, of)
        assert (ours.value, ours.low, ours.high) == (theirs.value, theirs.low, theirs.high)
