"""Files that are read again when they change, while whoever uses them goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")
# What tells one state of a file from another; symbolic links are followed, so that turning one is a change.
_Mark = tuple[int, int, int, int] | None

log = logging.getLogger(__name__)


class Watched(Generic[T]):
    """What `read` makes of some files. `value` is the last that was good; raises what `read` raises at first."""

    def __init__(self, paths: Sequence[Path], read: Callable[[], T]) -> None:
        self._paths = tuple(paths)
        self._read = read
        # Before the content, so that what changes in between is read again.
        self._marks = self._look()
        self.value = read()

    def refresh(self) -> bool:
        """Read again if a file changed, and tell whether there is a new value; what can't be read changes nothing."""
        marks = self._look()
        if marks == self._marks:
            return False
        self._marks = marks
        names = ", ".join(map(str, self._paths))
        try:
            self.value = self._read()
        except (OSError, ValueError) as error:
            log.error("%s changed and can't be used, so what was read before stays in force: %s", names, error)  # noqa: TRY400 - the message says it all
            return False
        log.info("%s changed and was read again", names)
        return True

    def _look(self) -> tuple[_Mark, ...]:
        return tuple(_mark(path) for path in self._paths)


def _mark(path: Path) -> _Mark:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_dev, found.st_ino, found.st_size
