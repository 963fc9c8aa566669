"""What a client calls the gateways that it is given."""

from __future__ import annotations

import pytest
from sparring.channel import grpc_target
from sparring.errors import InvalidArgument


@pytest.mark.parametrize(
    ("given", "target"),
    [
        ("127.0.0.1:50051", "127.0.0.1:50051"),
        ("192.0.2.1:1, 192.0.2.2:2", "ipv4:192.0.2.1:1,192.0.2.2:2"),
        ("[::1]:1,[::1]:2", "ipv6:[::1]:1,[::1]:2"),
        ("ipv4:192.0.2.1:1,192.0.2.2:2", "ipv4:192.0.2.1:1,192.0.2.2:2"),
    ],
)
def test_a_list_of_addresses_is_one_target(given, target):
    assert grpc_target(given) == target


@pytest.mark.parametrize("given", ["a.example:1,b.example:2", "192.0.2.1:1,[::1]:2", "192.0.2.1:1,"])
def test_a_list_that_grpc_can_not_resolve_is_refused_with_advice(given):
    with pytest.raises(InvalidArgument, match="IP:PORT,IP:PORT"):
        grpc_target(given)
