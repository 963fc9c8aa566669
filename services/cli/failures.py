"""What went wrong, in words and as an exit code; bad fields are named as the flags that set them."""

from __future__ import annotations

import re

from sparring.errors import InvalidArgument, NotFound, ServiceError, TimedOut, Unauthenticated, Unreachable

from services.cli import output

FAILED = 1
BAD_ARGUMENTS = 2
UNREACHABLE = 3
UNJUDGED = 4
INTERRUPTED = 130

# A list's flag that is given several times; its entries are counted from 1 for people.
_REPEATED = {"models": "--model", "attacks": "--attack", "curves": "--curve"}
_RENAMED = {
    "data": "dataset",
    "deadline_seconds": "deadline",
    "queue_seconds": "queue-limit",
    "key": "key-file",
    "parameters": "parameter",
}
_POSITIONAL = {
    "weights": "WEIGHTS",
    "images": "IMAGES",
    "labels": "LABELS",
    "name": "the name",
    "role": "the role",
    "poison": "NAME",
    "jobs": "JOB",
}


def report(error: ServiceError | OSError) -> int:
    """Print an error and give the exit code that stands for it."""
    violations = error.violations if isinstance(error, InvalidArgument) else ()
    if violations:
        output.note("sparring: bad arguments")
        for violation in violations:
            output.note("  " + ": ".join(filter(None, (flag(violation.field), _as_flags(violation.description)))))
    else:
        output.note(f"sparring: {_as_flags(str(error))}")
    if isinstance(error, Unauthenticated):
        output.note("Give your key as $SPARRING_KEY, or the file that holds it as --key-file.")
    if isinstance(error, ServiceError) and error.retry_after_s is not None:
        output.note(f"Try again in {error.retry_after_s:g} s.")
    return exit_code(error)


def _as_flags(text: str) -> str:
    """Words of the client about its arguments, as flags."""
    return re.sub(
        r"\b(tls_ca|tls_cert|tls_key|allow_plaintext_key|tls)(=True)?\b",
        lambda named: f"--{named[1].replace('_', '-')}" if "_" in named[1] or named[2] else named[0],
        text,
    )


def exit_code(error: Exception) -> int:
    """2 for what the caller got wrong, 3 where nothing answered, 1 for everything else."""
    if isinstance(error, Unreachable | TimedOut):
        return UNREACHABLE
    return BAD_ARGUMENTS if isinstance(error, InvalidArgument | NotFound) else FAILED


def flag(path: str) -> str:
    """The flag that sets a field: `attack.attack.pgd.step_size` is --step-size."""
    parts: list[str] = re.findall(r"[a-z_0-9]+", path)
    names = [part for part in parts if not part.isdigit()]
    if not names:
        return ""
    last: str = names[-1]
    for index, part in enumerate(parts[:-1]):
        if part in _REPEATED and parts[index + 1].isdigit():
            inside = "" if last == part else f" {last}"
            return f"{_REPEATED[part]} no. {int(parts[index + 1]) + 1}{inside}"
    if "goal" in names or last in {"target", "label"}:
        return "--target"
    if "evaluation_data" in names:
        return "--evaluation-dataset" if last == "evaluation_data" else f"--evaluation-{last.replace('_', '-')}"
    if last in _POSITIONAL:
        return _POSITIONAL[last]
    renamed = {**_RENAMED, **{name: spelled.removeprefix("--") for name, spelled in _REPEATED.items()}}
    return "--" + renamed.get(last, last).replace("_", "-")
