"""Base images without a registry: Debian's packages through debootstrap, and this machine's way to Python's index.

Where debootstrap can't be had, the public images that docker-compose.yml names are used, and the engine pulls them.
What a machine needs in order to reach its package index (certificates, pip's settings, local wheels) goes into the base
images that are made here, never into a Dockerfile of the product. All of it is read from the machine's own settings.
"""

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .engine import CACHE, Engine, run

SUITE = "bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"
DEBIAN = f"sparring-system/debian:{SUITE}"
PYTHON = f"sparring-system/python:{SUITE}"
PYTHON_WHEELS = f"sparring-system/python-wheels:{SUITE}"
REDIS = f"sparring-system/redis:{SUITE}"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# What of pip's settings makes sense inside an image as it stands; certificates and local wheels are copied instead.
PIP_KEYS = ("index-url", "extra-index-url", "trusted-host", "default-timeout", "proxy")

PYTHON_DOCKERFILE = f"""
FROM {DEBIAN}
COPY ca-certificates.crt {CERTIFICATES}
COPY pip.conf /etc/pip.conf
"""
WHEELS_DOCKERFILE = f"""
FROM {PYTHON}
COPY wheels /wheels
ENV PIP_FIND_LINKS=/wheels
"""
REDIS_DOCKERFILE = f"""
FROM {DEBIAN}
RUN apt-get update && apt-get install -y --no-install-recommends redis-server && rm -rf /var/lib/apt/lists/*
"""


@dataclass(frozen=True)
class PipSettings:
    """How this machine's pip reaches packages."""

    options: dict[str, str]
    wheels: tuple[Path, ...]

    def text(self) -> str:
        """Return them as a pip.conf for an image."""
        lines = [f"{key} = {value}" for key, value in sorted(self.options.items())]
        return "\n".join(["[global]", f"cert = {CERTIFICATES}", *lines, ""])


def pip_settings() -> PipSettings:
    """Read this machine's settings; indexes on its own disk are left out, since a build can't see them."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    options: dict[str, str] = {}
    wheels: set[Path] = set()
    # Sorted, a variable (`:env:`) would come before the files that it overrides, so it is written over them last.
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, literal = line.partition("=")
        key, value = name.rpartition(".")[2], str(ast.literal_eval(literal))
        if key == "find-links":
            wheels |= {wheel for place in value.split() if Path(place).is_dir() for wheel in Path(place).glob("*.whl")}
        elif key in PIP_KEYS:
            options[key] = " ".join(word for word in value.split() if not word.startswith("file:"))
    return PipSettings({key: value for key, value in options.items() if value}, tuple(sorted(wheels)))


def base_images(engine: Engine) -> dict[str, str]:
    """Make the base images where that is possible; return the variables that choose them."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        return {}
    if not engine.has_image(DEBIAN):
        bootstrap(engine)
    settings = pip_settings()
    certificates = {"ca-certificates.crt": CERTIFICATES} if CERTIFICATES.exists() else {}
    build(engine, PYTHON, PYTHON_DOCKERFILE, texts={"pip.conf": settings.text()}, files=certificates)
    build(engine, REDIS, REDIS_DOCKERFILE)
    variables = {"SPARRING_PYTHON_IMAGE": PYTHON, "SPARRING_REDIS_IMAGE": REDIS, "SPARRING_SYSTEM_WORKER_BASE": PYTHON}
    if settings.wheels:
        wheels = {f"wheels/{wheel.name}": wheel for wheel in settings.wheels}
        build(engine, PYTHON_WHEELS, WHEELS_DOCKERFILE, files=wheels)
        variables["SPARRING_SYSTEM_WORKER_BASE"] = PYTHON_WHEELS
    return variables


def bootstrap(engine: Engine) -> None:
    """Install a small Debian into a folder and import it as an image."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        # mkdtemp makes it for root alone, and the image's root folder would keep that mode.
        root = Path(folder) / "root"
        root.mkdir(mode=0o755)
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root), *mirror()]
        run(command, env=engine.env, timeout_s=600)
        archive = Path(folder) / "root.tar"
        run(["tar", "-C", str(root), "-cf", str(archive), "."], env=engine.env, timeout_s=300)
        engine.docker("import", str(archive), DEBIAN, timeout_s=300)


def mirror() -> list[str]:
    """Return where this machine's apt takes the suite from, if it does: debootstrap may then reach it too."""
    command = ["apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [line.split()[2] for line in listed if line.startswith(f"{SUITE} main ")][:1]


def build(
    engine: Engine,
    tag: str,
    dockerfile: str,
    *,
    texts: dict[str, str] | None = None,
    files: dict[str, Path] | None = None,
) -> None:
    """Build one base image; the engine's cache makes this a matter of a second when nothing has changed."""
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        context = Path(folder)
        for name, text in {"Dockerfile": dockerfile, **(texts or {})}.items():
            (context / name).write_text(text)
        for name, source in (files or {}).items():
            (context / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source, context / name)
        engine.docker("build", "--network", "host", "--tag", tag, folder, timeout_s=600)
