"""What the computing child holds, in a file that its parent reads once the child has died.

    {"pid", "worker", "job_id", "unit", "token"}, filled up with blanks; blanks alone where nothing is held

The child writes it before it works on a unit and blanks it afterwards; its heartbeat touches it, so the file's time
tells when the child was last at it. It is one record, written over in place by one call, since that comes with every
unit: ten microseconds, and a tenth of what a new file and its renaming take. A record that is left over does no harm:
the store refuses a stale token.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from services.jobs.record import Lease
from workers.lease.drain import Drain

logger = logging.getLogger(__name__)

RECORD_BYTES = 1024
NOTHING = b" " * RECORD_BYTES


@dataclass(frozen=True)
class Held:
    """A unit in the hands of the process `pid`, which the store knows as `worker`."""

    pid: int
    worker: str
    job_id: str
    unit: int
    token: int


class Holding:
    """The file; without a path nothing is written, and nothing is ever held."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._file: int | None = None

    @classmethod
    def beside(cls, drain: Drain) -> Holding:
        """The file next to the sign to shut down, which parent and child agree on already."""
        return cls(None if drain.path is None else drain.path.with_name(f"{drain.path.name}.unit"))

    def hold(self, lease: Lease, worker: str) -> None:
        """Say what is held from now on. Without the file, a death costs the time of a lease and no more."""
        held = Held(os.getpid(), worker, lease.job_id, lease.unit, lease.token)
        self._write(json.dumps(vars(held)).encode().ljust(RECORD_BYTES))

    def let_go(self) -> None:
        """Say that nothing is held any more."""
        self._write(NOTHING)

    def touch(self) -> None:
        """Say that the child lives."""
        if self._file is not None:
            with suppress(OSError):
                os.utime(self._file)

    def remove(self) -> None:
        """Take the file away, once nobody writes it any more."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def read(self) -> Held | None:
        """What is held; None where nothing is, or where the file is no such file."""
        try:
            record = NOTHING if self.path is None else self.path.read_bytes()
            return Held(**json.loads(record)) if record.strip() else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            logger.warning("can't read which unit is held: %s", error)
            return None

    def touched_ns(self) -> int:
        """When the child last said that it lives, by the clock of the file system; 0 where there is no file."""
        try:
            return 0 if self.path is None else self.path.stat().st_mtime_ns
        except OSError:
            return 0

    def _write(self, record: bytes) -> None:
        if self.path is None:
            return
        try:
            if self._file is None:
                self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.pwrite(self._file, record, 0)
        except OSError as error:
            logger.warning("can't write down which unit is held: %s", error)
