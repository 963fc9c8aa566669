"""The Redis functions: the Lua files of this folder, joined in their order into one library named `sparring`.

`GENERATION` grows with every change that old callers would not survive, and is a part of every function's name but that
of `sparring_version`: a caller of another generation finds no function, is told so (Unavailable, FUNCTIONS_MISSING) and
changes nothing. A server that holds a later generation is left alone, so an old process that starts late takes nothing
back.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from services.jobs import doorbell

GENERATION = 4
# What an old process is told that meets the functions of a new one; both versions are put in.
TOO_OLD = "the store holds functions of a later generation (%s, not %s): this process can't use them, update it"


@cache
def library() -> str:
    """The whole library, bells and version filled in."""
    parts = sorted(part.name for part in resources.files(__name__).iterdir() if part.name.endswith(".lua"))
    code = "\n".join(resources.files(__name__).joinpath(part).read_text(encoding="utf-8") for part in parts)
    for lane in doorbell.LANES:
        code = code.replace(f"'@{lane}-bell@'", f"[==[{doorbell.envelope(lane)}]==]")
    code = code.replace("@generation@", str(GENERATION))
    return code.replace("@version@", f"{GENERATION}-{hashlib.sha256(code.encode()).hexdigest()[:12]}")


def name(function: str) -> str:
    """What a function of this generation is called on the server."""
    return f"sparring{GENERATION}_{function}"


@cache
def version() -> str:
    """`GENERATION-DIGEST` of the library."""
    code = library()
    start = code.rindex(f"'{GENERATION}-") + 1
    return code[start : code.index("'", start)]


def needs_loading(held: str | None) -> bool:
    """Whether a server that holds this version should be given ours."""
    return held is None or (held != version() and int(held.partition("-")[0]) <= GENERATION)
