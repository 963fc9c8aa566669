"""The embedded stack: everything that Sparring needs on one machine, without root and without containers."""

from __future__ import annotations

from services.local.errors import StackError
from services.local.foreground import up
from services.local.stack import LocalStack

__all__ = ["LocalStack", "StackError", "up"]
