"""What a GPU says when it has no memory left, and when it answers no more; said here by a CPU."""

from __future__ import annotations

import pytest
import torch
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from sparring.v1 import jobs_pb2

from workers import models, run
from workers.failures import DeviceLost
from workers.lease import Failed
from workers.run import reasons


def test_where_memory_ran_out_it_is_said_how_to_ask_for_a_device_with_more():
    spec = jobs_pb2.AttackSpec(execution=jobs_pb2.Execution(batch_size=1))
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
    message = reasons.explain(error, jobs_pb2.Job(attack=spec), memory_bytes=24 << 30).message
    assert "this worker's device has 24.0 GiB" in message
    assert "--min-device-memory-gib 25" in message
    assert "GiB" not in reasons.explain(error, jobs_pb2.Job(attack=spec)).message
    assert "GiB" not in reasons.explain(error, jobs_pb2.Job(intake=jobs_pb2.IntakeSpec()), memory_bytes=1 << 30).message


def test_a_job_that_no_batch_makes_fit_is_not_tried_on_another_worker(laboratory, attack, monkeypatch):
    """As a GPU says it: every forward fails, down to one sample, and the job ends with its first attempt."""
    model = laboratory.model()
    laboratory.result(attack(model, "fgsm"), "warm")
    monkeypatch.setattr(models.Classifier, "forward", _no_memory)
    outcome = laboratory.run(attack(model, "pgd"))
    assert isinstance(outcome, Failed)
    failure, info = Status.FromString(outcome.error), ErrorInfo()
    assert failure.details[0].Unpack(info)
    assert info.reason == "OUT_OF_MEMORY"
    assert "--min-device-memory-gib" in failure.message


def _no_memory(*_):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), True),
        (
            torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might"),
            True,
        ),
        (RuntimeError("CUDA error: unspecified launch failure"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True),
        (torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered"), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), False),
        (torch.AcceleratorError("CUDA error: out of memory"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("device-side assert triggered"), False),
    ],
    ids=str,
)
def test_a_lost_device_is_told_from_every_other_error(laboratory, attack, monkeypatch, error, lost):
    model = laboratory.model()

    def fail(*_):
        raise error

    monkeypatch.setattr(run, "UNITS", {"attack": fail})
    if lost:
        with pytest.raises(DeviceLost, match=type(error).__name__):
            laboratory.run(attack(model, "pgd"))
    else:
        assert isinstance(laboratory.run(attack(model, "pgd")), Failed)
