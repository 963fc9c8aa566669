"""Which device a worker takes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from workers.lease import Drain, Draining
from workers.run import device


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Two GPUs that are names only, and a folder of locks of their own."""
    monkeypatch.setattr(device.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(device, "_held", [])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"gpu-{index}"))
    yield
    for descriptor in device._held:
        os.close(descriptor)


@pytest.mark.usefixtures("gpus")
def test_each_worker_takes_a_gpu_of_its_own_and_one_that_ends_gives_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [device._free_gpus(1, Drain())[0].index for _ in range(2)] == [0, 1]

    def first_ends(_: float) -> None:
        os.close(device._held.pop(0))

    monkeypatch.setattr(device.time, "sleep", first_ends)
    assert device._free_gpus(1, Drain())[0].index == 0


@pytest.mark.usefixtures("gpus")
def test_a_worker_takes_all_the_gpus_that_its_trainings_are_spread_over_or_none(monkeypatch) -> None:
    (first,) = device._free_gpus(1, Drain())
    assert first.index == 0

    def first_ends(_: float) -> None:
        """The worker that waits holds nothing meanwhile: another could take the second one."""
        other = device._lock(Path(device.tempfile.gettempdir()) / "sparring-gpus" / "gpu-1.lock")
        assert other is not None
        os.close(other)
        os.close(device._held.pop(0))

    monkeypatch.setattr(device.time, "sleep", first_ends)
    assert [taken.index for taken in device._free_gpus(2, Drain())] == [0, 1]


@pytest.mark.usefixtures("gpus")
def test_more_processes_than_gpus_are_refused() -> None:
    with pytest.raises(RuntimeError, match="SPARRING_PROCESSES is 3, but torch sees 2 GPUs"):
        device._free_gpus(3, Drain())


@pytest.mark.usefixtures("gpus")
def test_a_worker_that_waits_for_a_gpu_ends_when_it_is_told_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drain = Drain(tmp_path / "drain")
    monkeypatch.setattr(device.time, "sleep", lambda _: drain.request())
    for _ in range(2):
        device._free_gpus(1, drain)
    with pytest.raises(Draining):
        device._free_gpus(1, drain)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_worker_without_a_gpu_says_so() -> None:
    with pytest.raises(RuntimeError, match="torch sees no GPU"):
        device._free_gpus(1, Drain())


def test_a_processor_has_a_name() -> None:
    assert device.processor()
