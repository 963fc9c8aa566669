"""What is counted of the computation itself: samples through models, what the caches knew, memory that ran out."""

import pytest
from sparring.v1 import defenses_pb2, jobs_pb2

from services.telemetry.metrics_worker import MEASURED
from workers.run import device
from workers.run.reasons import explain


@pytest.fixture
def count():
    """A sample of this process; 0 where there is none yet."""

    def ask(name, **labels):
        found = MEASURED.registry.get_sample_value(name, labels)
        return 0 if found is None else found

    return ask


def test_an_attack_counts_its_samples_and_the_shards_share_the_model(bench, make, count):
    names = ("sparring_worker_forwards_total", "sparring_worker_backwards_total")
    before = [count(name, attack="fgsm") for name in names]
    cache = "sparring_worker_cache_total"
    caches = {outcome: count(cache, cache="models", outcome=outcome) for outcome in ("hit", "miss")}
    bench.result(make.attack(bench.model()))
    after = [count(name, attack="fgsm") for name in names]
    assert after[0] - before[0] >= after[1] - before[1] > 0
    assert count(cache, cache="models", outcome="miss") == caches["miss"] + 1
    assert count(cache, cache="models", outcome="hit") > caches["hit"]


def test_checkpoints_are_counted_with_their_bytes(bench, make, count):
    names = ("sparring_worker_checkpoints_total", "sparring_worker_checkpoint_bytes_total")
    before = [count(name) for name in names]
    bench.result(make.training(defenses_pb2.Defense(standard=defenses_pb2.StandardTraining())))
    assert count(names[0]) == before[0] + 3
    assert count(names[1]) > before[1] + 3 * 650


def test_memory_that_ran_out_is_counted(count):
    before = count("sparring_worker_out_of_memory_total", outcome="failed")
    explain(MemoryError(), jobs_pb2.Job())
    assert count("sparring_worker_out_of_memory_total", outcome="failed") == before + 1


def test_the_memory_of_a_cpu_is_that_of_process_and_machine(bench):
    used, total = device.memory(bench.context.device)
    assert 1e7 < used < total
