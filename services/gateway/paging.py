"""Page tokens: opaque, signed, and good for one list only.

    token = base64url(HMAC-SHA256(key, scope || cursor)[:16] || cursor)

The scope names the list and its filter, so a token of another list, or of the same list with another filter, is refused
as one that was tampered with.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

from services.errors import InvalidArgument, Violation

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000
_SIGNATURE_BYTES = 16


@dataclass(frozen=True)
class Pager:
    """Makes and reads the tokens of every list of one service; `key` signs them."""

    key: bytes

    def token(self, cursor: str, *scope: str) -> str:
        """Return the token that leads on from `cursor`; an empty cursor is the end and has none."""
        if not cursor:
            return ""
        body = cursor.encode()
        return base64.urlsafe_b64encode(self._sign(body, scope) + body).rstrip(b"=").decode()

    def cursor(self, token: str, *scope: str) -> str:
        """Return the cursor in a client's token; empty for the first page."""
        if not token:
            return ""
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (binascii.Error, ValueError):
            raw = b""
        signature, body = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._sign(body, scope)):
            description = (
                "is not a token of this list; leave it empty to start again, and keep the filter of the first page"
            )
            raise InvalidArgument([Violation("page_token", description)], reason="BAD_PAGE_TOKEN")
        return body.decode()

    def _sign(self, body: bytes, scope: tuple[str, ...]) -> bytes:
        # Lengths keep ("ab", "c") and ("a", "bc") apart.
        parts = b"".join(len(part.encode()).to_bytes(4) + part.encode() for part in scope)
        return hmac.digest(self.key, parts + body, hashlib.sha256)[:_SIGNATURE_BYTES]


def page_size(asked: int) -> int:
    """Return how many to list: 100 where 0 is asked, never more than 1000."""
    if asked < 0:
        raise InvalidArgument([Violation("page_size", f"must not be negative, not {asked}")])
    return min(asked, MAX_PAGE_SIZE) if asked else DEFAULT_PAGE_SIZE
