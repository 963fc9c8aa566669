"""The client is light: it loads fast, and nothing of the service comes with it."""

from __future__ import annotations

import json
import subprocess
import sys

PROBE = """
import json, sys, time
started = time.process_time()
{statement}
print(json.dumps([time.process_time() - started, sorted(sys.modules)]))
"""


def probe(statement):
    run = subprocess.run(
        [sys.executable, "-c", PROBE.format(statement=statement)], capture_output=True, text=True, check=True
    )
    return json.loads(run.stdout)


def test_importing_the_package_loads_neither_grpc_nor_protobuf():
    seconds, modules = probe("import sparring")
    assert not {"grpc", "google.protobuf"} & set(modules)
    assert seconds < 0.1


def test_a_client_loads_fast_and_without_the_service():
    # Processor seconds, so that a busy machine does not fail it.
    seconds, modules = probe("import sparring; sparring.connect('127.0.0.1:1').close()")
    assert seconds < 0.3
    heavy = {"torch", "numpy", "redis", "celery", "services", "workers", "click", "rich", "grpc_status"}
    assert not heavy & {name.partition(".")[0] for name in modules}


def test_the_public_names_are_there():
    look = "import sparring; [getattr(sparring, name) for name in sparring.__all__]; "
    _, modules = probe(look + "assert set(sparring.__all__) <= {*dir(sparring)}")
    assert "sparring.aio" in modules
