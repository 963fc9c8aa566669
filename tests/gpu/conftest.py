"""`make gpu-check` is run where a GPU is meant to be: there the tests must not pass by being skipped."""

from __future__ import annotations

import os

import pytest
import torch


def pytest_collection_finish(session: pytest.Session) -> None:
    """End the whole run where a GPU was asked for and torch sees none."""
    wanted = os.environ.get("SPARRING_NEED_GPU") == "1" and any(
        item.get_closest_marker("gpu") for item in session.items
    )
    if wanted and not torch.cuda.is_available():
        pytest.exit(
            f"no GPU: torch {torch.__version__} (built for CUDA {torch.version.cuda or 'none'}) sees none. Run "
            "this on a machine with NVIDIA's driver and a torch of its CUDA version, see docs/gpus.md; `make test-gpu` "
            "skips these tests instead",
            returncode=1,
        )
