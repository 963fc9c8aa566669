"""How the site of the documentation is made from the pages beside this file: `make site`.

Pages are Markdown that GitHub shows as well; the site adds their order, a search that works offline, light and dark.
Nothing is loaded from elsewhere: fonts are those of the reader's machine.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent

project = "Sparring"
author = "the authors of Sparring"
project_copyright = "the authors of Sparring, MIT licence"
release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

extensions = ["myst_parser"]
# Pages of GitHub's own kind: headings can be linked to, dollars are dollars.
myst_heading_anchors = 4
myst_enable_extensions = ["html_image"]
exclude_patterns = ["examples"]
nitpicky = True
html_theme = "furo"
html_title = f"Sparring {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
pygments_style = "default"
pygments_dark_style = "monokai"


DOCS, REPOSITORY = Path(__file__).resolve().parent, ROOT
# Folders whose README lists their pages; to the site it is told here, since GitHub would show the directive.
CONTENTS = "\n```{{toctree}}\n:hidden:\n:glob:\n\n{}\n```\n"
PAGES = {"reproductions/README": "*/page", "reference/README": "*", "adr/README": "*"}
# A page that stands elsewhere in the repository, and what the site calls it.
ELSEWHERE = {"deploy/README.md": "containers.md"}
LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s:]+)(?P<anchor>#[^)\s]*)?\)")


def prepare(app: Sphinx, page: str, source: list[str]) -> None:
    """Put in the page that stands elsewhere, the contents of folders, and links that lead somewhere in the site."""
    del app
    folder = (DOCS / page).parent
    for path, name in ELSEWHERE.items():
        if f"{page}.md" == name:
            source[0], folder = (REPOSITORY / path).read_text(encoding="utf-8"), (REPOSITORY / path).parent
    source[0] = LINK.sub(lambda found: relinked(found, folder, (DOCS / page).parent), source[0])
    if page in PAGES:
        source[0] += CONTENTS.format(PAGES[page])


def relinked(found: re.Match[str], folder: Path, page: Path) -> str:
    """A link from a page's folder as the site needs it; what the site does not have is named and not linked to."""
    target = (folder / found["target"]).resolve()
    inside = target.relative_to(REPOSITORY).as_posix() if target.is_relative_to(REPOSITORY) else ""
    if inside in ELSEWHERE:
        target = DOCS / ELSEWHERE[inside]
    elif not target.exists() or (target.is_relative_to(DOCS) and folder == page):
        return found[0]
    elif not target.is_relative_to(DOCS) and (target.is_dir() or target.suffix == ".md"):
        return f"{found['text']} (`{inside}` in the repository)" if inside not in found["text"] else found["text"]
    anchor = "" if found["anchor"] is None else found["anchor"]
    return f"[{found['text']}]({os.path.relpath(target, page)}{anchor})"


def setup(app: Sphinx) -> None:
    """Show diagrams, which GitHub draws, as the text that they are."""
    app.add_lexer("mermaid", TextLexer)
    app.connect("source-read", prepare)
