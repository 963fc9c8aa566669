"""Generate, check and lint the contract: `python tools/protos.py generate | check | lint`.

The stubs are committed beside the protos. `check` generates them afresh into a scratch folder and fails on any
difference, `lint` runs buf over a scratch copy that holds google/rpc/status.proto from its wheel as well, so nothing of
Google's has to be kept in this repository.
"""

from __future__ import annotations

import filecmp
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import google.rpc
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
SOURCES = sorted((PROTOS / "sparring").rglob("*.proto"))
GOOGLE = Path(next(iter(google.rpc.__path__))).parent.parent
BUILTIN = Path(protoc.__file__).parent / "_proto"


def generate(target: Path) -> None:
    """Write the stubs of every proto under `target`."""
    arguments = [
        "protoc",
        f"-I{PROTOS}",
        f"-I{GOOGLE}",
        f"-I{BUILTIN}",
        *(f"--plugin={Path(sys.executable).with_name(name)}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")),
        f"--python_out={target}",
        f"--grpc_python_out={target}",
        f"--mypy_out=quiet:{target}",
        f"--mypy_grpc_out=quiet:{target}",
        *map(str, SOURCES),
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed")
    # Files without a service get empty grpc stubs; they would be noise.
    for source in SOURCES:
        if "\nservice " not in source.read_text():
            for suffix in ("_pb2_grpc.py", "_pb2_grpc.pyi"):
                stub = target / source.relative_to(PROTOS).with_name(source.stem + suffix)
                stub.unlink(missing_ok=True)


def check() -> None:
    """Fail where the committed stubs differ from fresh ones."""
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch)
        generate(target)
        fresh = {path.relative_to(target) for path in target.rglob("*.py*")}
        committed = (PROTOS / "sparring").rglob("*_pb2*.py*")
        kept = {path.relative_to(PROTOS) for path in committed if "__pycache__" not in path.parts}
        differing = [str(p) for p in fresh & kept if not filecmp.cmp(target / p, PROTOS / p, shallow=False)]
        drift = sorted([*differing, *map(str, fresh ^ kept)])
    if drift:
        raise SystemExit("stubs differ from the protos; run `make protos`: " + ", ".join(drift))


def lint() -> None:
    """Run buf's rules over the protos."""
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Path(scratch)
        shutil.copy(ROOT / "buf.yaml", workspace)
        for source in SOURCES:
            copy = workspace / "protos" / source.relative_to(PROTOS)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy)
        status = workspace / "protos/google/rpc/status.proto"
        status.parent.mkdir(parents=True)
        shutil.copy(GOOGLE / "google/rpc/status.proto", status)
        buf = Path(sys.executable).with_name("buf")
        result = subprocess.run([str(buf), "lint"], cwd=workspace, check=False)
    if result.returncode != 0:
        raise SystemExit("buf lint failed")


if __name__ == "__main__":
    commands = {"generate": lambda: generate(PROTOS), "check": check, "lint": lint}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        raise SystemExit(__doc__)
    commands[sys.argv[1]]()
