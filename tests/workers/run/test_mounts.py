"""Folders that ops mounted: made known, and read as whole or shard by shard."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from sparring.v1 import datasets_pb2, jobs_pb2

from services.artifacts.store import ArtifactStore
from services.errors import Unavailable
from services.jobs.store import JobStore
from workers.failures import Rejected
from workers.lease import Drain, Draining
from workers.run import mounts, unit
from workers.run.unit import Context, Unit


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of four pictures each, of 6 x 5 pixels."""
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        folder = tmp_path / "pets" / "test" / name
        folder.mkdir(parents=True)
        for number in range(4):
            Image.fromarray(random.integers(0, 256, (6, 5, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return tmp_path


def unit_of(store: JobStore, artifacts: ArtifactStore, root: Path | None) -> Unit:
    given = None if root is None else str(root)
    context = Context(store=store, artifacts=artifacts, device=torch.device("cpu"), data_root=given)
    return Unit(
        lease=SimpleNamespace(tenant="default"),
        job=jobs_pb2.Job(),
        heartbeat=SimpleNamespace(insist=None),
        context=context,
    )


def selection() -> jobs_pb2.ResolvedData:
    """Samples 1 to 7 of the eight."""
    return jobs_pb2.ResolvedData(
        dataset="pets",
        source=datasets_pb2.DATASET_SOURCE_MOUNTED,
        split="test",
        offset=1,
        count=6,
        classes=2,
        input_shape=[3, 6, 5],
    )


def test_a_folder_is_made_known_as_clients_see_it(job_store: JobStore, root: Path) -> None:
    mounts.announce(job_store, str(root), Drain())
    (record,) = job_store.mounts()
    dataset = datasets_pb2.Dataset.FromString(record)
    assert (dataset.name, dataset.source) == ("datasets/pets", datasets_pb2.DATASET_SOURCE_MOUNTED)
    assert dataset.state == datasets_pb2.Dataset.STATE_READY
    assert list(dataset.input_shape) == [3, 6, 5]
    assert [(split.name, split.count, list(split.class_counts)) for split in dataset.splits] == [("test", 8, [4, 4])]


def test_a_store_that_is_not_there_yet_is_waited_for(
    job_store: JobStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [Unavailable("not yet"), Unavailable("not yet"), None]
    real = job_store.announce_mount

    def announce(record: bytes, name: str) -> None:
        if (error := answers.pop(0)) is not None:
            raise error
        real(record, name)

    monkeypatch.setattr(job_store, "announce_mount", announce)
    monkeypatch.setattr(mounts.time, "sleep", lambda _: None)
    mounts.announce(job_store, str(root), Drain())
    assert answers == []
    assert len(job_store.mounts()) == 1


def test_a_store_that_never_comes_does_not_keep_a_worker_from_ending(
    job_store: JobStore, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drain = Drain(tmp_path / "drain")

    def announce(*_: object) -> None:
        drain.request()
        raise Unavailable("never")

    monkeypatch.setattr(job_store, "announce_mount", announce)
    with pytest.raises(Draining):
        mounts.announce(job_store, str(root), drain)


def test_samples_are_the_same_read_as_a_whole_or_by_shards(
    job_store: JobStore, artifact_store: ArtifactStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = unit_of(job_store, artifact_store, root)
    whole = reader.samples(selection())
    assert whole.y.tolist() == [0, 0, 0, 1, 1, 1]
    kept = reader.samples(selection(), 2, 5)
    monkeypatch.setattr(unit, "MOUNTED_BYTES_KEPT", 0)
    read = reader.samples(selection(), 2, 5)
    for part in (kept, read):
        assert torch.equal(part.x, whole.x[2:5])
        assert torch.equal(part.y, whole.y[2:5])


def test_a_worker_without_the_folder_says_what_to_do(job_store: JobStore, artifact_store: ArtifactStore) -> None:
    with pytest.raises(Rejected, match="SPARRING_DATA_ROOT"):
        unit_of(job_store, artifact_store, None).samples(selection())
