"""Signs of hidden gradients: attacks that see less and break more, and attacks that prove nothing either way."""

from __future__ import annotations

import pytest

from workers.evaluation import Shard, summarize

N = 1000
BETTER = "breaks more than any attack that has the gradients"


@pytest.fixture
def warn(make):
    """Return a function from (info, samples left, distance) triples to the warnings, on 1000 samples of 3 classes."""

    def warnings(*runs, defense="standard", **more):
        clean = make.clean([i % 3 for i in range(N)])
        done = [
            make.run(clean, [i % 3 if i < left else (i + 1) % 3 for i in range(N)], key=info.key, distance=far, **more)
            for info, left, far in runs
        ]
        given = make.given([Shard(clean, tuple(done))], [run[0] for run in runs], models=[make.model(defense=defense)])
        return summarize(given).warnings

    return warnings


def has(warnings, words):
    return any(words in warning for warning in warnings)


def square(make, key="a1", **more):
    parameters = {"queries": 5000, "loss": "margin"}
    return make.info(key, attack="square", knowledge="scores", parameters=parameters, **more)


def hop_skip_jump(make, key="a1", norm="linf", **more):
    settings = {"epsilon": 1.0, "knowledge": "labels", "minimum": True, "parameters": {"queries": 1000}, **more}
    return make.info(key, attack="hop_skip_jump", norm=norm, **settings)


def test_scores_that_break_more_than_gradients_are_a_sign_of_masking(make, warn):
    found = warn((make.info("a0"), 500, 0.3), (square(make), 498, 0.3))
    assert has(found, f"Square with the margin loss, which asks for scores only, {BETTER}")
    assert has(found, "at L∞ 0.3 (76.5/255) it leaves 49.8 %, PGD 50.0 %")


@pytest.mark.parametrize("left", [499, 500, 700])
def test_less_than_two_tenths_of_a_point_says_nothing(make, warn, left):
    assert not has(warn((make.info("a0"), 500, 0.3), (square(make), left, 0.3)), BETTER)


def test_it_must_be_better_than_every_attack_with_gradients(make, warn):
    weak = (make.info("a0", attack="fgsm"), 900, 0.3)
    assert has(warn(weak, (square(make), 500, 0.3)), BETTER)
    assert not has(warn(weak, (square(make), 500, 0.3), (make.info("a2"), 400, 0.3)), BETTER)


def test_only_the_same_ball_and_goal_are_compared(make, warn):
    pgd = make.info("a0", epsilon=0.1), 500, 0.1
    assert not has(warn(pgd, (square(make, epsilon=0.2), 100, 0.2)), BETTER)
    assert not has(warn(pgd, (square(make, epsilon=0.1, norm="l2"), 100, 0.1)), BETTER)
    assert has(warn(pgd, (square(make, epsilon=0.1), 100, 0.1)), BETTER)
    assert not has(warn((square(make, epsilon=0.1), 100, 0.1)), BETTER), "nothing to compare with"


def test_labels_count_at_the_radius_that_they_reach(make, warn):
    """HopSkipJump without a limit is judged in the ball that PGD had: by what it broke within it."""
    pgd = make.info("a0"), 500, 0.3
    assert has(warn(pgd, (hop_skip_jump(make), 100, 0.2)), "HopSkipJump, which asks for labels only")
    assert not has(warn(pgd, (hop_skip_jump(make), 100, 0.4)), BETTER)


def test_a_minimum_norm_attack_with_gradients_answers_for_them(make, warn):
    fab = make.info("a2", attack="fab", epsilon=1.0, minimum=True)
    pgd, blind = (make.info("a0"), 500, 0.3), (square(make), 300, 0.3)
    assert not has(warn(pgd, blind, (fab, 200, 0.25)), BETTER)
    assert has(warn(pgd, blind, (fab, 200, 0.35)), BETTER)


@pytest.mark.parametrize("attack", ["eot_pgd", "plugin"])
def test_attacks_with_another_aim_answer_for_no_gradient(make, warn, attack):
    other = make.info("a0", attack=attack), 900, 0.3
    assert not has(warn(other, (square(make), 500, 0.3)), BETTER)


@pytest.mark.parametrize(
    ("attack", "more"),
    [
        ("deepfool", {"minimum": True}),
        ("carlini_wagner", {"minimum": True}),
        ("square", {"knowledge": "scores"}),
        ("boundary", {"knowledge": "labels", "minimum": True}),
        ("eot_pgd", {}),
    ],
)
def test_a_single_step_beats_no_attack_that_is_not_an_iterated_one_in_a_ball(make, warn, attack, more):
    """Whatever has `steps` is not PGD, and whatever has none is not FGSM."""
    iterated = make.info("a1", attack=attack, parameters={"epsilon": 0.3, "steps": 50}, **more)
    single = make.info("a1", attack=attack, **more)
    assert not has(warn((make.info("a0", attack="fgsm"), 100, 0.3), (iterated, 400, 0.3)), "a single step")
    assert not has(warn((single, 100, 0.3), (make.info("a0"), 400, 0.3)), "a single step")


def test_a_minimum_norm_or_label_only_attack_needs_not_fall_with_epsilon(make, warn):
    for more in ({"minimum": True}, {"knowledge": "labels"}):
        low = make.info("a0", attack="other", epsilon=0.1, **more), 300, 0.1
        high = make.info("a1", attack="other", epsilon=0.2, **more), 400, 0.2
        assert not has(warn(low, high), "does not fall")
    seeing = make.info("a0", attack="other", epsilon=0.1), make.info("a1", attack="other", epsilon=0.2)
    assert has(warn((seeing[0], 300, 0.1), (seeing[1], 400, 0.2)), "does not fall")


def test_attacks_without_gradients_say_nothing_of_saturation(make, warn):
    assert not has(warn((square(make), 100, 0.3), zero=900), "saturated")
    assert has(warn((make.info(), 100, 0.3), zero=900), "saturated")


def test_a_distilled_model_may_have_an_attack_without_a_limit_beside_it(make, warn):
    fgsm = make.info("a0", attack="fgsm"), 620, 0.25
    cw = make.info("a1", attack="carlini_wagner", norm="l2", epsilon=1000.0, minimum=True), 0, 1.36
    found = warn(fgsm, cw, defense="distillation")
    assert has(found, "Carlini-Wagner at L2 no limit turns 100.0 %, at a median distance of 1.36.")
    ddn = make.info("a1", attack="ddn", norm="l2", epsilon=1000.0, minimum=True), 0, 1.36
    assert has(warn(fgsm, ddn, defense="distillation"), "run PGD with loss margin"), "DDN climbs cross-entropy"


def test_a_model_trained_on_fgsm_needs_an_iterated_attack_in_a_ball(make, warn):
    deepfool = make.info("a1", attack="deepfool", parameters={"steps": 50}, epsilon=1.0, minimum=True), 0, 0.1
    found = warn((make.info("a0", attack="fgsm"), 900, 0.3), deepfool, defense="fgsm_adversarial")
    assert has(found, "No iterated attack was run: run PGD")
