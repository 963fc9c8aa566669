"""Make this deployment's secrets, once, in a folder that its containers alone mount: `prepare.py FOLDER`.

redis-password    what the gateway and the workers send to Redis
redis-auth.conf   the same as a line of Redis' configuration
page-token-key    what the gateway signs page tokens with, so that they outlive its restart
"""

import secrets
import sys
from pathlib import Path


def put(path: Path, text: str) -> None:
    """Write a file that nobody but its owner may read, whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.touch(mode=0o600)
    partial.write_text(text)
    partial.replace(path)


def prepare(folder: Path) -> None:
    """Make what is not there yet."""
    password_file = folder / "redis-password"
    if not password_file.exists():
        put(password_file, secrets.token_urlsafe(32))
    put(folder / "redis-auth.conf", f"requirepass {password_file.read_text()}\n")
    key_file = folder / "page-token-key"
    if not key_file.exists():
        put(key_file, secrets.token_urlsafe(32))


if __name__ == "__main__":
    prepare(Path(sys.argv[1]))
