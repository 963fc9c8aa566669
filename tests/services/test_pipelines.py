"""An error inside a pipeline means what it means alone."""

import pytest
from redis import exceptions

from services.connection import translated, unless_error
from services.errors import ResourceExhausted, Unavailable


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots"), Unavailable),
        (exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'"), ResourceExhausted),
    ],
)
def test_the_first_error_of_a_pipeline_is_translated(error, meaning):
    with pytest.raises(meaning), translated():
        unless_error([b"OK", error, exceptions.ResponseError("ERR later")])


def test_replies_without_an_error_are_given_back():
    assert unless_error([b"OK", None, 1]) == [b"OK", None, 1]
