"""Sparring's Python client: attack and defend image classifiers over gRPC.

    import sparring

    with sparring.connect("127.0.0.1:50051") as client:
        job = client.attack("my-net", "mnist10k", "bim", epsilon=0.3, steps=20)
        done = client.jobs.wait(job)

Importing this imports nothing else: gRPC and protobuf are loaded when a name of it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparring import errors
    from sparring.aio import AsyncClient, connect_async
    from sparring.client import Client, connect
    from sparring.comparison import Comparison, compare
    from sparring.pipeline import Pipeline
    from sparring.verification import Verification, verify

__all__ = [
    "AsyncClient",
    "Client",
    "Comparison",
    "Pipeline",
    "Verification",
    "compare",
    "connect",
    "connect_async",
    "errors",
    "verify",
]

_HOMES = {
    "AsyncClient": "sparring.aio",
    "connect_async": "sparring.aio",
    "Client": "sparring.client",
    "connect": "sparring.client",
    "Comparison": "sparring.comparison",
    "compare": "sparring.comparison",
    "Pipeline": "sparring.pipeline",
    "Verification": "sparring.verification",
    "verify": "sparring.verification",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562)."""
    if name == "errors":
        return importlib.import_module("sparring.errors")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Show the lazy names too."""
    return sorted({*globals(), *__all__})
