"""Keys as clients send them, and the hashes of them that the gateway knows.

    spk_<id>_<43 characters of base64url>

The last part is 256 random bits, so a plain SHA-256 hides the key as well as a slow hash would.
"""

from __future__ import annotations

import hashlib
import re
import secrets

NAME_RULE = "lower-case letters, digits and '-', at most 40 of them"
_NAME = re.compile(r"[a-z0-9-]{1,40}")
_SECRET_BYTES = 32


def is_name(text: str) -> bool:
    """Tell whether `text` may be the id of a tenant or of a key."""
    return _NAME.fullmatch(text) is not None


def new_key(key_id: str) -> str:
    """Make the text of a new key. ValueError: a bad id."""
    if not is_name(key_id):
        raise ValueError(f"the id of a key has {NAME_RULE}, not {key_id!r}")
    return f"spk_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def hash_key(text: str) -> str:
    """Return the SHA-256 of a key's whole text, in lower-case hex, as the tenants file carries it."""
    return hashlib.sha256(text.encode()).hexdigest()
