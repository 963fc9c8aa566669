"""Runs the blocks of a page one after another, as a reader would who pastes them: one folder, one shell, one Python.

The folder looks like a clone of the repository: docs/ and examples/ are copies, so that what a block writes there stays
its own, `out` is empty, the rest are links. The one word that is changed in every block is the address of the service,
127.0.0.1:50051, which becomes that of the tests' own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .blocks import ROOT, SHELL, Block, same

ADDRESS = "127.0.0.1:50051"
PATIENCE_S = 600.0
COPIED = ("docs", "examples")
LINKED = (".venv", "benchmarks", "deploy", "protos", "reproductions", "services", "tests", "tools", "workers")
FILES = ("Makefile", "README.md", "docker-compose.yml", "pyproject.toml", "constraints.txt")
# Options hold from one block to the next as in one shell: what is exported, and where it stands.
SHELL_BEGIN = 'set -a; . "$SESSION/env"; cd "$(cat "$SESSION/cwd")"; set -euo pipefail\n'
SHELL_END = 'declare -px > "$SESSION/env"; pwd > "$SESSION/cwd"'
PYTHON = """
import json, sys, traceback
names = {"__name__": "__main__"}
for line in sys.stdin:
    try:
        exec(compile(json.loads(line), "block", "exec"), names)
        print("\\n<done>", flush=True)
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        print("\\n<failed>", flush=True)
"""


@dataclass
class Session:
    """One page's folder, shell and Python; close it to end what still runs."""

    folder: Path
    server: str
    environment: Mapping[str, str]
    printed: str = ""
    _python: subprocess.Popen[str] | None = field(default=None, init=False)
    # Those that go on in the background, each with a process group of its own.
    _shells: list[subprocess.Popen[bytes]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        """Lay the folder out."""
        self._clone, self._state = self.folder / "sparring", self.folder / "state"
        for folder in (self._clone, self._state, self.folder / "home"):
            folder.mkdir(parents=True)
        for name in COPIED:
            shutil.copytree(ROOT / name, self._clone / name)
        for name in (*LINKED, *FILES):
            if (ROOT / name).exists():
                (self._clone / name).symlink_to(ROOT / name)
        (self._state / "env").touch()
        (self._state / "cwd").write_text(str(self._clone))

    def run(self, block: Block) -> None:
        """Run one block; raises AssertionError with what it printed where it does not do as it should."""
        text = block.to_run.replace(ADDRESS, self.server)
        if "output" in block.marks:
            assert same(block.text, self.printed), f"{block} is not what was printed:\n{self.printed}"
        elif (name := block.mark("file")) is not None:
            (self._cwd() / name).write_text(block.text, encoding="utf-8")
        elif block.language in SHELL:
            self._shell(block, typed(text) if block.language == "console" else text)
        else:
            self._execute(block, text)

    def close(self) -> None:
        """End the Python of this page, and what its shells have left in the background."""
        for shell in self._shells:
            _end(shell)
        if self._python is not None:
            assert self._python.stdin is not None
            self._python.stdin.close()
            self._python.wait(timeout=60)

    def _cwd(self) -> Path:
        return Path((self._state / "cwd").read_text().strip())

    def _env(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SPARRING_")}
        own = {
            "PATH": f"{Path(__file__).parent / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder / "home"),
            "SESSION": str(self._state),
            "SPARRING_SERVER": self.server,
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "160",
        }
        return {**kept, **own, **self.environment}

    def _shell(self, block: Block, text: str) -> None:
        """Run shell commands in a process group of their own, with both streams in one file."""
        script = SHELL_BEGIN + f"trap '{SHELL_END}' EXIT\n" + text
        log = self._state / "log"
        with log.open("w") as out:
            words = ["bash", "-c", script]
            streams = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": out}
            shell = subprocess.Popen(words, env=self._env(), process_group=0, **streams)
            try:
                code = _wait(shell, log, block.mark("until"), block.mark("background"))
            finally:
                if "background" in block.marks:
                    self._shells.append(shell)
                else:
                    _end(shell)
        self.printed = log.read_text(errors="replace")
        wanted = int(block.mark("exit") or 0)
        assert code == wanted, f"{block} ended with {code} and not with {wanted}:\n{text}\n{self.printed[-8000:]}"

    def _execute(self, block: Block, text: str) -> None:
        """Run Python in the interpreter of this page."""
        if self._python is None:
            self._python = subprocess.Popen(
                [sys.executable, "-u", "-c", PYTHON],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=self._cwd(),
                env=self._env(),
            )
        assert self._python.stdin is not None
        assert self._python.stdout is not None
        self._python.stdin.write(json.dumps(text) + "\n")
        self._python.stdin.flush()
        lines: list[str] = []
        for line in self._python.stdout:
            if line in {"<done>\n", "<failed>\n"}:
                self.printed = "".join(lines)
                assert line == "<done>\n", f"{block} failed:\n{text}\n{self.printed[-8000:]}"
                return
            lines.append(line)
        raise AssertionError(f"{block} ended the interpreter:\n{''.join(lines)[-8000:]}")


def _end(shell: subprocess.Popen[bytes]) -> None:
    """End a shell and whatever it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(shell.pid, signal.SIGKILL)
    shell.wait()


def typed(text: str) -> str:
    """What a person types in a console: the lines after `$`, and those that go on from them."""
    typed, goes_on = [], False
    for line in text.splitlines():
        if goes_on or line.startswith("$ "):
            typed.append(line.removeprefix("$ "))
            goes_on = line.endswith("\\")
    return "\n".join(typed) + "\n"


def _wait(shell: subprocess.Popen[bytes], log: Path, until: str | None, background: str | None) -> int:
    """Wait for the end, which is asked for (Ctrl-C) once the words are there; its exit code, 0 if asked for."""
    deadline = time.monotonic() + PATIENCE_S
    while shell.poll() is None:
        if background is not None and background in log.read_text(errors="replace"):
            return 0
        if until is not None and until in log.read_text(errors="replace"):
            os.killpg(shell.pid, signal.SIGINT)
            shell.wait(timeout=PATIENCE_S)
            return 0
        assert time.monotonic() < deadline, f"still running after {PATIENCE_S:.0f} s:\n{log.read_text()[-8000:]}"
        time.sleep(0.05)
    assert until is background is None, (
        f"it ended before it printed {until or background!r}:\n{log.read_text()[-8000:]}"
    )
    return shell.returncode
