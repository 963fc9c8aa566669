"""The balls: projection, start, step, distance."""

from __future__ import annotations

import pytest
import torch

from workers.threats import BALLS, L0, L1, L2, TOLERANCE, Linf

SHAPES = [(7,), (3, 5), (3, 4, 5)]
NORMS = list(BALLS)
# Radii that leave most of a point's change, some of it, or all.
RADII = {
    "linf": [0.0, 0.1, 0.7],
    "l2": [0.0, 0.1, 0.7, 100.0],
    "l1": [0.0, 0.1, 2.0, 100.0],
    "l0": [0.0, 1.0, 3.9, 100.0],
}


def sample(shape, count=6, seed=0):
    """Pixels of which a third are exactly 0 and a third exactly 1, and points all around."""
    generator = torch.Generator().manual_seed(seed)
    x = (3 * torch.rand(count, *shape, generator=generator) - 1).clamp(0, 1)
    return x, x + torch.randn(count, *shape, generator=generator)


def inside(ball, point, x):
    return (
        (ball.distance(point, x) <= ball.epsilon * (1 + TOLERANCE) + TOLERANCE).all()
        and (point >= 0).all()
        and (point <= 1).all()
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("norm", "epsilon"), [(norm, epsilon) for norm, radii in RADII.items() for epsilon in radii])
def test_projection_ends_in_ball_and_box_and_stays_there(norm, epsilon, shape):
    """A point inside is its own projection."""
    ball, (x, point) = BALLS[norm](epsilon), sample(shape)
    region = ball.around(x)
    projected = region.project(point)
    assert inside(ball, projected, x)
    assert projected.dtype == torch.float32
    assert torch.allclose(region.project(projected), projected, atol=1e-6)


def test_l2_projection_of_pixels_that_do_not_move_or_move_by_minus_zero():
    """0 / 0 and 1 / -0 stand in the way of the scale; neither pixel may count as clipped."""
    x = torch.tensor([[0.0, 0.0, 1.0, 0.5, 0.5, 0.5]])
    point = torch.tensor([[-0.0, 0.0, 1.0, 0.5, 1.3, -0.1]])
    projected = L2(0.5).around(x).project(point)
    assert torch.allclose(projected, torch.tensor([[0.0, 0.0, 1.0, 0.5, 0.9, 0.2]]), atol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
def test_nothing_valid_is_nearer_than_the_projection(norm):
    """Against many random points of ball and box, and against points near the projection itself."""
    epsilon = 2.0 if norm == "l0" else 0.6
    ball, (x, point) = BALLS[norm](epsilon), sample((4,), count=3)
    projected = ball.around(x).project(point)
    nearest = (projected - point).flatten(1).norm(dim=1)
    generator = torch.Generator().manual_seed(9)
    for radius in (1.0, 0.05):
        moves = radius * torch.randn(20000, *projected.shape, generator=generator)
        # For L0 to find anything, most pixels must be as they are.
        others = projected + moves * (torch.rand(moves.shape, generator=generator) < 0.5)
        others = torch.where(torch.rand(others.shape, generator=generator) < 0.3, x, others)
        for i in range(3):
            other, center = others[:, i], x[i].expand(20000, -1)
            valid = (ball.distance(other, center) <= epsilon) & (other >= 0).all(1) & (other <= 1).all(1)
            assert valid.any() or radius == 1.0
            assert ((other[valid] - point[i]).norm(dim=1) >= nearest[i] - 1e-6).all()


def test_l2_projection_uses_the_whole_radius_although_the_box_cuts_pixels_off():
    """Scaling and then clipping, as is usual, would end far inside the ball."""
    ball, (x, point) = L2(1.5), sample((400,), count=20)
    far = x + 5 * (point - x)
    usual = (x + 1.5 * (far - x) / (far - x).norm(dim=1, keepdim=True)).clamp(0, 1)
    assert ((usual - x).norm(dim=1) < 1.3).all()
    assert torch.allclose(ball.distance(ball.around(x).project(far), x), torch.full((20,), 1.5), atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("norm", NORMS)
def test_random_starts_are_valid_fill_the_ball_and_belong_to_their_generator(norm, shape):
    """One stream for the batch, or one per sample; the latter knows nothing of the batch."""
    ball = BALLS[norm](3.0 if norm == "l0" else 0.3)
    x = sample(shape, count=40)[0]
    start = ball.around(x).random(torch.Generator().manual_seed(1))
    assert inside(ball, start, x)
    grey = torch.full_like(x, 0.5)
    assert ball.distance(ball.around(grey).random(torch.Generator().manual_seed(1)), grey).amax() > 0.2
    streams = [torch.Generator().manual_seed(seed) for seed in range(40)]
    again = [torch.Generator().manual_seed(seed) for seed in (7, 3)]
    assert torch.equal(ball.around(x).random(streams)[[7, 3]], ball.around(x[[7, 3]]).random(again))


def test_l2_starts_are_uniform_in_the_ball():
    """The share within r epsilon is r^D."""
    x = torch.full((20000, 3), 0.5)
    start = L2(0.4).around(x).random(torch.Generator().manual_seed(0))
    radius = L2(0.4).distance(start, x) / 0.4
    assert (radius < 0.5).float().mean().item() == pytest.approx(0.125, abs=0.01)
    assert (radius < 0.9).float().mean().item() == pytest.approx(0.729, abs=0.01)


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1.0, 1e30])
@pytest.mark.parametrize("norm", NORMS)
def test_trap_08_steps_have_unit_length_whatever_the_gradients_size(norm, scale):
    """Squares of 1e-30 vanish in float32, squares of 1e30 overflow; neither may stop an attack."""
    gradient = scale * torch.tensor([[3.0, -4.0, 1.0], [1.0, 2.0, 3.0]])
    step = BALLS[norm](1.0).steepest(gradient)
    assert torch.allclose(BALLS[norm](1.0).distance(step, torch.zeros(2, 3)), torch.ones(2), atol=1e-6)
    moved = step != 0  # all pixels, or in L1 and L0 the one with the largest gradient
    assert torch.equal(step.sign()[moved], gradient.sign()[moved])
    assert moved.sum() == (6 if norm in ("linf", "l2") else 2)


@pytest.mark.parametrize("norm", NORMS)
def test_trap_08_a_zero_gradient_gives_no_step_and_no_nan(norm):
    """sign(0) = 0 and 0 / 0 must both be 0; a neighbour's gradient is not touched."""
    gradient = torch.tensor([[0.0, 0.0], [0.0, 2.0]])
    assert torch.equal(BALLS[norm](1.0).steepest(gradient), torch.tensor([[0.0, 0.0], [0.0, 1.0]]))


def test_trap_23_epsilon_in_grey_levels_is_overshot_by_rounding_only():
    """8/255 is no float32, so x + epsilon - x is not epsilon; the tolerance is a thousand times what is left over."""
    x = torch.rand(1000, 50, generator=torch.Generator().manual_seed(0))
    ball = Linf(8 / 255)
    excess = ball.distance(ball.around(x).project(x + 1), x) - 8 / 255
    assert excess.amax() < 1e-7 < TOLERANCE


def test_distances_by_hand():
    """Largest change, Euclidean length, sum of the changes, and their number; a change of 1e-7 is none."""
    point, x = torch.tensor([[[0.3, 0.0], [0.4, 1e-7]]]), torch.zeros(1, 2, 2)
    assert Linf(1).distance(point, x).item() == pytest.approx(0.4)
    assert L2(1).distance(point, x).item() == pytest.approx(0.5)
    assert L1(1).distance(point, x).item() == pytest.approx(0.7)
    assert L0(1).distance(point, x).item() == 2


@pytest.mark.parametrize("norm", NORMS)
def test_an_empty_batch_passes_through(norm):
    """N = 0."""
    x = torch.empty(0, 3, 4)
    region = BALLS[norm](0.1).around(x)
    assert region.project(x).shape == region.random([]).shape == x.shape
    assert region.random(torch.Generator()).shape == x.shape


@pytest.mark.parametrize("norm", NORMS)
def test_memory_layout_changes_nothing(norm):
    """channels_last inputs get the same noise and the same projection."""
    x, point = sample((3, 4, 5))
    last = x.contiguous(memory_format=torch.channels_last)
    ball = BALLS[norm](2.0 if norm == "l0" else 0.2)
    first, second = (ball.around(v).random(torch.Generator().manual_seed(2)) for v in (x, last))
    assert torch.allclose(first, second, atol=1e-6)
    assert torch.allclose(ball.around(x).project(point), ball.around(last).project(point), atol=1e-6)


def test_l1_projection_solves_its_optimality_conditions():
    """sign(delta) clip(|delta| - lambda, 0, room), with lambda found by bisection in float64."""
    x, point = sample((3, 40), count=30)
    delta = (point - x).double().flatten(1)
    room = torch.where(delta > 0, 1 - x.flatten(1), x.flatten(1)).double()
    for epsilon in (0.5, 5.0, 20.0):
        low, high = torch.zeros(30, 1).double(), delta.abs().amax(dim=1, keepdim=True)
        for _ in range(60):
            middle = (low + high) / 2
            longer = (delta.abs() - middle).clamp_min(0).minimum(room).sum(dim=1, keepdim=True) > epsilon
            low, high = torch.where(longer, middle, low), torch.where(longer, high, middle)
        truth = x.flatten(1) + delta.sign() * (delta.abs() - high).clamp_min(0).minimum(room)
        assert torch.allclose(L1(epsilon).around(x).project(point).flatten(1).double(), truth, atol=1e-6)


def test_l1_starts_are_uniform_in_the_ball():
    """The share within r epsilon is r^D, and every direction's sign is as likely."""
    x = torch.full((20000, 3), 0.5)
    start = L1(0.4).around(x).random(torch.Generator().manual_seed(0))
    radius = L1(0.4).distance(start, x) / 0.4
    assert (radius < 0.5).float().mean().item() == pytest.approx(0.125, abs=0.01)
    assert (start > 0.5).float().mean().item() == pytest.approx(0.5, abs=0.01)


def test_l0_projection_keeps_the_changes_that_matter_after_clipping():
    """A pixel that is white already gains nothing from 9; of equals the first is kept."""
    x, point = torch.tensor([[1.0, 0.5, 0.5, 0.5]]), torch.tensor([[9.0, 0.7, 0.3, -4.0]])
    assert L0(1).around(x).project(point).tolist() == [[1.0, 0.5, 0.5, 0.0]]
    assert L0(2.9).around(x).project(point)[0].tolist() == pytest.approx([1.0, 0.7, 0.5, 0.0])


@pytest.mark.parametrize("norm", ["l1", "l0"])
def test_sparse_steps_are_not_spent_on_pixels_that_are_at_the_end_of_the_box(norm):
    """The largest gradients would push a white pixel up and a black one down; the third largest is followed."""
    gradient, at = torch.tensor([[5.0, -4.0, 3.0, 0.5]]), torch.tensor([[1.0, 0.0, 0.5, 0.5]])
    assert BALLS[norm](1.0).steepest(gradient).tolist() == [[1.0, 0.0, 0.0, 0.0]]
    assert BALLS[norm](1.0).steepest(gradient, at).tolist() == [[0.0, 0.0, 1.0, 0.0]]


@pytest.mark.parametrize("norm", NORMS)
def test_each_sample_may_have_a_radius_of_its_own(norm):
    """(N,) radii give what N balls give, for projection, start and selection alike."""
    x, point = sample((3, 4), count=5)
    radii = torch.tensor([3.0, 0.0, 1.0, 2.0, 5.0]) * (1 if norm == "l0" else 0.1)
    ball, noise = BALLS[norm](radii), [torch.Generator().manual_seed(seed) for seed in range(5)]
    projected, started = ball.around(x).project(point), ball.around(x).random(noise)
    for i in range(5):
        own, row = BALLS[norm](radii[i].item()), slice(i, i + 1)
        assert torch.allclose(own.around(x[row]).project(point[row]), projected[row], atol=1e-6)
        again = own.around(x[row]).random([torch.Generator().manual_seed(i)])
        assert torch.allclose(again, started[row], atol=1e-6)
    assert torch.equal(ball.select(torch.tensor([3, 0])).epsilon, radii[[3, 0]])
    assert torch.equal(ball.of_radius(2 * radii).epsilon, 2 * radii)


@pytest.mark.parametrize("norm", NORMS)
def test_the_shortest_way_to_a_hyperplane_gains_what_it_must_and_nothing_shorter_does(norm):
    """In a ball that is smaller by 1 % (for L0, by a pixel) not even the point nearest to infinity climbs as high."""
    x = sample((6, 6), count=40)[0].double()
    slope = torch.randn(x.shape, generator=torch.Generator().manual_seed(3)).double()
    most = (slope.abs() * torch.where(slope > 0, 1 - x, x)).flatten(1).sum(dim=1)
    ball = BALLS[norm](1.0)
    for part in (0.05, 0.4, 0.9):
        d = ball.shortest(x, slope, part * most)
        assert ((x + d >= 0) & (x + d <= 1)).all()
        gain = (d * slope).flatten(1).sum(dim=1)
        assert torch.allclose(gain, part * most, rtol=1e-2)
        assert torch.equal(ball.shortest(x, -slope, -part * most), d)
        smaller = ball.of_radius(0.99 * ball.distance(x + d, x).double())
        highest = smaller.around(x).project(x + 1e6 * slope)
        assert (((highest - x) * slope).flatten(1).sum(dim=1) < gain).all()


@pytest.mark.parametrize("norm", NORMS)
def test_where_the_box_is_too_narrow_the_way_to_a_hyperplane_ends_in_its_corner(norm):
    """Every pixel has gone as far as it can; a slope of 0 leads nowhere."""
    x = sample((5,), count=4)[0]
    slope = torch.tensor([1.0, -2.0, 3.0, 1.0, -1.0]).expand(4, 5)
    d = BALLS[norm](1.0).shortest(x, slope, torch.full((4,), 1e3))
    assert torch.allclose(x + d, (slope > 0).float(), atol=1e-5)
    assert not BALLS[norm](1.0).shortest(x, torch.zeros_like(x), torch.ones(4)).any()
