"""Why the embedded stack does not start."""

from __future__ import annotations


class StackError(RuntimeError):
    """Raised when the stack can't be started; its message says what to do."""
