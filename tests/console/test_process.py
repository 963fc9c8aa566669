"""The console as a process: over TLS, told to end, and told nonsense."""

from __future__ import annotations

import os
import re
import runpy
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAKE = "import sys; from services.cli import main; sys.argv = ['sparring', *sys.argv[1:]]; main()"


def started(**variables):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPARRING_")}
    return subprocess.Popen(
        [sys.executable, "-m", "services.console"],
        env={**environment, "SPARRING_SERVER": "127.0.0.1:1", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_serves_tls_says_that_it_is_well_and_drains(tmp_path):
    subprocess.run([sys.executable, "-c", MAKE, "credentials", str(tmp_path), "--host", "localhost"], check=True)
    process = started(
        SPARRING_CONSOLE_LISTEN="127.0.0.1:0",
        SPARRING_TLS_CERT_FILE=str(tmp_path / "server.pem"),
        SPARRING_TLS_KEY_FILE=str(tmp_path / "server-key.pem"),
    )
    try:
        port = int(re.search(r"listening on https://127\.0\.0\.1:(\d+)", process.stdout.readline())[1])
        healthy = runpy.run_path(str(ROOT / "deploy" / "console_health.py"))["healthy"]
        assert healthy(port, tls=True)
        assert not healthy(port, tls=False)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_it_does_not_start_in_the_open_without_tls():
    wide_open = started(SPARRING_CONSOLE_LISTEN="0.0.0.0:0")
    _, said = wide_open.communicate(timeout=60)
    assert wide_open.returncode == 2
    assert "there is no TLS" in said
