"""`sparring poison`: flags become a request, and its rows a table."""

from __future__ import annotations

from sparring.v1.datasets_pb2 import DataSelection
from sparring.v1.jobs_pb2 import JobResult, Optimization, PoisoningRow, PoisoningSpec, Proportion
from sparring.v1.poisoning_pb2 import Backdoor, Poison


def test_flags_fill_the_poisoning_that_is_sent(sparring, service):
    done = sparring(
        "poison backdoor --dataset mnist10k --architecture wong_cnn --fractions 0.01,1/20 --trigger-label 7 "
        "--sanitizer trimmed --dropped-fraction 0.1 --epochs 3 --evaluation-count 100 --count 500 --seed 4 --device cpu"
    )
    assert done.code == 0
    assert service.requests("CreateJob")[-1].poisoning == PoisoningSpec(
        architecture="wong_cnn",
        data=DataSelection(dataset="datasets/mnist10k", count=500),
        evaluation_data=DataSelection(dataset="datasets/mnist10k", count=100),
        poison=Poison(backdoor=Backdoor(trigger_label=7)),
        fractions=[0.01, 0.05],
        sanitizer="SANITIZER_TRIMMED",
        dropped_fraction=0.1,
        optimization=Optimization(epochs=3),
        seed=4,
        device="DEVICE_CPU",
    )


def test_the_result_of_a_poisoning_is_a_table_by_fraction(sparring, service):
    share = Proportion(value=0.25, low=0.2, high=0.3)
    row = PoisoningRow(fraction=0.1, samples=500, poisoned=50, n=100, error=share, clean_error=share)
    bare = {"result": JobResult(poisoning_rows=[row])}
    row.trigger_rate.value = row.sanitized_trigger_rate.value = 0.5
    row.sanitized_error.CopyFrom(share)
    service.add_job("jobs/j", poisoning=PoisoningSpec(poison=Poison(backdoor=Backdoor())), **bare)
    service.add_job("jobs/k", result=JobResult(poisoning_rows=[row]))
    plain, whole = (sparring(f"jobs get jobs/{name}").out for name in "jk")
    assert "10.0 %" in plain
    assert "Sanitized" not in plain
    assert "Fires" not in plain
    assert "Sanitized" in whole
    assert "50.0 %" in whole
