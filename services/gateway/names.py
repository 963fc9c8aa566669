"""Resource names: `jobs/{job}`, `models/{model}`, `datasets/{dataset}`, `artifacts/{sha256}`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from services.errors import InvalidArgument, Violation

ID_RULE = "letters, digits, '-', '_' and '.', at most 63 of them"
_ID = re.compile(r"[A-Za-z0-9._-]{1,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


def is_id(text: str) -> bool:
    """Tell whether `text` may be the id of a job, a model or a dataset."""
    return _ID.fullmatch(text) is not None


def is_sha256(text: str) -> bool:
    """Tell whether `text` is a SHA-256 in lower-case hex."""
    return _SHA256.fullmatch(text) is not None


def is_uuid(text: str) -> bool:
    """Tell whether `text` is a UUID in its usual form."""
    return _UUID.fullmatch(text) is not None


def bare(name: str, collection: str) -> str | None:
    """Return the id of `collection/id` or of a bare `id`; None where it is neither."""
    identifier = name.removeprefix(f"{collection}/")
    return identifier if is_id(identifier) else None


def bare_digest(name: str) -> str | None:
    """Return the digest of `artifacts/{sha256}` or of a bare digest; None where it is neither."""
    digest = name.removeprefix("artifacts/")
    return digest if is_sha256(digest) else None


def required_id(name: str, collection: str, *, field: str = "name") -> str:
    """Return the id of `collection/id`, which is the whole of a request; refuse anything else."""
    identifier = bare(name, collection) if name.startswith(f"{collection}/") else None
    if identifier is None:
        kind = collection.removesuffix("s")
        raise InvalidArgument([Violation(field, f"must be `{collection}/{{{kind}}}` ({ID_RULE}), not {shown(name)}")])
    return identifier


def required_digest(name: str, *, field: str = "name") -> str:
    """Return the digest of `artifacts/{sha256}`, which is the whole of a request; refuse anything else."""
    digest = bare_digest(name) if name.startswith("artifacts/") else None
    if digest is None:
        raise InvalidArgument(
            [Violation(field, f"must be `artifacts/{{sha256}}`, 64 lower-case hex digits, not {shown(name)}")]
        )
    return digest


def shown(text: str, limit: int = 80) -> str:
    """Quote a client's text in a message, cut where it is long."""
    return repr(text if len(text) <= limit else text[:limit] + "...")


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest known name, or nothing where none is near."""
    near = difflib.get_close_matches(wrong, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
