"""What a person sees while a job runs: a bar on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

from sparring.v1.jobs_pb2 import Job, UnitChange, WatchJobResponse

from services.cli import output, words

# Plain lines are for logs; they should not fill them.
LINE_EVERY_S = 2.0


class Display(Protocol):
    """What shows a job's events as they come."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def event(self, happened: WatchJobResponse) -> None:
        """Show an event."""

    def remark(self, text: str) -> None:
        """Show something beside the events, e.g. why the job waits."""


def display() -> Display:
    """The display that suits stderr."""
    return Bar() if sys.stderr.isatty() else Lines()


class Lines:
    """A line for every change of state, and one for progress every two seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_s = float("-inf")
        self._said = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to tidy up."""

    def event(self, happened: WatchJobResponse) -> None:
        """Print the event, unless it is one of many."""
        kind = happened.WhichOneof("event")
        if kind == "progress":
            if self._clock() - self._last_s < LINE_EVERY_S:
                return
            self._last_s = self._clock()
        if kind in {"progress", "state_change", "snapshot"} or _is_lost(happened):
            self.remark(words.event(happened))

    def remark(self, text: str) -> None:
        """Print a line, unless it has just been said."""
        if text != self._said:
            output.note(text)
        self._said = text


class Bar:
    """A bar with the share done, the time left and what is going on."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
        from rich.table import Column

        text = Column(no_wrap=True, overflow="ellipsis", ratio=1)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TextColumn("{task.fields[text]}", markup=False, table_column=text),
            console=output.console(sys.stderr),
            expand=True,
        )
        self._task: Any = self._progress.add_task("QUEUED", total=1.0, text="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def event(self, happened: WatchJobResponse) -> None:
        """Move the bar."""
        kind = happened.WhichOneof("event")
        if kind == "progress":
            text = words.progress(happened.progress).partition(", ")[2]
            self._progress.update(self._task, completed=happened.progress.fraction, text=text)
        elif kind == "state_change":
            name = Job.State.Name(happened.state_change.state).removeprefix("STATE_")
            self._progress.update(self._task, description=name, text="")
        elif _is_lost(happened):
            self._progress.console.print(words.event(happened), markup=False)

    def remark(self, text: str) -> None:
        """Put a text beside the bar."""
        self._progress.update(self._task, text=text)


def _is_lost(happened: WatchJobResponse) -> bool:
    return happened.WhichOneof("event") == "unit_change" and happened.unit_change.kind == UnitChange.KIND_LOST


class Bytes:
    """Progress of an upload or a download; silent where stderr is no terminal."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._progress: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
            self._progress = Progress(*columns, console=output.console(sys.stderr), transient=True)
            self._progress.add_task(self._title, total=None)
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def report(self, done: int, total: int) -> None:
        """Show how many bytes are through."""
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], completed=done, total=total)
