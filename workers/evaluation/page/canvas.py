"""Figures by matplotlib as inline SVG: text stays text, colours are those of the page, equal figures are equal bytes.

A figure is drawn in stand-ins, one for each colour of the page's style sheet, and these become CSS variables, so that
one drawing is right in light and in dark. Its text is set in the reader's own font; it is laid out for the wider DejaVu
Sans that comes with matplotlib, so nothing depends on the fonts of the machine that drew it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup, escape

if TYPE_CHECKING:  # matplotlib is imported where a figure is drawn: it takes half a second
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SERIES: Final = 10
"""Colours that tell lines and classes apart."""

_NAMES: Final = ("ink", "muted", "rule", "track", "ground", "held", "lost", "broken", *(f"s{i}" for i in range(SERIES)))

COLOUR: Final = {name: f"#0000{place + 1:02x}" for place, name in enumerate(_NAMES)}
"""The stand-in of each colour by the name of its variable in style.html; black itself is none, SVG leaves it out."""

DASHES: Final[Mapping[str, Any]] = {
    "solid": "-",
    "dashed": (0, (5, 3)),
    "dotted": (0, (1, 2)),
    "mixed": (0, (7, 2, 1, 2)),
}
"""Line styles by the class of their swatch in style.html."""

FONT_PX: Final = 11.0
"""Height of text in a drawing of 420 px; on a phone, whose columns are some 340 px, it is 9."""

_RC: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": FONT_PX,
    "path.simplify": False,
    "axes.edgecolor": COLOUR["rule"],
    "axes.labelcolor": COLOUR["ink"],
    "axes.linewidth": 1.0,
    "axes.axisbelow": True,
    "axes.unicode_minus": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": COLOUR["rule"],
    "grid.linewidth": 1.0,
    "xtick.color": COLOUR["rule"],
    "ytick.color": COLOUR["rule"],
    "xtick.labelcolor": COLOUR["muted"],
    "ytick.labelcolor": COLOUR["muted"],
    "xtick.major.size": 0.0,
    "xtick.major.pad": 6.0,
    "ytick.major.size": 0.0,
    "text.color": COLOUR["ink"],
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Swatch:
    """One entry of a legend: `colour` names a variable, `dash` is one of `DASHES` or "area" or "dot"."""

    label: str
    colour: str
    dash: str = "solid"
    square: bool = False


@dataclass(frozen=True)
class Plot:
    """A drawing with its caption, its legend, and sentences that say what is to be seen."""

    caption: str
    drawing: Markup
    legend: tuple[Swatch, ...] = ()
    notes: tuple[str, ...] = ()


def drawn(
    draw: Callable[[Axes], None], *, name: str, subject: str, size: tuple[float, float], margins: tuple[float, ...]
) -> Markup:
    """Draw on the axes of a fresh figure and return it as SVG.

    name: unique on the page, [a-z0-9-]; it keeps the ids of one figure apart from another's. subject: in words, for
    who can't see it. size: (width, height) in px. margins: left, right, top, bottom of the axes, in px: places are
    given and not found, as what fits depends on fonts.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    width, height = size
    left, right, top, bottom = margins
    with mpl.rc_context():
        mpl.rcdefaults()  # whatever the machine's own matplotlibrc says
        mpl.rcParams.update({**_RC, "svg.hashsalt": name})
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        figure.patch.set_visible(False)
        place = (left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height)
        axes = figure.add_axes(place)
        axes.patch.set_visible(False)
        draw(axes)
        return Markup(_inline(_svg(figure), size, subject))  # noqa: S704 - matplotlib escapes text, `_inline` the rest


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return buffer.getvalue()


def _inline(svg: str, size: tuple[float, float], subject: str) -> str:
    """Cut a file down to what an HTML page takes: no header, no style for all of the page, no ids but those in use."""
    body = svg[svg.index("<g id=") : svg.rindex("</svg>")]
    body = re.sub(r' id="(?:figure|axes|patch|line2d|text|matplotlib|[xy]tick|[A-Za-z]+Collection)[\w.]*"', "", body)
    body = body.replace("xlink:href", "href")
    body = re.sub(r'(?<= )(?:d|x|y|points|transform)="[^"]*"', lambda found: _rounded(found[0]), body)
    body = re.sub(r"#0000([0-9a-f]{2})\b", lambda found: f"var(--{_NAMES[int(found[1], 16) - 1]})", body)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    body = re.sub(r">\s+<", "><", body).strip()
    width, height = size
    head = f'<svg class="plot" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(subject)}">'
    return f"{head}{body}</svg>"


def _rounded(attribute: str) -> str:
    """Return an attribute of coordinates with hundredths of a pixel."""
    return re.sub(r"\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), attribute)
