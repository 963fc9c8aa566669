"""`sparring up` says where its console is, and keeps it running."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from services import local
from services.cli.up import up

ADDRESS = re.compile(r"console +(http://127\.0\.0\.1:\d+)")


def page(address, path="/jobs"):
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    connection.request("GET", path, headers={"Accept": "text/html"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


@contextmanager
def sparring_up(folder, *options):
    """Run the command; gives what it has printed by the time that it is up."""
    run = "import services.cli; services.cli.main()"
    command = [sys.executable, "-c", run, "up", "--workers", "0", "--port", "0", "--data-dir", str(folder)]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    try:
        printed = ""
        for line in process.stdout:
            printed += line
            if "Ctrl-C" in line:
                break
        yield printed
    finally:
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        process.wait(60)


@pytest.mark.timeout(180)
def test_up_prints_the_address_of_its_console_which_answers(tmp_path):
    with sparring_up(tmp_path, "--console-port", "0") as printed:
        address = ADDRESS.search(printed)[1]
        status, text = page(address)
        assert status == 200
        assert "<h1>Jobs</h1>" in text


def test_up_has_no_console_where_none_is_wanted(monkeypatch):
    asked = []
    monkeypatch.setattr(local, "up", lambda **options: asked.append(options["console_port"]))
    for words in ([], ["--console-port", "0"], ["--no-console"]):
        assert CliRunner().invoke(up, words).exit_code == 0
    assert asked == [50080, 0, None]
    assert local.LocalStack(0).console == ""


def test_a_console_that_dies_is_started_again_at_its_address(console_stack, eventually):
    before = console_stack.pid("console")
    os.kill(before, signal.SIGKILL)
    eventually(lambda: console_stack.pid("console") not in {0, before})
    console_stack.wait_until_ready()
    assert page(console_stack.console)[0] == 200
