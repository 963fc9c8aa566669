"""The library of functions: which version a server holds, and what happens where it holds none."""

import inspect
import json
from dataclasses import replace

import pytest
from sparring.v1 import jobs_pb2

from services.artifacts.store import ArtifactStore
from services.errors import Unavailable
from services.jobs import functions
from services.jobs.record import WorkerRecord
from services.jobs.states import State
from services.jobs.store import AsyncJobStore, JobStore

DIGEST = "d" * 64


def test_functions_are_loaded_where_they_are_missing(store, jobs, redis):
    redis.function_flush()
    assert store.loaded_version() is None
    with pytest.raises(Unavailable) as refused:
        jobs.submit()
    assert refused.value.reason == "FUNCTIONS_MISSING"
    store.load_functions()
    assert store.loaded_version() == functions.version()
    jobs.submit()


@pytest.mark.parametrize(
    ("held", "replaced"),
    [(None, True), (f"{functions.GENERATION}-0", True), ("0-0", True), (f"{functions.GENERATION + 1}-0", False)],
)
def test_an_older_version_is_replaced_and_a_later_generation_is_left_alone(held, replaced):
    assert functions.needs_loading(held) is replaced


def test_the_version_follows_from_the_code():
    assert not functions.needs_loading(functions.version())
    assert functions.version().startswith(f"{functions.GENERATION}-")
    assert "@" not in functions.version()
    assert "-bell@" not in functions.library()


def library_of(generation):
    """Our library as another generation would name it."""
    code = functions.library().replace(functions.name(""), f"sparring{generation}_")
    return code.replace(functions.version(), f"{generation}-other")


def everything(redis):
    """Every key of the server and what is in it; chunks that were staged lapse by themselves."""
    return {key: redis.dump(key) for key in redis.keys("*") if b":u:" not in key}


@pytest.fixture
def half_done(jobs, store, redis):
    """A lease of a running job; afterwards the server holds our functions again."""
    jobs.submit(units=2)
    yield jobs.claim()
    redis.function_load(functions.library(), replace=True)


@pytest.mark.parametrize("generation", [functions.GENERATION - 1, functions.GENERATION + 1])
def test_functions_of_another_generation_refuse_every_call_and_change_nothing(
    store, jobs, redis, half_done, generation
):
    redis.function_load(library_of(generation), replace=True)
    before = everything(redis)
    lease = half_done
    for refused in (
        lambda: store.submit(jobs.new()),
        lambda: store.submit_and_place(jobs.new()),
        lambda: store.cancel("default", lease.job_id),
        lambda: store.claim("other", "w1", "cpu", 15_000),
        lambda: store.renew(lease, "w1", 15_000),
        lambda: store.commit(lease, "w1", DIGEST, {}),
        lambda: store.finish(lease, "w1", b"result", None),
        lambda: store.fail(lease, "w1", b"error"),
        lambda: store.release(lease, "w1"),
        lambda: store.lose(lease.job_id, lease.unit, lease.token, "killed by SIGKILL"),
        lambda: store.reap(10),
        lambda: store.expire(10),
        lambda: ArtifactStore(redis).put("default", b"bytes"),
    ):
        with pytest.raises(Unavailable) as error:
            refused()
        assert error.value.reason == "FUNCTIONS_MISSING"
    assert everything(redis) == before


def test_a_new_process_replaces_older_functions_and_goes_on(store, jobs, redis, half_done):
    redis.function_load(library_of(functions.GENERATION - 1), replace=True)
    store.load_functions()
    assert store.loaded_version() == functions.version()
    assert store.commit(half_done, "w1", DIGEST, {})
    assert jobs.claim().unit == 1


def test_an_old_process_takes_nothing_back_and_says_that_it_is_old(store, redis, half_done, caplog):
    later = f"{functions.GENERATION + 1}-other"
    redis.function_load(library_of(functions.GENERATION + 1), replace=True)
    store.load_functions()
    assert store.loaded_version() == later
    assert later in caplog.text
    assert "update it" in caplog.text


def test_a_worker_of_another_version_is_listed_with_what_is_known_of_it(store, redis):
    known = WorkerRecord(id="w1", lane="cpu", device_name="d", unit=None, last_seen_ms=0)
    older = {"id": "w1", "lane": "cpu", "device_name": "d", "unit": None, "last_seen_ms": 0, "versions": {}}
    for said in (older, older | {"tenant": None, "mood": "good"}):
        call = functions.name("announce"), 1, "{sparring}:fence", "w1", "cpu", json.dumps(said), "0", 15_000
        redis.execute_command("FCALL", *call)
        (worker,) = store.workers()
        assert replace(worker, last_seen_ms=0) == known


def test_the_states_have_the_numbers_of_the_contract():
    named = {f"STATE_{state.name}": int(state) for state in State}
    assert named | {"STATE_UNSPECIFIED": 0} == dict(jobs_pb2.Job.State.items())


def test_both_stores_have_the_same_methods():
    def methods(kind):
        named = inspect.getmembers(kind, inspect.isfunction)
        return {name: inspect.signature(method) for name, method in named if not name.startswith("_")}

    assert methods(JobStore) == methods(AsyncJobStore)
    assert all(inspect.iscoroutinefunction(getattr(AsyncJobStore, name)) for name in methods(AsyncJobStore))
