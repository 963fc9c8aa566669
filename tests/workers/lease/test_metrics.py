"""What a worker counts of its units, its time and its heartbeats; and that nobody's port keeps it from working."""

import threading
import time
import urllib.request

import pytest
from prometheus_client import generate_latest

from services.telemetry.metrics import WORKER
from services.telemetry.metrics_serving import serve_if_possible
from services.telemetry.metrics_worker import MEASURED, Busy, WorkerMetrics, process_memory
from workers.lease import Committed, Draining, Finished


@pytest.fixture
def grown():
    """By how much a sample of this process has grown since the test began."""
    before = {(s.name, *sorted(s.labels.items())): s.value for m in MEASURED.registry.collect() for s in m.samples}

    def ask(name, **labels):
        now = MEASURED.registry.get_sample_value(name, labels)
        return (0 if now is None else now) - before.get((name, *sorted(labels.items())), 0)

    return ask


def test_units_are_counted_by_what_became_of_them_and_timed(bench, grown):
    def run(lease, heartbeat):
        if lease.job_id == "broken":
            raise RuntimeError("nobody foresaw it")
        if lease.job_id == "drained":
            raise Draining
        time.sleep(0.3)
        return Finished(b"") if lease.closing else Committed("d", {})

    for name in ("job", "broken", "drained"):
        bench.submit(name, units=1, kind="poisoning")
    worker = bench.worker(run)
    # Whatever comes again, comes until it is put aside.
    drained = threading.Timer(2.0, bench.drain.request)
    drained.start()
    worker.serve()
    drained.cancel()
    assert grown("sparring_worker_units_total", kind="poisoning", outcome="committed") == 1
    assert grown("sparring_worker_units_total", kind="poisoning", outcome="finished") == 1
    assert grown("sparring_worker_units_total", kind="poisoning", outcome="crashed") == 3
    assert grown("sparring_worker_units_total", kind="poisoning", outcome="draining") >= 1
    assert grown("sparring_worker_unit_seconds_count", kind="poisoning") == 2
    assert 0.6 <= grown("sparring_worker_busy_seconds_total") < 10
    assert grown("sparring_worker_heartbeat_late_seconds_count") >= 4


def test_a_unit_at_work_counts_before_it_has_ended():
    busy = Busy()
    with busy.working():
        time.sleep(0.05)
        assert busy.seconds() >= 0.05
    ended = busy.seconds()
    time.sleep(0.05)
    assert busy.seconds() == ended


def test_every_metric_of_the_table_is_there_and_its_labels_are_the_tables():
    metrics = WorkerMetrics()
    metrics.describe("cpu", "EPYC", process_memory)
    metrics.attacked("fgsm", 3, 2)
    metrics.units.labels("attack", "committed").inc()
    metrics.unit_seconds.labels("attack").observe(1)
    metrics.checkpointed(1000)
    metrics.asked_cache("models", hit=True)
    found = {metric.name: metric for metric in metrics.registry.collect()}
    for name, row in WORKER.items():
        samples = found[name.removesuffix("_total")].samples
        assert samples, name
        assert {label for sample in samples for label in sample.labels} - {"le"} == set(row.labels)
    of = metrics.registry.get_sample_value
    assert of("sparring_worker_info", {"lane": "cpu", "device": "EPYC"}) == 1
    assert of("sparring_worker_checkpoint_bytes_total") == 1000
    assert of("sparring_worker_backwards_total", {"attack": "fgsm"}) == 2
    assert of("sparring_worker_cache_total", {"cache": "models", "outcome": "hit"}) == 1
    used, total = (of("sparring_worker_device_memory_bytes", {"state": state}) for state in ("used", "total"))
    assert 1e6 < used < total


def test_a_port_that_is_taken_is_no_reason_for_a_worker_not_to_work(caplog):
    first = serve_if_possible("127.0.0.1:0", MEASURED.registry)
    assert serve_if_possible(first.address, MEASURED.registry) is None
    assert "no metrics: SPARRING_METRICS_LISTEN" in caplog.text
    with urllib.request.urlopen(f"http://{first.address}/metrics", timeout=30) as answer:
        assert answer.read().startswith(generate_latest(MEASURED.registry)[:40])
    first.close()
    again = serve_if_possible(first.address, MEASURED.registry)
    assert again.address == first.address
    again.close()


def test_without_the_variable_nothing_listens():
    assert serve_if_possible(None, MEASURED.registry) is None
