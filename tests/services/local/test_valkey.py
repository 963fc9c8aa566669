"""The server of the embedded stack: one for a folder, and no longer there than whoever started it."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.connection import connect
from services.local import valkey
from services.settings import StoreSettings


def test_two_servers_never_share_a_folder(tmp_path, server_binary, monkeypatch):
    monkeypatch.setattr(valkey, "LOCK_WAIT_S", 0.2)
    with valkey.start(tmp_path, binary=server_binary), pytest.raises(valkey.ValkeyError, match="another server"):
        valkey.start(tmp_path, binary=server_binary)


def test_a_server_that_does_not_start_says_where_its_log_is(tmp_path):
    with pytest.raises(valkey.ValkeyError, match=r"valkey\.log"):
        valkey.start(tmp_path, binary="/bin/false")


def test_a_taken_port_is_an_error_and_not_somebody_elses_server(tmp_path, server_binary):
    with valkey.start(tmp_path / "one", binary=server_binary) as one, pytest.raises(valkey.ValkeyError):
        valkey.start(tmp_path / "two", port=one.port, binary=server_binary)


def test_data_survive_a_stop(tmp_path, server_binary):
    for before, after in ((None, b"1"), (b"1", b"2")):
        with valkey.start(tmp_path, binary=server_binary) as server, connect(StoreSettings(server.url)) as redis:
            assert redis.get("key") == before
            redis.set("key", after)


STARTER = """
import sys, time
from services.local import valkey
server = valkey.start(sys.argv[1], binary=sys.argv[2] if len(sys.argv) > 2 else None)
print(server.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a process is tied to its parent on Linux only")
def test_a_server_ends_with_its_parent_and_its_folder_can_be_used_again(tmp_path, server_binary):
    arguments = [str(tmp_path)] + ([] if server_binary is None else [server_binary])
    with subprocess.Popen([sys.executable, "-c", STARTER, *arguments], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 10
    while running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    valkey.start(tmp_path, binary=server_binary).stop()


def running(pid):
    """Whether a process is there and not merely unburied."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
