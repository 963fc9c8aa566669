"""What was acknowledged survives a server that is killed, as it is started by the embedded stack."""

import threading
import time

import pytest
from redis import exceptions

from services.connection import connect, translated
from services.errors import ResourceExhausted, SparringError
from services.jobs.record import NewJob, Verdict
from services.jobs.states import State
from services.jobs.store import JobStore
from services.local.valkey import start
from services.settings import StoreSettings

DIGEST = "d" * 64


def test_every_acknowledged_change_survives_kill_9(tmp_path, server_binary):
    """Three writers work through jobs while the server is killed; afterwards nothing that was answered is missing."""
    submitted, committed, finished = set(), set(), set()
    leases = {}
    server = start(tmp_path, binary=server_binary)
    settings = StoreSettings(server.url)
    stop = threading.Event()

    def work(name):
        with connect(settings, blocking=True) as redis:
            store = JobStore(redis, settings)
            number = 0
            while not stop.is_set():
                number += 1
                try:
                    job_id = store.submit(new(f"{name}-{number}")).id
                    submitted.add(job_id)
                    lease = store.claim(f"{name}-{number}", name, "cpu", 60_000)
                    leases[lease.token] = lease
                    if lease.closing:
                        store.finish(lease, name, b"result", None)
                        finished.add(lease.job_id)
                    else:
                        store.commit(lease, name, DIGEST, {})
                        committed.add((lease.job_id, lease.unit))
                except SparringError:
                    time.sleep(0.01)

    with connect(settings) as redis:
        JobStore(redis, settings).load_functions()
    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        time.sleep(0.3)
        server.kill()
        server = start(tmp_path, port=server.port, binary=server_binary)
    stop.set()
    for thread in threads:
        thread.join()
    with server, connect(settings) as redis:
        store = JobStore(redis, settings)
        assert len(submitted) > 50
        for job_id in submitted:
            record = store.get("default", job_id)
            assert (record.state is State.SUCCEEDED) or job_id not in finished
            units = {(job_id, result.unit) for result in store.unit_results("default", job_id)}
            assert {unit for unit in committed if unit[0] == job_id} <= units
        held = [lease for lease in leases.values() if store.renew(lease, "w", 60_000) is not Verdict.LOST]
        ended = {(lease.job_id, lease.unit) for lease in leases.values()} - {
            (lease.job_id, lease.unit) for lease in held
        }
        for job_id, unit in ended:
            done = unit in {result.unit for result in store.unit_results("default", job_id)}
            assert done or store.get("default", job_id).state is State.SUCCEEDED


@pytest.mark.parametrize("password", [None, 'p"a ss#w\\ord'])
def test_a_server_of_ours_is_durable_and_bounded(tmp_path, server_binary, password):
    server = start(tmp_path, password=password, maxmemory=100_000_000, binary=server_binary)
    with server, connect(StoreSettings(server.url)) as redis:
        wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
        wanted |= {"maxmemory": "100000000", "bind": "127.0.0.1"}
        assert {name: redis.config_get(name)[name] for name in wanted} == wanted
        assert (tmp_path / "valkey.conf").stat().st_mode & 0o077 == 0


def test_on_a_full_server_accepted_work_ends_and_new_work_is_refused(tmp_path, server_binary):
    with start(tmp_path, maxmemory=20_000_000, binary=server_binary) as server:
        settings = StoreSettings(server.url)
        with connect(settings) as redis:
            store = JobStore(redis, settings)
            store.load_functions()
            for number in range(3):
                store.submit(new(f"j{number}"))
            fill(redis)
            with pytest.raises(ResourceExhausted), translated():
                redis.set("one", b"more")
            later = JobStore(redis, settings)
            with pytest.raises(ResourceExhausted):
                later.submit(new("refused"))
            first = store.claim("c0", "w", "cpu", 60_000)
            assert store.renew(first, "w", 60_000, progress={"fraction": 0.5}) is Verdict.OK
            store.commit(first, "w", DIGEST, {})
            closing = store.claim("c1", "w", "cpu", 60_000)
            store.finish(closing, "w", b"result", None)
            store.release(store.claim("c2", "w", "cpu", 60_000), "w")
            store.cancel("default", "j1")
            with pytest.raises(ResourceExhausted):
                store.retry("default", "j1")
            store.delete("default", "j0")
            assert [record.id for record in store.list("default")] == ["j2", "j1"]
            redis.delete("filling")
            store.submit(new("again"))


def fill(redis):
    """Write until the server refuses."""
    try:
        while True:
            redis.append("filling", bytes(100_000))
    except exceptions.OutOfMemoryError:
        return


def new(job_id):
    return NewJob(id=job_id, kind="attack", spec=b"s", spec_hash="h", units=1)
