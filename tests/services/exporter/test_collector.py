"""The exporter: what it tells of a store, what of one that is not there, and what that costs."""

import subprocess
import sys
import time
import urllib.request
from urllib.error import HTTPError

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from services.connection import connect
from services.environment import SettingsError
from services.exporter.collector import StoreCollector
from services.exporter.settings import MOST_TENANTS, ExporterSettings
from services.jobs.record import NewJob, WorkerRecord
from services.local.valkey import start
from services.settings import StoreSettings
from services.telemetry.metrics import EXPORTER, UNITS


@pytest.fixture
def registry(job_store, redis, store_settings):
    found = CollectorRegistry()
    found.register(StoreCollector(redis, store_settings, ("default",)))
    return found


def submit(store, name="job", units=2):
    store.submit(NewJob(id=name, kind="attack", lane="cpu", spec=b"", spec_hash=name, units=units))


def test_every_metric_of_the_table_is_told_and_no_other(registry):
    found = {metric.name: metric for metric in registry.collect()}
    assert set(found) == {name.removesuffix("_total") for name in EXPORTER}
    for name, row in EXPORTER.items():
        metric = found[name.removesuffix("_total")]
        assert (metric.type, metric.documentation) == (row.kind, row.help)
        for sample in metric.samples:
            assert set(sample.labels) - {"le"} == set(row.labels)


def test_units_jobs_and_workers_are_told_by_lane(registry, job_store):
    def of(name, **labels):
        return registry.get_sample_value(name, labels)

    submit(job_store)
    job_store.claim("claim", "w", "cpu", 15_000)
    job_store.announce(WorkerRecord(id="w", lane="cpu", device_name="EPYC", unit="job/0", last_seen_ms=0), 15)
    assert (of(UNITS, lane="cpu", state="ready"), of(UNITS, lane="cpu", state="running")) == (1, 1)
    assert (of(UNITS, lane="any", state="ready"), of(UNITS, lane="gpu", state="running")) == (0, 0)
    assert of("sparring_jobs", state="RUNNING", kind="attack") == 1
    assert of("sparring_job_wait_seconds_count", kind="attack") == 1
    assert of("sparring_workers", lane="cpu", device="EPYC", state="busy") == 1
    assert of("sparring_workers", lane="gpu", device="none", state="idle") == 0
    assert of("sparring_tenant_jobs", tenant="default", state="running") == 1
    assert of("sparring_store_up") == 1
    assert of("sparring_redis_memory_bytes", state="used") > 0


def test_a_scrape_of_many_jobs_asks_no_more_of_the_store_than_one_of_none(registry, job_store, redis):
    def commands():
        redis.config_resetstat()
        list(registry.collect())
        return sum(row["calls"] for row in redis.info("commandstats").values())

    none = commands()
    assert none > 8
    for number in range(50):
        submit(job_store, f"job-{number}")
    # The first in the queue is one command's answer, whoever it is.
    assert commands() == none


def test_names_of_jobs_keys_and_tenants_are_nowhere_and_the_series_stay_as_many(job_store, redis, store_settings):
    registry = CollectorRegistry()
    registry.register(StoreCollector(redis, store_settings))

    def series():
        return [(sample.name, *sample.labels.values()) for metric in registry.collect() for sample in metric.samples]

    before = len(series())
    for number in range(30):
        job = NewJob(
            id=f"secret-{number}", tenant=f"tenant-{number}", kind="training", spec=b"", spec_hash="h", units=1
        )
        job_store.submit(job)
        worker = WorkerRecord(id=f"w-{number}", lane="cpu", device_name=f"card-{number}", unit=None, last_seen_ms=0)
        job_store.announce(worker, 15)
    after = series()
    assert not [row for row in after if "secret" in str(row) or "tenant-" in str(row) or "w-" in str(row)]
    assert len(after) - before <= 21
    assert ("sparring_workers", "cpu", "other", "idle") in after


def test_a_store_that_is_not_there_is_told_in_time(tmp_path):
    with start(tmp_path / "store") as server:
        settings = StoreSettings(server.url)
    with connect(settings, patience_s=0.5) as redis:
        registry = CollectorRegistry()
        registry.register(StoreCollector(redis, settings))
        begun = time.monotonic()
        told = {metric.name: metric.samples for metric in registry.collect()}
    assert set(told) == {"sparring_store_up", "sparring_exporter_read_seconds"}
    assert told["sparring_store_up"][0].value == 0
    assert time.monotonic() - begun < 10


def test_the_process_answers_metrics_and_nothing_else(job_store, store_settings, fast_folder):
    environment = {"SPARRING_REDIS_URL": store_settings.redis_url, "SPARRING_METRICS_LISTEN": "127.0.0.1:0"}
    command = [sys.executable, "-m", "services.exporter"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        address = process.stdout.readline().split()[-1]
        try:
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as answer:
                text = answer.read().decode()
            with pytest.raises(HTTPError, match="404"):
                urllib.request.urlopen(f"http://{address}/", timeout=30)
        finally:
            process.terminate()
            assert process.wait(30) == 0
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {"sparring_store_up", UNITS, "process_resident_memory_bytes"} <= names


def test_settings_that_are_wrong_are_named_all_at_once():
    read = ExporterSettings.from_env({"SPARRING_METRICS_TENANTS": "a, b,a,"})
    assert (read.tenants, read.listen) == (("a", "b"), "127.0.0.1:9464")
    wrong = {
        "SPARRING_METRICS_LISTEN": "unix:/x",
        "SPARRING_METRICS_TENANTS": ",".join(map(str, range(MOST_TENANTS + 1))),
    }
    with pytest.raises(SettingsError, match=r"LISTEN.*TENANTS"):
        ExporterSettings.from_env(wrong)
