"""What a worker answers to previews: what a job of that sample would have found, and what went wrong."""

from __future__ import annotations

import pytest
import torch
from google.rpc import code_pb2
from safetensors.torch import load
from sparring import previews
from sparring.v1 import attacks_pb2, datasets_pb2, jobs_pb2, preview_pb2

from workers import data
from workers.run import previews as answering
from workers.run.previews import answer

UNTARGETED = attacks_pb2.Goal(untargeted=attacks_pb2.Untargeted())
INDEX, SEED = 17, 5
LINF = attacks_pb2.NORM_LINF
ATTACKS = {
    "fgsm": attacks_pb2.Attack(fgsm=attacks_pb2.Fgsm(epsilon=0.1, norm=LINF), goal=UNTARGETED),
    "bim": attacks_pb2.Attack(bim=attacks_pb2.Bim(epsilon=0.1, steps=7, step_size=0.02, norm=LINF), goal=UNTARGETED),
    "least_likely": attacks_pb2.Attack(
        iterative_least_likely=attacks_pb2.IterativeLeastLikely(epsilon=0.2, steps=7, step_size=0.05)
    ),
    "pgd": attacks_pb2.Attack(
        pgd=attacks_pb2.Pgd(
            epsilon=0.1,
            steps=5,
            step_size=0.03,
            restarts=2,
            random_start=True,
            loss=attacks_pb2.LOSS_CROSS_ENTROPY,
            norm=LINF,
        ),
        goal=attacks_pb2.Goal(targeted=attacks_pb2.Targeted(random=attacks_pb2.RandomTarget())),
    ),
    "fooling": attacks_pb2.Attack(
        fooling_gradient=attacks_pb2.FoolingGradient(epsilon=1, steps=9, learning_rate=0.02, decay=0.01, norm=LINF),
        goal=attacks_pb2.Goal(targeted=attacks_pb2.Targeted(label=3)),
    ),
}


def one_digit(index=INDEX):
    return jobs_pb2.ResolvedData(
        dataset="digits",
        source=datasets_pb2.DATASET_SOURCE_BUILT_IN,
        split="test",
        offset=index,
        count=1,
        classes=10,
        input_shape=[1, 8, 8],
    )


def task(models, attack=None, *, tenant="default", **picture):
    given = picture or {"sample": preview_pb2.SampleName(dataset="digits", split="test", index=INDEX)}
    request = preview_pb2.PreviewAttackRequest(attack=attack, seed=SEED, **given)
    pinned = one_digit() if "sample" in given else None
    return preview_pb2.PreviewTask(id="p", tenant=tenant, attack=request, models=models, data=pinned)


def looked(found):
    assert found.HasField("attack"), found.error
    return found.attack


def said(bench, found):
    return code_pb2.Code.Name(found.error.code), *bench.said(found.error)


def tensor(picture):
    return torch.tensor(previews.values(picture)).reshape(1, *picture.shape)


@pytest.mark.parametrize("name", ATTACKS)
def test_a_preview_finds_bit_for_bit_what_a_job_of_that_sample_finds(bench, name) -> None:
    model, attack = bench.model(), ATTACKS[name]
    execution = jobs_pb2.Execution(batch_size=1, shard_size=1)
    spec = jobs_pb2.AttackSpec(model=model.name, attack=attack, seed=SEED, execution=execution)
    resolution = jobs_pb2.Resolution(models=[model], data=one_digit(), shards=1, units=1)
    kept = load(bench.file(bench.result(jobs_pb2.Job(attack=spec, resolution=resolution)), "adversarial"))
    shown = looked(answer(task([model], attack), bench.context))
    assert torch.equal(tensor(shown.models[0].adversarial), kept["x_adv"])
    assert shown.models[0].success == bool(kept["success"][0])
    assert shown.models[0].label == shown.label == int(kept["label"][0])


def test_two_models_are_asked_side_by_side(bench) -> None:
    both = [bench.model(0), bench.model(1)]
    shown = looked(answer(task(both, ATTACKS["fgsm"]), bench.context))
    assert [one.model for one in shown.models] == ["models/m0", "models/m1"]
    assert shown.models[0].probabilities != shown.models[1].probabilities
    alone = looked(answer(task(both[1:], ATTACKS["fgsm"]), bench.context))
    assert alone.models[0] == shown.models[1]
    for one in shown.models:
        assert sum(one.probabilities) == pytest.approx(1)
        assert one.distance == pytest.approx(0.1, abs=1e-6) or not one.attacked
        assert one.forwards > 0


def test_without_an_attack_the_models_are_only_asked(bench) -> None:
    shown = looked(answer(task([bench.model()]), bench.context)).models[0]
    assert shown.probabilities == shown.clean_probabilities
    assert not shown.HasField("adversarial")


@pytest.mark.parametrize("kind", ["float32", "uint8"])
def test_a_drawn_picture_is_attacked_from_what_the_model_sees_in_it(bench, kind) -> None:
    levels = data.builtin("digits", "test").x[INDEX]
    exact = data.builtin("digits", "test").pixels(slice(INDEX, INDEX + 1))
    drawn = (
        previews.picture((levels.float() / 16 * 255).round().to(torch.uint8).numpy().tobytes(), [1, 8, 8])
        if kind == "uint8"
        else previews.picture(exact.flatten().tolist(), [1, 8, 8])
    )
    shown = looked(answer(task([bench.model()], ATTACKS["fgsm"], drawn=drawn), bench.context))
    assert not shown.HasField("label")
    assert tensor(shown.original).sub(tensor(drawn)).abs().max() < 1e-6
    one = shown.models[0]
    assert one.label == max(range(10), key=lambda label: one.clean_probabilities[label])
    assert one.attacked
    assert one.probabilities[one.label] < one.clean_probabilities[one.label]


def test_samples_come_with_their_numbers_labels_and_grey_levels(bench) -> None:
    asked = preview_pb2.PreviewTask(id="p", tenant="default", samples=preview_pb2.ListSamplesRequest())
    asked.data.CopyFrom(one_digit(3))
    asked.data.count = 2
    found = answer(asked, bench.context).samples.samples
    whole = data.builtin("digits", "test")
    assert [(one.index, one.label) for one in found] == [(3, int(whole.y[3])), (4, int(whole.y[4]))]
    exact = whole.pixels(slice(3, 4))
    assert tensor(found[0].picture).sub(exact).abs().max() <= 0.5 / 255 + 1e-6


def test_weights_that_are_gone_or_do_not_fit_are_told_and_the_next_preview_is_answered(bench) -> None:
    gone = bench.model()
    gone.weights_sha256 = "f" * 64
    found = said(bench, answer(task([gone]), bench.context))
    assert found[:2] == ("FAILED_PRECONDITION", "ARTIFACT_MISSING")
    broken = bench.model()
    broken.weights_sha256 = bench.artifacts.put("default", b"no weights at all")
    assert said(bench, answer(task([broken]), bench.context))[1] == "MALFORMED_SAFETENSORS"
    assert looked(answer(task([bench.model()]), bench.context))


def test_another_tenants_weights_are_not_there_even_where_they_are_loaded(bench) -> None:
    model = bench.model()
    assert looked(answer(task([model]), bench.context))
    assert said(bench, answer(task([model], tenant="stranger"), bench.context))[1] == "ARTIFACT_MISSING"


def test_what_nobody_foresaw_and_want_of_memory_are_told_too(bench, monkeypatch) -> None:
    model = bench.model()

    def fail(error):
        def attack(*_, **__):
            raise error

        monkeypatch.setattr(answering, "run_attack", attack)
        return said(bench, answer(task([model], ATTACKS["fgsm"]), bench.context))

    assert fail(ZeroDivisionError("division"))[:2] == ("INTERNAL", "INTERNAL_ERROR")
    assert fail(MemoryError())[:2] == ("RESOURCE_EXHAUSTED", "OUT_OF_MEMORY")


def test_a_preview_leaves_torchs_random_state_as_it_was(bench) -> None:
    model, before = bench.model(), torch.get_rng_state()
    answer(task([model], ATTACKS["pgd"]), bench.context)
    assert torch.equal(torch.get_rng_state(), before)
