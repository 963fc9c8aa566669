"""The chart of deploy/helm, rendered by Helm: skipped with a sentence where there is none.

SPARRING_HELM_MUST_RUN=1    fail instead
"""

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from kubernetes_validate import utils

from tools.helm import HelmMissingError, find

from .rendering import CASES, Release, render
from .secrets_made import FakeCluster, made_by


@pytest.fixture(scope="session")
def helm() -> Path:
    """Helm, as tools/helm.py finds or gets it."""
    try:
        return find()
    except HelmMissingError as reason:
        if os.environ.get("SPARRING_HELM_MUST_RUN") == "1":
            pytest.fail(f"the chart must be rendered, but: {reason}")
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def releases(helm: Path) -> dict[str, Release]:
    """The chart with every set of values in `CASES`."""
    return {case: render(helm, *arguments) for case, arguments in CASES.items()}


@pytest.fixture(scope="session", params=list(CASES))
def release(request: pytest.FixtureRequest, releases: dict[str, Release]) -> Release:
    """The chart with each set of values in turn."""
    return releases[request.param]


@pytest.fixture(scope="session")
def secrets_of_prepare(releases: dict[str, Release]) -> FakeCluster:
    """The Secrets that the chart's own Job makes with the default values."""
    return made_by(releases["defaults"])


@pytest.fixture(scope="session", autouse=True)
def read_schemas_once() -> Iterator[None]:
    """The package reads a megabyte for each object anew."""
    with mock.patch.object(utils, "schema_contents", functools.cache(utils.schema_contents)):
        yield
