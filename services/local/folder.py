"""Where the stack keeps what must survive a restart, and the lock that keeps two stacks out of one folder.

stack.lock          held while a stack uses the folder
redis-password      the store's password, made once, readable by its owner only
console-secret      the secret of the console's cookies, so that they outlive the console
page-token-key      the key that signs page tokens, so that they outlive the gateway
store/              the store's own files
logs/               one file for each process
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.local.errors import StackError


def default_folder() -> Path:
    """`$XDG_DATA_HOME/sparring`, or `~/.local/share/sparring`."""
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if base else Path.home() / ".local" / "share") / "sparring"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make the folder, for its owner only, and keep other stacks out of it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / "stack.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StackError(f"can't keep data in {folder}: {error.strerror}; choose another folder") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"another stack uses {folder}; use that one, stop it, or choose another folder"
            raise StackError(message) from None
        yield
    finally:
        os.close(descriptor)


def secret(path: Path) -> str:
    """The secret in this file, made at the first time."""
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(32), encoding="ascii")
        fresh.replace(path)
    return path.read_text(encoding="ascii")
