"""What must not stand in a log: keys, passwords, the contents of tensors and files. Pure.

spk_ID_SECRET            a key of ours (`services.tenants.keys`): its id stays
Bearer SECRET            what a call carries
scheme://USER:SECRET@    an address with a password
-----BEGIN ... PRIVATE KEY-----    PEM
"""

from __future__ import annotations

import re
from typing import Any

# Characters of one message; of a traceback, whose end says what happened, the last so many.
MOST = 8_000
HIDDEN = "[redacted]"

_RULES = (
    (re.compile(r"(spk_[a-z0-9-]{1,40}_)[A-Za-z0-9_-]{8,}"), rf"\g<1>{HIDDEN}"),
    (re.compile(r"\b(bearer\s+)(?!spk_)[^\s'\",]{8,}", re.IGNORECASE), rf"\g<1>{HIDDEN}"),
    # Up to the last @, as nothing keeps people from writing one into a password.
    (re.compile(r"(\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@'\"]*:)[^\s/'\"]+(?=@)", re.IGNORECASE), rf"\g<1>{HIDDEN}"),
    (re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END|\Z)", re.DOTALL), rf"\g<1>{HIDDEN}\g<2>"),
)


def redacted(text: str) -> str:
    """Return a text without what looks like a secret."""
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text


def beginning(text: str) -> str:
    """Return the text, cut where it is too long."""
    return text if len(text) <= MOST else f"{text[:MOST]}... ({len(text) - MOST} characters more)"


def end(text: str) -> str:
    """Return the end of a long text, its lines whole."""
    return text if len(text) <= MOST else f"... ({len(text) - MOST} characters before)\n{text[-MOST:]}"


def described(value: Any) -> Any:
    """Return what a message may show of an argument: of a tensor or of bytes what it is, not what is in it."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"<{type(value).__name__} of shape {tuple(value.shape)}, {value.dtype}>"
    return value
