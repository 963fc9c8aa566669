"""The `sparring` command. It talks to a service over gRPC; `sparring up` starts one.

Exit codes: 0 done, 1 failed (a job or the service; of a gate: the model), 2 bad arguments, 3 cannot reach the service,
4 a gate that could not judge, 130 interrupted.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command; the entry point of `sparring`."""
    from services.cli.app import run

    sys.exit(run(sys.argv[1:]))
