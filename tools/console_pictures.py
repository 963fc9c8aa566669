"""Pictures of the console's pages for the documentation, on a desk and on a phone.

    python -m tools.console_pictures [--out docs/pictures] [--only jobs]

Starts a stack of its own, trains two small nets, attacks and evaluates them, and writes `console-PAGE.png` at 1280 and
`console-PAGE-phone.png` at 390 CSS pixels, with a palette of 64 colours so that they stay small.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import sparring
from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from services.local import LocalStack
from tools import browser

SIZES = {"": (1280, 860), "-phone": (390, 780)}
COLOURS = 64
# Some pages say what they have to say further down.
TALL = {"job": 1900, "attack": 1000}
WAIT_MS = 1200


def prepare(target: str) -> Mapping[str, str]:
    """Make models and jobs; the pages to show, by name."""
    with sparring.connect(target) as client:
        wait = client.jobs.wait
        wait(client.train("mnist10k", architecture="wong_cnn", model_id="plain", epochs=2, count=4000), check=True)
        hardened = client.train(
            "mnist10k", "fgsm_rs", architecture="wong_cnn", model_id="hardened", epochs=3, count=4000, epsilon=0.2
        )
        wait(hardened, check=True)
        pgd = client.attack(
            "plain", "mnist10k", "pgd", epsilon=0.1, steps=10, count=300, display_name="before hardening"
        )
        wait(pgd, check=True)
        judged = client.evaluate(["plain", "hardened"], "mnist10k", suite="quick:epsilon=0.1", count=200)
        wait(judged, check=True)
        wait(client.jobs.cancel(client.attack("plain", "mnist10k", "boundary", count=200)))
    return {
        # A worker that is idle answers this one soonest.
        "dataset": "/datasets/mnist10k",
        "jobs": "/jobs",
        "job": f"/{pgd.name}",
        "attack": "/new/attack?model=plain&method=bim",
        "models": "/models",
        "compare": f"/compare?job={judged.name.rpartition('/')[2]}",
        "leaderboard": "/leaderboard",
        "catalog": "/catalog#pgd",
        "workers": "/workers",
    }


def keep_busy(target: str) -> None:
    """Start something that takes longer than the pictures."""
    with sparring.connect(target) as client:
        client.attack("hardened", "mnist10k", "square", epsilon=0.1, queries=2000, count=400, display_name="black box")


def shoot(chrome: Browser, address: str, width: int, height: int) -> bytes:
    """Return a picture of a page as PNG, in few colours; RuntimeError where it complains or scrolls sideways."""
    context = chrome.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.goto(address)
    # Pictures of samples come from a worker, which may be at something else.
    with contextlib.suppress(PlaywrightError):
        page.wait_for_selector("#samples img" if "/datasets/" in address else "h1")
    page.wait_for_timeout(WAIT_MS)
    wide = page.evaluate("document.documentElement.scrollWidth")
    if complaints or wide > width:
        raise RuntimeError(f"{address} at {width} px is {wide} px wide and says: {complaints}")
    shot = page.screenshot()
    context.close()
    with Image.open(io.BytesIO(shot)) as picture:
        small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        out = io.BytesIO()
        small.save(out, "PNG", optimize=True)
    return out.getvalue()


def main() -> int:
    """Write the pictures; 1 without a browser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--only", action="append", help="a page's name; may be given again")
    arguments = parser.parse_args()
    path = browser.find()
    if path is None:
        print(f"no Chromium on this machine: looked for {', '.join(browser.BROWSERS)}", file=sys.stderr)
        return 1
    total = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalStack(1, folder, console=True) as stack,
        sync_playwright() as play,
    ):
        pages = prepare(stack.target)
        chrome = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for name, where in pages.items():
            if name == "jobs":
                keep_busy(stack.target)
            if arguments.only and name not in arguments.only:
                continue
            for suffix, (width, height) in SIZES.items():
                png = shoot(chrome, f"{stack.console}{where}", width, max(height, TALL.get(name, 0)))
                (arguments.out / f"console-{name}{suffix}.png").write_bytes(png)
                total += len(png)
        chrome.close()
    print(f"{total / 1024:.0f} KiB of pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
