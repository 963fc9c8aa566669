"""Whether a gateway answers and has heard of its workers, asked as any client would."""

from __future__ import annotations

import http
import http.client
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import sparring
from sparring.errors import ServiceError, Unauthenticated

from services.connection import connect
from services.errors import SparringError
from services.jobs.store import JobStore
from services.settings import StoreSettings

TIMEOUT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Probe:
    """How to call a gateway: with which key and certificates, as `sparring.connect` takes them."""

    key: str | None = field(default=None, repr=False)
    tls_ca: str | Path | None = None
    tls_cert: str | Path | None = None
    tls_key: str | Path | None = None

    def fails(self, target: str, store: StoreSettings, *, workers: int) -> str | None:
        """Why the gateway can't be called ready yet; None once so many workers have been heard of."""
        try:
            with sparring.connect(
                target,
                key=self.key,
                tls_ca=self.tls_ca,
                tls_cert=self.tls_cert,
                tls_key=self.tls_key,
                timeout_s=TIMEOUT_S,
                wait_for_ready=True,
            ) as client:
                heard = len(client.catalog.info().workers)
        except Unauthenticated as error:
            if self.key is not None:
                return str(error)
            # It answers, but not to somebody without a key: the store knows the workers, too.
            heard = _in_store(store)
        except ServiceError as error:
            return str(error)
        return None if heard >= workers else f"{heard} of {workers} workers have been heard of"


def _in_store(settings: StoreSettings) -> int:
    with connect(settings) as redis:
        try:
            return len(JobStore(redis, settings).workers())
        except SparringError:
            return 0


def console_fails(address: str) -> str | None:
    """Why the console at this address can't be called ready yet; None once it answers."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"the console at {address} does not answer: {error}"
    finally:
        connection.close()
    return None if status == http.HTTPStatus.OK else f"the console at {address} answers {status}"
