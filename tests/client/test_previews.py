"""Previews by the client, of either kind: pictures without numpy, and what is asked again."""

from __future__ import annotations

import inspect
import struct

import grpc
import pytest
from sparring import AsyncClient, Client, errors, previews
from sparring.v1.attacks_pb2 import Attack, Fgsm
from sparring.v1.models_pb2 import Model

GREY = previews.picture(bytes(784), (1, 28, 28))


def test_a_sample_is_previewed_on_one_model_or_two(either, service):
    shown = either.preview("net", ("mnist10k", 7), "bim", epsilon="8/255", steps=10, seed=3)
    assert [one.model for one in shown.models] == ["models/net"]
    (sent,) = service.requests("PreviewAttack")
    assert (sent.sample.dataset, sent.sample.index, sent.seed) == ("datasets/mnist10k", 7, 3)
    assert (sent.attack.bim.epsilon, sent.attack.bim.steps) == (8 / 255, 10)
    shown = either.preview(["net", Model(name="models/hard")], ("mnist10k", 7), split="train")
    assert [one.model for one in shown.models] == ["models/net", "models/hard"]
    assert not service.requests("PreviewAttack")[1].HasField("attack")


def test_a_picture_of_one_s_own_has_a_label_or_none(either, service):
    shown = either.preview("net", GREY, Attack(fgsm=Fgsm(epsilon=0.1)), target=3)
    assert shown.original == GREY
    either.preview("net", GREY, label=0)
    first, second = service.requests("PreviewAttack")
    assert (first.HasField("label"), first.attack.goal.targeted.label) == (False, 3)
    assert (second.HasField("label"), second.label) == (True, 0)


def test_samples_are_sixteen_unless_said_otherwise(either, service):
    assert len(either.samples("mnist10k").samples) == 16
    found = either.samples("mnist10k", split="train", offset=5, count=2)
    assert [one.index for one in found.samples] == [5, 6]
    assert not service.requests("ListSamples")[0].HasField("count")


def test_a_preview_that_nobody_answered_is_asked_again(either, service, fake):
    code = grpc.StatusCode.UNAVAILABLE
    service.failures["PreviewAttack"].append(fake.status_of(code, "again", reason="PREVIEW_UNANSWERED"))
    assert either.preview("net", GREY).models
    assert len(service.requests("PreviewAttack")) == 2


def test_too_many_previews_are_said_and_not_asked_again(either, service, fake):
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    service.failures["PreviewAttack"].append(fake.status_of(code, "wait", reason="TOO_MANY_PREVIEWS"))
    with pytest.raises(errors.ResourceExhausted, match="wait"):
        either.preview("net", GREY)
    assert len(service.requests("PreviewAttack")) == 1


def test_pictures_are_made_of_grey_levels_or_of_numbers_and_read_as_numbers():
    assert previews.values(previews.picture(b"\x00\xff", (1, 1, 2))) == (0, 1)
    exact = previews.picture([0.25, 0.5], [1, 1, 2])
    assert exact.float32 == struct.pack("<2f", 0.25, 0.5)
    assert previews.values(exact) == (0.25, 0.5)
    with pytest.raises(errors.InvalidArgument, match="4 values, these are 2"):
        previews.picture(b"\x00\xff", (1, 2, 2))


def test_a_target_without_an_attack_is_refused_before_anything_is_sent(either, service):
    with pytest.raises(errors.InvalidArgument, match="name one"):
        either.preview("net", GREY, target=3)
    with pytest.raises(errors.InvalidArgument):
        either.preview("net", GREY, epsilon=0.3)
    assert service.requests("PreviewAttack") == []


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_help_shows_the_arguments_and_what_comes_back(kind):
    assert inspect.signature(kind.preview).return_annotation == "PreviewAttackResponse"
    assert "shown" in inspect.signature(kind.preview).parameters
    assert inspect.signature(kind.samples).return_annotation == "ListSamplesResponse"
