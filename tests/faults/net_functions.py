"""Requests to the store as they look on the wire, for a proxy that picks some of them."""

from __future__ import annotations

import re
from collections.abc import Callable

_CALL = re.compile(rb"\*\d+\r\n\$\d+\r\n(FCALL|FCALL_RO)\r\n\$\d+\r\n(\w+)\r\n")


def called(request: bytes) -> list[str]:
    """The functions that a request calls."""
    return [name.decode().partition("_")[2] for _, name in _CALL.findall(request)]


def calls(*functions: str) -> Callable[[bytes], bool]:
    """Whether a request calls one of some functions."""
    return lambda request: not set(functions).isdisjoint(called(request))
