"""Radii of the contract that mean something by themselves."""

from __future__ import annotations

from collections.abc import Mapping

from sparring.v1 import attacks_pb2

# The radius that stands for none, by norm: the largest that the contract allows.
NO_LIMIT: Mapping[int, float] = {
    attacks_pb2.NORM_LINF: 1.0,
    attacks_pb2.NORM_L2: 1000.0,
    attacks_pb2.NORM_L1: 1000.0,
    attacks_pb2.NORM_L0: 1_000_000.0,
}
