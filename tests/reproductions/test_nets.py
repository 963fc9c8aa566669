"""What is computed here from downloaded weights is what the service's networks compute; and pixels beyond [0, 1]."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reproductions import nets
from reproductions.wide import QUARTER, TEN, Wide
from workers.models import Signature, build


@pytest.mark.parametrize(
    ("architecture", "logits"),
    [("softmax_regression", nets.linear), ("maxout_mlp", nets.maxout), ("rbf_network", nets.gaussians)],
)
def test_logits_are_those_of_the_network(architecture, logits):
    model = build(Signature(architecture, (1, 6, 6), 4), seed=1)
    tensors = {name: tensor.numpy() for name, tensor in model.network.state_dict().items()}
    x = np.random.default_rng(0).normal(size=(5, 1, 6, 6)).astype(np.float32)
    with torch.no_grad():
        wanted = model(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(logits(tensors, x), wanted, atol=1e-5)
    np.testing.assert_allclose(nets.softmax(wanted), torch.from_numpy(wanted).softmax(dim=1).numpy(), atol=1e-6)


def test_a_model_behind_the_wide_box_sees_the_pixels_that_are_meant():
    x = np.random.default_rng(0).uniform(-0.25, 1.25, size=(3, 1, 6, 6))
    u = QUARTER.narrow(x)
    assert u.min() >= 0
    assert u.max() <= 1
    bare = build(Signature("mlp", (1, 6, 6), 4), seed=1)
    seen = build(Signature("mlp", (1, 6, 6), 4, QUARTER.mean, QUARTER.std), seed=1)
    with torch.no_grad():
        torch.testing.assert_close(seen(torch.from_numpy(u)), bare(torch.from_numpy(x).float()), atol=1e-5, rtol=0)
    np.testing.assert_allclose(QUARTER.widen(u), x, atol=2e-7)


def test_the_ten_numbers_of_the_example_are_held_exactly():
    x = np.array([2, -1, 3, -2, 2, 2, 1, -4, 5, 1])
    assert np.array_equal(TEN.widen(TEN.narrow(x)), x)
    assert np.array_equal(TEN.widen(TEN.narrow(x) + np.float32(TEN.epsilon(0.5))), x + 0.5)
    assert (TEN.mean, TEN.std) == ((0.5,), (1 / 16,))


def test_what_is_outside_is_put_at_the_edge():
    assert Wide(-1, 1).narrow(np.array([-3.0, 0.0, 3.0])).tolist() == [0, 0.5, 1]
