"""Makes the environment of the comparison: out/bench-venv, with the other libraries in it and ours beside it.

    python3 benchmarks/attacks/environment.py        does nothing where it is there already

An environment of its own, because the other libraries bring dependencies that ours does not want.
"""

from __future__ import annotations

import hashlib
import subprocess
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
ENVIRONMENT = ROOT / "out/bench-venv"
NEEDED, PEERS = HERE / "requirements.txt", HERE / "requirements-peers.txt"


def main() -> None:
    """Make it, unless it was made from these very files."""
    wanted = hashlib.sha256(NEEDED.read_bytes() + PEERS.read_bytes()).hexdigest()
    stamp = ENVIRONMENT / "made-from"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    venv.create(ENVIRONMENT, clear=True, with_pip=True)
    pip = [str(ENVIRONMENT / "bin/python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), "-r", str(NEEDED)], check=True)
    subprocess.run([*pip, "--no-deps", "-r", str(PEERS)], check=True)
    stamp.write_text(wanted)


if __name__ == "__main__":
    main()
