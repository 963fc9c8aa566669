"""Reads the variables of a process and what is wrong with them; whatever is wrong is named in one `SettingsError`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")


class SettingsError(ValueError):
    """Raised once, with every variable that has a bad value."""


class Environment:
    """Reads variables, remembers what is wrong with each, and raises it all at the end."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.problems:
            raise SettingsError("; ".join(self.problems))

    def read(self, name: str, default: T, parse: Callable[[str], T]) -> T:
        """The parsed value of a variable; the default where it is unset, empty or wrong."""
        text = self._environ.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.problems.append(f"{name}={text!r}: {error}")
            return default

    def secret(self, name: str) -> str | None:
        """The content of the file that a variable names; its value never enters a message."""
        return self.read(name, None, content)


def whole(*, minimum: int) -> Callable[[str], int]:
    """Parse a whole number of at least `minimum`."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < minimum:
            raise ValueError(f"must be a whole number of at least {minimum}")
        return int(text)

    return parse


def seconds(text: str) -> float:
    """Parse a positive number of seconds."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError("must be a positive number of seconds")
    return value


def redis_url(text: str) -> str:
    """Parse the address of a store."""
    parts = urlsplit(text)
    if parts.scheme not in {"redis", "rediss", "unix"} or not (parts.hostname or parts.path):
        raise ValueError("must be a redis://, rediss:// or unix:// address")
    return text


def bytes_url(text: str) -> str:
    """Parse the address of a store of bytes: a folder, a place in a bucket, or a Redis."""
    parts = urlsplit(text)
    if parts.scheme in {"redis", "rediss", "unix"}:
        return redis_url(text)
    if parts.scheme == "file" and not parts.netloc and len(parts.path) > 1:
        return text
    if parts.scheme == "s3" and parts.netloc and "@" not in parts.netloc and not (parts.query or parts.fragment):
        return text
    raise ValueError(
        "must be file:///PATH, s3://BUCKET/PREFIX or a redis:// address; secrets go into files of their own"
    )


def web_url(text: str) -> str:
    """Parse the address of a server that speaks HTTP."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise ValueError("must be http://HOST:PORT or https://HOST:PORT")
    return text


def address(text: str) -> str:
    """Parse HOST:PORT or unix:PATH."""
    if text.startswith("unix:") and len(text) > len("unix:"):
        return text
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdecimal() and int(port) <= 65_535):
        raise ValueError("must be HOST:PORT or unix:PATH")
    return text


def host_port(text: str) -> str:
    """Parse HOST:PORT."""
    if text.startswith("unix:"):
        raise ValueError("must be HOST:PORT")
    return address(text)


def class_name(text: str) -> str:
    """Parse the name of a class of devices, by the rule that jobs' requests are checked by."""
    if re.fullmatch(r"[A-Za-z0-9._-]{1,63}", text) is None:
        raise ValueError("must have letters, digits, '-', '_' and '.', at most 63 of them")
    return text


def one_of(*texts: str) -> Callable[[str], str]:
    """Parse one of these words."""

    def parse(text: str) -> str:
        if text not in texts:
            raise ValueError(f"must be {' or '.join(texts)}")
        return text

    return parse


def folder(text: str) -> str:
    """Parse the path of a folder that is there."""
    if not Path(text).is_dir():
        raise ValueError("is not a folder")
    return text


def file(text: str) -> str:
    """Parse the path of a file that can be read and is not empty."""
    content(text)
    return text


def content(text: str) -> str:
    """Read the file that the text names."""
    try:
        text = Path(text).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"can't be read: {error}") from None
    if not text:
        raise ValueError("is an empty file")
    return text
