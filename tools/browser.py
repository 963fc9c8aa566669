"""A page in headless Chromium: what is wrong with how it looks, and a picture of it.

    python -m tools.browser PAGE [--width 1280] [--dark] [--out page.png] [--selector ".verdicts"]

Speaks the DevTools protocol over two pipes, so that it needs nothing but the browser. The page is loaded from its file
with the network switched off, and measured after layout: things that overlap, things that stick out, pictures that did
not load, drawings without anything in them.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
HEIGHT: Final = 900
TIMEOUT_S: Final = 60
FLAGS: Final = (
    "--headless",
    "--no-sandbox",  # it opens files of our own, with the network switched off
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
MEASURE: Final = Path(__file__).with_name("browser.js")


def find() -> str | None:
    """Return where there is a Chromium; None where there is none."""
    return next((path for path in map(shutil.which, BROWSERS) if path), None)


@dataclass
class Browser:
    """One tab of a running Chromium."""

    out: BinaryIO
    into: BinaryIO
    session: str = ""
    number: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call one method of the protocol; raises RuntimeError with what the browser says."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.into.write(json.dumps(message).encode() + b"\0")
        self.into.flush()
        while True:
            answer = self._read()
            if answer.get("id") != self.number:
                self.events.append(answer)
            elif "error" in answer:
                raise RuntimeError(f"{method}: {answer['error']['message']}")
            else:
                return cast("dict[str, Any]", answer["result"])

    def open(self, page: Path, *, width: int, dark: bool = False) -> None:
        """Show a file at a width in CSS pixels, in light or in dark, offline, and wait until it is loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=HEIGHT, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
        self.events.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())

    def asked(self) -> list[str]:
        """Return the addresses that the page has asked for, itself and pictures inside it left out."""
        sent = [event for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        urls = [event["params"]["request"]["url"] for event in sent]
        return [url for url in urls if not url.startswith(("data:", "file:"))]

    def faults(self) -> list[str]:
        """Return what is wrong with how the page looks, one sentence each."""
        found = self.call("Runtime.evaluate", expression=MEASURE.read_text(), returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"]["exception"]["description"])
        return [*(f"asked the network for {url}" for url in self.asked()), *found["result"]["value"]]

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression on the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def picture(self, clip: Mapping[str, float] | None = None, *, scale: float = 1) -> bytes:
        """Return the whole page, or a part {x, y, width, height} of it in CSS pixels, as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        part = dict(clip) if clip else {"x": 0, "y": 0, "width": size["width"], "height": size["height"]}
        shot = self.call(
            "Page.captureScreenshot", format="png", captureBeyondViewport=True, clip={**part, "scale": scale}
        )
        return base64.b64decode(shot["data"])

    def _read(self) -> dict[str, Any]:
        message = bytearray()
        while (byte := self.out.read(1)) != b"\0":
            if not byte:
                raise RuntimeError("the browser has gone")
            message += byte
        return cast("dict[str, Any]", json.loads(message))


@contextmanager
def browser(program: str | None = None) -> Iterator[Browser]:
    """Start a Chromium with an empty profile, and end it afterwards; raises FileNotFoundError without one."""
    path = program if program is not None else find()
    if path is None:
        raise FileNotFoundError(f"no Chromium on this machine: looked for {', '.join(BROWSERS)}")
    (read_calls, write_calls), (read_answers, write_answers) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(prefix="chromium-") as profile:
        # The protocol's pipes are descriptors 3 and 4 of the browser; a shell puts them there.
        command = f'exec "$@" 3<&{read_calls} 4>&{write_answers}'
        process = subprocess.Popen(
            ["/bin/bash", "-c", command, "bash", path, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(read_calls, write_answers),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        os.close(read_calls)
        os.close(write_answers)
        with os.fdopen(write_calls, "wb") as into, os.fdopen(read_answers, "rb") as out:
            tab = Browser(out, into)
            try:
                target = tab.call("Target.createTarget", url="about:blank")["targetId"]
                tab.session = tab.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
                for domain in ("Page", "Network"):
                    tab.call(f"{domain}.enable")
                yield tab
            finally:
                process.terminate()
                process.wait(TIMEOUT_S)


def main() -> int:
    """Print what is wrong with a page, and save a picture of it; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--width", type=int, default=1280, help="in CSS pixels")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--out", type=Path, help="where to save a picture of the whole page, as PNG")
    arguments = parser.parse_args()
    with browser() as tab:
        tab.open(arguments.page, width=arguments.width, dark=arguments.dark)
        faults = tab.faults()
        if arguments.out is not None:
            arguments.out.write_bytes(tab.picture())
    print("\n".join(faults) if faults else "nothing overlaps, sticks out, or is empty")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
