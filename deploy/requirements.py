"""Print what an image installs besides Sparring itself: `requirements.py pyproject.toml EXTRA...`.

The Dockerfiles install this list before they copy the code in, so that a change of the code rebuilds seconds' work and
not PyTorch's layer.
"""

import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path


def expand(extras: Iterable[str], groups: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield the requirements of `extras`, with those of the extras that they name in turn (`sparring[services]`)."""
    for extra in extras:
        for requirement in groups[extra]:
            if requirement.startswith("sparring["):
                named = requirement.removeprefix("sparring[").removesuffix("]")
                yield from expand(named.split(","), groups)
            else:
                yield requirement


def requirements(pyproject: Path, extras: Iterable[str]) -> list[str]:
    """Return the requirements of building Sparring, of Sparring, and of its `extras`, each once."""
    tables = tomllib.loads(pyproject.read_text())
    project = tables["project"]
    optional = expand(extras, project["optional-dependencies"])
    return sorted({*tables["build-system"]["requires"], *project["dependencies"], *optional})


if __name__ == "__main__":
    print("\n".join(requirements(Path(sys.argv[1]), sys.argv[2:])))
