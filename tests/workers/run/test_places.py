"""A worker takes no work before the place of the artifacts' bytes can be used."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest

from services.artifacts.store import ArtifactStore
from services.connection import Redis
from services.jobs.store import JobStore
from services.settings import BytesSettings, StoreSettings
from workers.lease import Drain, Draining
from workers.run import places


@pytest.fixture
def artifacts(redis: Redis, job_store: JobStore, store_settings: StoreSettings, tmp_path: Path) -> ArtifactStore:
    where = BytesSettings(url=f"file://{tmp_path / 'volume'}")
    return ArtifactStore(redis, dataclasses.replace(store_settings, artifacts=where))


def test_it_waits_for_a_volume_that_is_not_mounted_yet(
    artifacts: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(places, "AGAIN_S", 0.01)
    mounting = threading.Timer(0.2, (tmp_path / "volume").mkdir)
    mounting.start()
    places.wait_for(artifacts, Drain())
    mounting.join()
    assert "make it or mount it" in caplog.text
    artifacts.check()


def test_it_leaves_when_it_is_told_to_shut_down_meanwhile(artifacts: ArtifactStore, tmp_path: Path) -> None:
    drain = Drain(tmp_path / "drain")
    drain.request()
    with pytest.raises(Draining):
        places.wait_for(artifacts, drain)


def test_bytes_in_the_store_itself_are_not_waited_for(artifact_store: ArtifactStore) -> None:
    places.wait_for(artifact_store, Drain())
