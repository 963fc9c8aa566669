"""Uploads of models with something around their network."""

import pytest
from sparring import errors
from sparring.v1 import components_pb2

NOISE = components_pb2.NoiseComponent(sigma=0.1, votes=4)


@pytest.mark.parametrize(
    "component",
    ["noise:sigma=0.1,votes=4", NOISE, components_pb2.Component(noise=NOISE)],
    ids=["text", "part", "whole"],
)
def test_what_stands_around_a_network_is_a_part_of_its_signature(either, service, component):
    either.models.upload(
        b"x", architecture="mlp", input_shape=(1, 28, 28), classes=10, component=component, model_id="net"
    )
    (request,) = service.requests("RegisterModel")
    assert request.signature.component == components_pb2.Component(noise=NOISE)


def test_a_component_that_there_is_not_is_refused_before_anything_is_sent(either, service):
    with pytest.raises(errors.InvalidArgument, match="known are: noise, autoencoder"):
        either.models.upload(b"x", architecture="mlp", input_shape=(1, 28, 28), classes=10, component="fog:sigma=1")
    assert service.requests("RegisterModel") == []
