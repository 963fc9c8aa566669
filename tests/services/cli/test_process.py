"""The command as a process of its own: what it loads, what Ctrl-C does, how it looks on a terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys

from sparring.v1.jobs_pb2 import Job

MODULES = (
    "import json, sys; from services.cli.app import run; run(sys.argv[1:]); print(json.dumps(sorted(sys.modules)))"
)
MAIN = [sys.executable, "-c", "from services.cli import main; main()"]
WATCH = ["attack", "bim", "--model", "m", "--dataset", "d", "--wait"]


def loaded(*arguments):
    done = subprocess.run([sys.executable, "-c", MODULES, *arguments], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_help_loads_neither_grpc_nor_protobuf_nor_rich():
    assert not {"grpc", "google", "rich", "torch", "numpy", "redis", "celery"} & loaded("--help")


def test_help_of_an_attack_loads_no_grpc():
    assert not {"grpc", "torch", "numpy", "redis", "celery"} & loaded("attack", "bim", "--help")


def test_a_command_that_talks_loads_nothing_of_the_service(server):
    modules = loaded("info", "--server", server.target)
    assert "grpc" in modules
    assert not {"torch", "numpy", "redis", "celery", "workers"} & modules


def test_ctrl_c_leaves_the_job_alone_and_says_how_to_watch_or_stop_it(server, service):
    service.next_job = {"events": 3, "state": Job.STATE_RUNNING}
    service.cuts["WatchJob"].append("silent")
    command = subprocess.Popen([*MAIN, *WATCH, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said = [command.stderr.readline(), command.stderr.readline()]
    assert said == ["jobs/job-1\n", "RUNNING\n"]
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=10)
    assert command.returncode == 130
    assert out == ""
    assert "sparring jobs watch jobs/job-1" in err
    assert "sparring jobs cancel jobs/job-1" in err
    assert "Traceback" not in err
    assert service.requests("CancelJob") == []


def test_a_terminal_gets_a_bar_and_pipes_get_the_result(server, service):
    service.next_job = {"events": 5, "state": Job.STATE_SUCCEEDED}
    master, slave = pty.openpty()
    command = [*MAIN, *WATCH, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=slave, text=True, timeout=20, check=True)
    os.close(slave)
    shown = b""
    while True:
        try:
            shown += os.read(master, 65536)
        except OSError:
            break
    os.close(master)
    assert json.loads(done.stdout)["state"] == "STATE_SUCCEEDED"
    assert "━".encode() in shown
    assert b"SUCCEEDED" in shown


def test_a_reader_that_has_seen_enough_is_no_error(server, service):
    for number in range(2000):
        service.add_job(f"jobs/{number}")
    command = subprocess.Popen(
        [*MAIN, "jobs", "list", "--limit", "2000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    command.stdout.readline()
    command.stdout.close()
    assert command.stderr.read() == ""
    command.wait(timeout=20)
