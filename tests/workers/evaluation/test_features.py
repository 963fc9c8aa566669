"""Samples that are followed to their features, and the map of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from workers import models
from workers.engine.memory import Portion
from workers.evaluation import Shard, lean, pack, summarize, unpack
from workers.evaluation.features import Features, joined
from workers.evaluation.following import Followed, follow
from workers.evaluation.headline import speaking, under_attack
from workers.evaluation.page.embedding import FEWEST, place


def some(m=12, seed=0, width=5):
    """Features of two groups, which the attack exchanges."""
    generator = torch.Generator().manual_seed(seed)
    before = torch.randn(m, width, generator=generator) + 6 * (torch.arange(m) % 2)[:, None]
    return Features(before=before, after=before.roll(1, 0), run=torch.zeros(m, dtype=torch.int64))


def attacks(make, n, count):
    """Two attacks on n samples, which turn different ones with different confidence."""
    clean = make.clean([0, 1, 2] * (n // 3))
    right = clean.label.tolist()
    turned = [[(label + 1) % 3 if i % 3 == k or i % 4 == 0 else label for i, label in enumerate(right)] for k in (0, 1)]
    sure = torch.rand(2, n, generator=torch.Generator().manual_seed(1))
    runs = [make.run(clean, said, key=f"a{k}", confidence=sure[k]) for k, said in enumerate(turned)]
    infos = [make.info("a0"), make.info("a1", attack="fgsm"), make.info("c0.0", epsilon=0.1, curve=0)]
    followed = Followed(count, infos)
    for k, run in enumerate(runs):
        followed.see(run, torch.full((n, 1, 6, 6), float(k)))
    return infos, runs, followed


def test_each_sample_is_followed_under_the_attack_that_speaks_for_it(make):
    infos, runs, followed = attacks(make, 12, 9)
    group = speaking(infos)
    assert [info.key for info in group.runs] == ["a0", "a1"]
    worst = under_attack(group, {run.key: run for run in runs})
    assert torch.equal(followed.x[:, 0, 0, 0], followed.run.float())
    picked = torch.stack([run.confidence for run in runs])[followed.run, torch.arange(9)]
    assert torch.equal(picked, worst.confidence[:9])
    assert len(set(followed.run.tolist())) == 2


def test_a_run_of_a_curve_is_not_followed(make):
    infos, runs, _ = attacks(make, 12, 9)
    followed = Followed(9, infos)
    followed.see(replace(runs[0], key="c0.0"), torch.zeros(12, 1, 6, 6))
    assert followed.x is None


def test_features_are_what_the_last_layer_is_given_in_pieces_of_any_size(make):
    model = models.build(models.Signature("mlp", (1, 6, 6), 3), seed=1)
    _, _, followed = attacks(make, 12, 9)
    x = torch.rand(12, 1, 6, 6, generator=torch.Generator().manual_seed(2))
    whole, pieces = (follow(model, x, followed, Portion(size)) for size in (9, 4))
    last = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]
    assert torch.allclose(last(whole.before), model(x[:9]), atol=1e-6)
    assert torch.allclose(whole.before, pieces.before, atol=1e-6)
    assert torch.allclose(last(whole.after), model(followed.x), atol=1e-6)


def test_a_model_that_ends_otherwise_has_no_map(make):
    model = models.build(models.Signature("mlp", (1, 6, 6), 3), seed=1)
    model.network = torch.nn.Sequential(model.network, torch.nn.Softmax(dim=1))
    followed = attacks(make, 12, 9)[2]
    assert follow(model, torch.rand(12, 1, 6, 6), followed, Portion(9)) is None


def test_features_survive_the_shard_and_are_joined_in_order(make):
    clean = make.clean([0, 1, 2, 0], pictures=4)
    parts = [some(4, seed) for seed in (1, 2)]
    shards = [lean(unpack(pack(Shard(clean, (make.run(clean, [0] * 4),), features=part))), 1) for part in parts]
    whole = joined([*(shard.features for shard in shards), None])
    assert torch.equal(whole.before, torch.cat([part.before for part in parts]))
    assert torch.equal(whole.after[4:], parts[1].after)
    assert joined([None]) is None


def test_equal_features_give_equal_maps_and_neighbours_lie_together():
    features = some(24)
    points = place(features, seed=3)
    assert points.shape == (48, 2)
    assert (place(features, seed=3) == points).all()
    even, odd = points[0:24:2], points[1:24:2]
    assert max(even.std(0).max(), odd.std(0).max()) < abs(even.mean(0) - odd.mean(0)).max()


@pytest.mark.parametrize(
    "features", [some(FEWEST - 1), Features(before=torch.ones(20, 3), after=torch.ones(20, 3), run=torch.zeros(20))]
)
def test_too_little_to_draw_is_not_drawn(features):
    assert place(features, seed=0) is None


def test_the_page_has_the_map_and_cites_its_paper(make):
    clean = make.clean([0, 1, 2] * 4, pictures=2)
    shard = Shard(clean, (make.run(clean, [1] * 12, keep=2),))
    given = make.given([shard], [make.info()])
    html = summarize(replace(given, shards=[replace(given.shards[0], features=some())])).report_html
    assert "12 samples, 8 of them wrong under attack" in html
    assert "maaten2008visualizing" in html
    assert "Where the samples lie" not in summarize(given).report_html
