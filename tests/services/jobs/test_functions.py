"""The library of functions: which version a server holds, and what happens where it holds none."""

import inspect

import pytest
from sparring.v1 import jobs_pb2

from services.errors import Unavailable
from services.jobs import functions
from services.jobs.states import State
from services.jobs.store import AsyncJobStore, JobStore


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


def test_an_old_process_takes_nothing_back(store, redis):
    later = functions.library().replace(functions.version(), f"{functions.GENERATION + 1}-later")
    redis.function_load(later, replace=True)
    store.load_functions()
    assert store.loaded_version() == f"{functions.GENERATION + 1}-later"
    redis.function_load(functions.library(), replace=True)


def test_the_states_have_the_numbers_of_the_contract():
    named = {f"STATE_{state.name}": int(state) for state in State}
    assert named | {"STATE_UNSPECIFIED": 0} == dict(jobs_pb2.Job.State.items())


def test_both_stores_have_the_same_methods():
    def methods(kind):
        named = inspect.getmembers(kind, inspect.isfunction)
        return {name: inspect.signature(method) for name, method in named if not name.startswith("_")}

    assert methods(JobStore) == methods(AsyncJobStore)
    assert all(inspect.iscoroutinefunction(getattr(AsyncJobStore, name)) for name in methods(AsyncJobStore))
