"""What stands around a network: built, saved and loaded with it, and its formula."""

from __future__ import annotations

from dataclasses import replace

import pytest
import safetensors.torch
import torch
from torch.nn import functional as F

from workers.engine import fastest
from workers.engine.attack import AttackPlan, run_attack
from workers.failures import Rejected
from workers.losses import margin
from workers.models import Signature, build, load, save
from workers.models.components import (
    COMPONENTS,
    Autoencoder,
    Coded,
    Committee,
    ConfidenceReduction,
    Denoised,
    Glimpses,
    Members,
    Noise,
    OutputCode,
    part,
)
from workers.models.components.output_code import code

BARE = Signature("mlp", (1, 6, 6), 3, mean=(0.2,), std=(0.5,))
X = torch.rand(8, 1, 6, 6, generator=torch.Generator().manual_seed(0))
EVERY = {
    "noise": Noise(sigma=0.1, votes=3),
    "autoencoder": Autoencoder(units=7),
    "committee": Committee(members=2),
    "confidence_reduction": ConfidenceReduction(reduction=0.05),
    "output_code": OutputCode(bits=5, code_seed=1),
    "glimpses": Glimpses(glimpses=3, shift=2, random_glimpses=True),
}
RANDOM = ("noise", "glimpses")


def made(component, seed=0):
    """A model with a component around it."""
    return build(replace(BARE, component=component), seed=seed)


def seeded(model, x=X, seed=3):
    """Its answer, from a known state of the global generator."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return model(x)


def test_every_component_is_tried_here():
    assert {name: type(component) for name, component in EVERY.items()} == COMPONENTS


@pytest.mark.parametrize("component", EVERY.values(), ids=EVERY)
def test_one_model_is_built_saved_and_loaded(component):
    """What is loaded answers as what was saved, and saves to the same bytes; the global generator is left alone."""
    before = torch.get_rng_state()
    model = made(component)
    loaded = load(save(model), model.signature)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(seeded(loaded), seeded(model))
    assert seeded(model).shape == (8, 3)
    assert save(loaded) == save(model)
    assert save(made(component)) == save(model) != save(made(component, seed=1))


@pytest.mark.parametrize("component", EVERY.values(), ids=EVERY)
def test_a_file_of_another_component_does_not_fit(component):
    """A bare network's names are other ones, and a stranger's numbers are checked as any."""
    with pytest.raises(Rejected) as caught:
        load(save(build(BARE, seed=0)), replace(BARE, component=component))
    assert caught.value.reason == "MODEL_DOES_NOT_FIT"
    tensors = safetensors.torch.load(save(made(component)))
    tensors[min(tensors)].fill_(torch.nan)
    with pytest.raises(Rejected) as caught:
        load(safetensors.torch.save(tensors), replace(BARE, component=component))
    assert caught.value.reason == "NOT_FINITE"


@pytest.mark.parametrize("name", [name for name in EVERY if name != "output_code"])
def test_the_network_inside_begins_as_it_would_alone(name):
    """So that what a component changes is what it does, and not other weights."""
    inside = [value for key, value in made(EVERY[name]).state_dict().items() if "denoiser" not in key]
    alone = list(build(BARE, seed=0).state_dict().values())
    assert all(torch.equal(one, other) for one, other in zip(inside, alone, strict=False))


@pytest.mark.parametrize("name", RANDOM)
def test_what_is_random_follows_the_global_generator(name):
    model = made(EVERY[name])
    assert torch.equal(seeded(model, seed=1), seeded(model, seed=1))
    assert not torch.equal(seeded(model, seed=1), seeded(model, seed=2))


def test_only_what_draws_answers_at_random():
    """Noise of no size and shifts of no length draw nothing; graphs of what draws are never captured."""
    assert {name for name, component in EVERY.items() if component.random} == set(RANDOM)
    assert not Noise(sigma=0, votes=2).random
    assert not any(Glimpses(glimpses=2, shift=far, random_glimpses=far == 0).random for far in (0, 1))
    assert {name for name, component in EVERY.items() if fastest._draws(made(component))} == set(RANDOM)
    assert not fastest._draws(build(BARE, seed=0))


def test_noise_is_the_mean_answer_about_noisy_copies():
    model = made(Noise(sigma=0.3, votes=2))
    torch.manual_seed(5)
    noisy = X + 0.3 * torch.randn(2, *X.shape)
    answers = torch.stack([build(BARE, seed=0)(copy).softmax(1) for copy in noisy])
    torch.testing.assert_close(seeded(model, seed=5), answers.mean(0).log())


@pytest.mark.parametrize("name", ["noise", "confidence_reduction"])
def test_in_training_pictures_go_through(name):
    model = made(EVERY[name]).train()
    assert torch.equal(model(X), build(BARE, seed=0)(X))


def test_the_autoencoder_draws_pictures_and_the_network_sees_them():
    model = made(Autoencoder(units=7))
    drawn = part(model, Denoised).denoiser(X)
    assert drawn.shape == X.shape
    assert ((drawn > 0) & (drawn < 1)).all()
    assert torch.equal(model(X), build(BARE, seed=0)(drawn))


def test_a_committee_is_the_mean_of_its_members():
    model = made(Committee(members=3))
    each = part(model, Members).each(X)
    assert len(each[:, 0, 0].unique()) == 3
    torch.testing.assert_close(model(X), each.softmax(2).mean(0).log())


@pytest.mark.parametrize("wanted", [True, False], ids=["with a gradient", "without"])
def test_confidence_reduction_steps_away_and_passes_gradients_straight(wanted):
    """z = f(x'), and dz/dx is df/dx at x'; the slope is there where the caller wants none."""
    model, bare = made(ConfidenceReduction(reduction=0.05)), build(BARE, seed=0)
    point = X.clone().requires_grad_()
    slope = torch.autograd.grad(bare(point).log_softmax(1).amax(1).sum(), point)[0]
    moved = (X - 0.05 * slope.sign()).clamp(0, 1).requires_grad_()
    with torch.set_grad_enabled(wanted):
        z = model(point)
    torch.testing.assert_close(z, bare(moved))
    assert bare(moved).log_softmax(1).amax(1).mean() < bare(X).log_softmax(1).amax(1).mean()
    if wanted:
        expected = torch.autograd.grad(bare(moved)[:, 0].sum(), moved)[0]
        torch.testing.assert_close(torch.autograd.grad(z[:, 0].sum(), point)[0], expected)


def test_an_output_code_answers_by_the_distance_to_each_word():
    model = made(OutputCode(bits=5, code_seed=1))
    coded = part(model, Coded)
    p = coded.bits(X).sigmoid()
    distances = (p[:, None] - coded.words).abs().sum(2)
    torch.testing.assert_close(model(X), -distances)
    assert coded.words.tolist() == code(3, 5, 1)


def test_codes_have_words_far_apart_and_are_the_same_everywhere():
    words = torch.tensor(code(10, 16, 0))
    assert ((words[:, None] != words).sum(2) + 16 * torch.eye(10)).min() >= 5
    assert ["".join(map(str, word)) for word in code(3, 6, 7)] == PINNED
    assert code(10, 16, 1) != code(10, 16, 0)
    assert len(set(map(tuple, code(8, 3, 0)))) == 8
    assert len(code(500, 16, 0)) == 500


# Words are made by hashing: a stored model's never change.
PINNED = ["111011", "010110", "000001"]


def test_fixed_glimpses_are_shifts_of_the_picture():
    model, bare = made(Glimpses(glimpses=3, shift=2, random_glimpses=False)), build(BARE, seed=0)
    right, left = F.pad(X, (2, 0))[..., :6], F.pad(X, (0, 2))[..., 2:]
    answers = torch.stack([bare(seen).softmax(1) for seen in (X, right, left)])
    torch.testing.assert_close(model(X), answers.mean(0).log())


def test_random_glimpses_are_drawn_for_each_picture_and_shift_both_ways():
    """A lone bright pixel is found at every place that a shift of at most 1 leads to, and at no other."""
    model = made(Glimpses(glimpses=64, shift=1, random_glimpses=True)).network
    spot = torch.zeros(2, 1, 6, 6)
    spot[:, :, 2, 3] = 1
    seen = model._shifted(spot, model._drawn(spot, 64))  # (64, 2, 1, 6, 6)
    assert (seen.sum(dim=(2, 3, 4)) == 1).all()
    assert torch.equal(seen.sum(dim=(0, 1, 2)) > 0, F.max_pool2d(spot[0], 3, stride=1, padding=1)[0] > 0)
    assert not torch.equal(seen[:, 0], seen[:, 1])


def test_one_glimpse_without_a_shift_is_the_network_itself():
    model = made(Glimpses(glimpses=1, shift=0, random_glimpses=True))
    torch.testing.assert_close(model(X), build(BARE, seed=0)(X).log_softmax(1))
    assert torch.equal(model.train()(X), build(BARE, seed=0)(X))


@pytest.mark.parametrize(
    "bad",
    [
        lambda: Noise(sigma=-0.1, votes=1),
        lambda: Noise(sigma=float("nan"), votes=1),
        lambda: Noise(sigma=0.1, votes=0),
        lambda: Autoencoder(units=10_000),
        lambda: Committee(members=65),
        lambda: ConfidenceReduction(reduction=2),
        lambda: OutputCode(bits=1, code_seed=0),
        lambda: OutputCode(bits=9, code_seed=2**32),
        lambda: Glimpses(glimpses=0, shift=1, random_glimpses=True),
        lambda: Glimpses(glimpses=1, shift=65, random_glimpses=True),
        lambda: build(Signature("mlp", (1, 2, 2), 5, component=OutputCode(bits=2, code_seed=0)), seed=0),
        lambda: build(Signature("mlp", (1, 2, 2), 1001, component=OutputCode(bits=16, code_seed=0)), seed=0),
        lambda: load(
            safetensors.torch.save({}), Signature("linear_svm", (1, 2, 2), 3, component=Noise(sigma=0, votes=1))
        ),
    ],
)
def test_what_no_component_can_be(bad):
    with pytest.raises(Rejected) as caught:
        bad()
    assert caught.value.reason == "BAD_SIGNATURE"


def test_a_model_without_the_component_says_so():
    with pytest.raises(Rejected) as caught:
        part(build(BARE, seed=0), Members)
    assert caught.value.reason == "NO_SUCH_COMPONENT"


@pytest.mark.parametrize("component", EVERY.values(), ids=EVERY)
def test_attacks_go_through_all_of_it(component):
    """PGD on the whole model finds a gradient, and follows it; the same run gives the same bytes."""
    model = made(component)
    y = seeded(model).argmax(1)
    parameters = {"steps": 10, "step_size": 0.1, "restarts": 1, "random_start": False, "loss": "margin"}
    plan = AttackPlan(name="pgd", epsilon=0.5, parameters=parameters)

    def run():
        return run_attack(model, X, y, plan, sample_ids=torch.arange(8), seed=1, batch_size=4)

    first, again = run(), run()
    assert torch.equal(first.x_adv, again.x_adv)
    assert not first.zero_gradient.any()
    before, after = (margin(seeded(model, x), y).mean() for x in (X, first.x_adv))
    assert after > before
    assert first.violations == 0
