"""Who is at the browser: a cookie that only this console can read, and the gateway's client that goes with it.

The cookie holds a random id, from which the CSRF token is made, and the service's key if one was given. It is encrypted
and signed (Fernet), HttpOnly, SameSite=Strict, and Secure under TLS. The console itself keeps no session.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field

from cryptography.fernet import Fernet, InvalidToken
from starlette.requests import HTTPConnection
from starlette.responses import Response

COOKIE = "sparring_console"
LASTS_S = 12 * 3600


@dataclass(frozen=True)
class Session:
    """One browser's session; `key` None: nobody has logged in."""

    id: str
    key: str | None = field(default=None, repr=False)

    @classmethod
    def fresh(cls, key: str | None = None) -> Session:
        """Make a session with an id of its own, as at each log-in and log-out."""
        return cls(secrets.token_urlsafe(24), key)


class Sessions:
    """Reads and writes sessions with one secret."""

    def __init__(self, secret: str, *, secure: bool) -> None:
        self._secure = secure
        # One secret, two keys: neither tells of the other.
        self._fernet = Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"cookie\0" + secret.encode()).digest()))
        self._mac_key = hashlib.sha256(b"csrf\0" + secret.encode()).digest()

    def read(self, connection: HTTPConnection) -> Session | None:
        """Return the session of a request; None where there is none, or it is too old, or not of this console."""
        sealed = connection.cookies.get(COOKIE)
        if sealed is None:
            return None
        try:
            held = json.loads(self._fernet.decrypt(sealed, ttl=LASTS_S))
        except InvalidToken:
            return None
        return Session(held["id"], held["key"])

    def write(self, response: Response, session: Session) -> None:
        """Set the session's cookie."""
        sealed = self._fernet.encrypt(json.dumps({"id": session.id, "key": session.key}).encode()).decode()
        response.set_cookie(
            COOKIE, sealed, max_age=LASTS_S, path="/", secure=self._secure, httponly=True, samesite="strict"
        )

    def csrf_token(self, session: Session) -> str:
        """Return the token that a changing request of this session has to carry."""
        return hmac.new(self._mac_key, session.id.encode(), hashlib.sha256).hexdigest()

    def csrf_holds(self, session: Session, token: str) -> bool:
        """Tell whether a token is the session's, in constant time."""
        return hmac.compare_digest(self.csrf_token(session).encode(), token.encode())
