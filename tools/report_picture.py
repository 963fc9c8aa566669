"""The picture of the report in the README: parts of the demo's page on a wide screen, and beside them on a phone.

make demo && python -m tools.report_picture [out/demo/report.html] [docs/report.png]
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Final

from PIL import Image

from tools.browser import Browser, browser

# What is shown of the page, as CSS selectors; a part reaches from the first that each finds to the last.
HEAD: Final = "header, .verdicts, .strip"
WIDE: Final = (
    HEAD,
    "#epsilon h2, #epsilon figure",
    ".gallery tr:nth-child(-n+3)",
    "#portraits h3:first-of-type, #portraits div.plots:first-of-type",
    "#maps h2, #maps figure:nth-child(-n+2)",
)
NARROW: Final = (
    HEAD,
    "#epsilon h2, #epsilon figure",
    "#portraits div.plots:first-of-type figure",
    "#maps figure:first-child",
)
DEFAULTS: Final = ("out/demo/report.html", "docs/report.png")
GAP: Final = 34
GROUND: Final = "#e3e8ec"
COLOURS: Final = 192


def parts(tab: Browser, selectors: tuple[str, ...], width: int) -> Image.Image:
    """Return parts of the page that is open, one below the other."""
    shots = []
    for selector in selectors:
        rects = tab.evaluate(
            f"[...document.querySelectorAll({json.dumps(selector)})].slice(0, 3)"
            ".map((one) => one.getBoundingClientRect()).map((box) => [box.top + scrollY, box.bottom + scrollY])"
        )
        if rects:
            top, bottom = min(top for top, _ in rects) - 6, max(bottom for _, bottom in rects) + 6
            clip = {"x": 0, "y": max(0, top), "width": width, "height": bottom - max(0, top)}
            shots.append(Image.open(io.BytesIO(tab.picture(clip))).convert("RGB"))
    whole = Image.new("RGB", (width, sum(shot.height + GAP for shot in shots) + GAP), "white")
    y = GAP
    for shot in shots:
        whole.paste(shot, (0, y))
        y += shot.height + GAP
    return whole


def main() -> None:
    """Write the picture."""
    given = [*sys.argv[1:], *DEFAULTS[len(sys.argv) - 1 :]]
    page, target = map(Path, given)
    with browser() as tab:
        tab.open(page, width=1180)
        wide = parts(tab, WIDE, 1180)
        tab.open(page, width=390)
        phone = parts(tab, NARROW, 390)
    height = max(wide.height, phone.height) + 2 * GAP
    both = Image.new("RGB", (wide.width + phone.width + 3 * GAP, height), GROUND)
    both.paste(wide, (GAP, GAP))
    both.paste(phone, (wide.width + 2 * GAP, GAP))
    both.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)
    print(f"{target}: {both.width} x {both.height}, {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
