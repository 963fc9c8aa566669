"""What genomes are, how they mutate and cross, and what they look like."""

from __future__ import annotations

import colorsys
import math

import pytest
import torch

from workers.failures import Rejected
from workers.fooling import Cppn, Direct, Rates
from workers.fooling.cppn import paint, rgb
from workers.fooling.genome import INPUTS, Breeder, Genome
from workers.fooling.operators import polynomial_mutation, simulated_binary_crossover

STILL = Rates(add_neuron=0, remove_neuron=0, add_connection=0, remove_connection=0, change_connection=0, mutation=0)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("eta", [0, 3, 15])
def test_polynomial_mutation_has_its_published_density(eta):
    """(eta + 1) / 2 (1 - |delta|)^eta: a quarter is below 1 - (3/4)^(1/(eta + 1)), and as many go up as down."""
    uniform = torch.rand(200_000, dtype=torch.float64, generator=seeded(1))
    delta = polynomial_mutation(torch.zeros_like(uniform), uniform, eta=eta, low=-1, high=1) / 2
    assert delta.abs().quantile(0.25).item() == pytest.approx(1 - 0.75 ** (1 / (eta + 1)), rel=0.02)
    assert (delta > 0).double().mean().item() == pytest.approx(0.5, abs=0.01)


def test_mutation_and_crossover_stay_in_range_and_end_at_their_fixed_points():
    """Any uniform number gives a value in range; at 1/2 nothing mutates, and crossing gives the first parent."""
    values, others = torch.rand(2, 1000, generator=seeded(2))
    uniform = torch.rand(1000, generator=seeded(3))
    uniform[:2] = torch.tensor([0.0, 1.0])
    for changed in (
        polynomial_mutation(values, uniform, eta=2, low=0, high=1),
        simulated_binary_crossover(values, others, uniform, eta=2, low=0, high=1),
    ):
        assert changed.min() >= 0
        assert changed.max() <= 1
    half = torch.full_like(values, 0.5)
    assert torch.allclose(polynomial_mutation(values, half, eta=15, low=0, high=1), values)
    assert torch.allclose(simulated_binary_crossover(values, others, half, eta=10, low=0, high=1), values)
    twins = simulated_binary_crossover(values, values, uniform, eta=10, low=0, high=1)
    assert torch.allclose(twins, values)


def test_crossover_lies_between_the_parents_half_of_the_time():
    """Beta is below 1 for half of the uniform numbers."""
    uniform = torch.rand(10_000, generator=seeded(4))
    child = simulated_binary_crossover(
        torch.full_like(uniform, 0.6), torch.full_like(uniform, 0.4), uniform, eta=10, low=0, high=1
    )
    assert (child < 0.6).float().mean().item() == pytest.approx(0.5, abs=0.02)


def test_a_direct_child_differs_in_a_share_of_its_pixels_which_is_halved_every_thousand_generations():
    """0.1 at first, 0.05 from generation 1,000 on."""
    encoding = Direct(like=torch.zeros(1, 50, 60), mutation_rate=0.1, eta_m=15, generator=seeded(5))
    parents = encoding.random(20)
    for generation, rate in ((0, 0.1), (999, 0.1), (1000, 0.05), (2500, 0.025)):
        children = encoding.express(encoding.children(parents, parents, generation))
        changed = (children != encoding.express(parents)).float().mean().item()
        assert changed == pytest.approx(rate, rel=0.1)
        assert children.min() >= 0
        assert children.max() <= 1


def breed(outputs=1, generations=150, seed=6):
    breeder = Breeder(outputs, Rates(), seeded(seed))
    population = breeder.random(12)
    for _ in range(generations):
        population = breeder.children(population, population[1:] + population[:1])
    return population


def test_first_networks_have_no_hidden_neurons_and_all_connections():
    """Every input to every output."""
    for genome in Breeder(3, Rates(), seeded(7)).random(5):
        assert genome.hidden == []
        assert set(genome.weights) == {(start, INPUTS + output) for start in range(INPUTS) for output in range(3)}
        assert genome.free() == []


@pytest.mark.parametrize("outputs", [1, 3])
def test_after_many_generations_no_connection_leads_backwards_or_nowhere(outputs):
    """Every connection starts at an input or an earlier neuron; functions are those of the neurons that are there."""
    population = breed(outputs)
    assert max(len(genome.hidden) for genome in population) > 5
    for genome in population:
        order = {node: place for place, node in enumerate([*range(INPUTS), *genome.hidden])}
        ends = {**order, **{INPUTS + output: len(order) for output in range(outputs)}}
        assert set(genome.functions) == set(genome.hidden) | set(range(INPUTS, INPUTS + outputs))
        for (start, end), weight in genome.weights.items():
            assert order[start] < ends[end]
            assert end not in range(INPUTS)
            assert -10 <= weight <= 10


def test_parents_stay_as_they_are():
    """A champion is bred from again and again."""
    population = breed(generations=30)
    before = [genome.copy() for genome in population]
    Breeder(1, Rates(), seeded(8)).children(population, population)
    assert population == before


def test_without_rates_a_child_of_itself_is_its_parent():
    """Crossing with oneself changes nothing, and nothing else happens."""
    population = breed(generations=30)
    children = Breeder(1, STILL, seeded(9)).children(population, population)
    for child, parent in zip(children, population, strict=True):
        assert child.hidden == parent.hidden
        assert child.functions == parent.functions
        assert child.weights == pytest.approx(parent.weights)


def test_a_network_that_has_lost_everything_still_breeds_and_paints():
    """No connections: an output of sin(0), and children that may gain some."""
    bare = Genome(1, functions={INPUTS: 0})
    breeder = Breeder(1, Rates(add_connection=1, remove_connection=0, change_connection=0), seeded(10))
    assert (paint([bare], torch.rand(INPUTS, 5)) == 0).all()
    assert all(child.weights for child in breeder.children([bare] * 5, [bare] * 5))


def value_at(genome, node, place):
    """The plain recursion."""
    if node < INPUTS:
        return place[node]
    drive = sum(
        weight * value_at(genome, start, place) for (start, end), weight in genome.weights.items() if end == node
    )
    functions = (
        math.sin,
        lambda s: 2 / (1 + math.exp(-s)) - 1,
        lambda s: 2 * math.exp(-(s**2)) - 1,
        lambda s: max(-1, min(1, s / 3)),
    )
    return functions[genome.functions[node]](drive)


@pytest.mark.parametrize("outputs", [1, 3])
def test_painting_many_networks_at_once_is_the_plain_recursion(outputs):
    """Networks of different sizes, each as if it were alone."""
    population = breed(outputs, generations=12)
    assert len({len(genome.hidden) for genome in population}) > 2
    places = 2 * torch.rand(INPUTS, 6, dtype=torch.float64, generator=seeded(11)) - 1
    painted = paint(population, places)
    for row, genome in enumerate(population):
        expected = [
            [value_at(genome, INPUTS + output, place) for place in places.T.tolist()] for output in range(outputs)
        ]
        assert painted[row].numpy() == pytest.approx(torch.tensor(expected).numpy(), abs=2e-4)


def test_hue_saturation_and_brightness_become_colours():
    """As Python's own colorsys says."""
    colours = torch.rand(2, 3, 50, dtype=torch.float64, generator=seeded(12))
    expected = [[colorsys.hsv_to_rgb(*point) for point in picture.T.tolist()] for picture in colours]
    assert torch.allclose(rgb(colours), torch.tensor(expected, dtype=torch.float64).mT)


@pytest.mark.parametrize("channels", [1, 3])
def test_cppn_pictures_are_smooth_and_in_range(channels):
    """(B, C, H, W) in [0, 1]; the first networks paint what changes little from pixel to pixel."""
    encoding = Cppn(like=torch.zeros(channels, 40, 44), rates=Rates(), generator=seeded(13))
    genomes = encoding.random(8)
    pictures = encoding.express(genomes)
    assert pictures.shape == (8, channels, 40, 44)
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    assert pictures.std() > 0.1
    again = Cppn(like=torch.zeros(channels, 40, 44), rates=Rates(), generator=seeded(13))
    assert torch.equal(again.express(again.random(8)), pictures)
    if channels == 1:
        assert pictures.diff(dim=3).abs().mean() < 0.25


@pytest.mark.parametrize("shape", [(2, 8, 8), (64,), (8, 8)])
def test_a_cppn_paints_only_pictures_of_one_or_three_channels(shape):
    """Others are refused."""
    with pytest.raises(Rejected, match="CPPN"):
        Cppn(like=torch.zeros(shape), rates=Rates(), generator=seeded(14))
