"""Jobs whose bytes are kept elsewhere make the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import sparring

from services.local import LocalStack

pytestmark = pytest.mark.xdist_group("stack")


@pytest.fixture
def place(request: pytest.FixtureRequest, fast_folder: Path, tmp_path: Path) -> dict[str, str]:
    """The variables that lead to an empty place of a kind."""
    if request.param == "file":
        folder = fast_folder / f"artifacts-{tmp_path.name}"
        folder.mkdir()
        return {"SPARRING_ARTIFACTS": f"file://{folder}"}
    return bucket(request.getfixturevalue("s3_server"), tmp_path)


def bucket(endpoint: str, folder: Path) -> dict[str, str]:
    for name in ("key", "secret"):
        (folder / name).write_text(name)
    return {
        "SPARRING_ARTIFACTS": f"s3://sparring/{folder.name}",
        "SPARRING_S3_ENDPOINT": endpoint,
        "SPARRING_S3_KEY_FILE": str(folder / "key"),
        "SPARRING_S3_SECRET_FILE": str(folder / "secret"),
    }


@pytest.mark.parametrize("place", ["file", "s3"], indirect=True)
def test_a_model_is_trained_attacked_fetched_and_verified_with_the_same_bytes_as_in_redis(  # noqa: PLR0917 - fixtures
    api: Any,
    model: str,
    place: dict[str, str],
    fast_folder: Path,
    tmp_path: Path,
    api_of: Callable[[str], AbstractContextManager[Any]],
) -> None:
    expected = api.digest(api.run(api.attack(model, api.fgsm())))
    with (
        LocalStack(1, fast_folder / f"stack-{tmp_path.name}", environment=place) as stack,
        api_of(stack.target) as there,
    ):
        trained = there.run(there.training(model_id="first"))
        attacked = there.run(there.attack(trained.result.model, there.fgsm()))
        assert there.digest(attacked) == expected
        assert there.download(attacked, "report").startswith(b"<!doctype html>")
        content = bytes(range(256)) * 20_000
        name = there.upload(content)
        with sparring.connect(stack.target) as client:
            assert client.artifacts.read(name) == content
            assert sparring.verify(client, attacked.name, units=1).ok
            client.artifacts.delete(name)
