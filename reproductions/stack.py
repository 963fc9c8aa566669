"""The service that experiments are run on: one that is there already, or the embedded one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WORKERS = 2


@contextmanager
def embedded(folder: Path) -> Iterator[str]:
    """Run the embedded stack with two workers and yield its address; jobs that go on at its end go on at the next.

    Raises RuntimeError where it can't start, e.g. because a run that still goes on uses the folder.
    """
    try:
        from services.local import LocalStack, StackError
    except ImportError as error:
        raise RuntimeError(
            f"the embedded service needs pip install sparring[local] ({error}); or give --server HOST:PORT"
        ) from error
    try:
        # One thread each: two workers that each take both cores are slower than either.
        with LocalStack(workers=WORKERS, data_dir=folder, environment={"OMP_NUM_THREADS": "1"}) as stack:
            yield stack.target
    except StackError as error:
        raise RuntimeError(str(error)) from error
