"""Clients that hardly read, as a process: watchers that read nothing, downloads that take 10 KB a second.

    python -m tests.faults.net_slow TARGET ARTIFACT JOB...

Watchers and half of the downloads keep their HTTP/2 windows shut but read their sockets, as a program does whose
consumer sleeps; the other downloads have wide windows and do not read their sockets, as a machine does that hangs (a
watcher like that is no burden for long: megabytes of events fit into the kernel's buffers). Prints `open` once all are
there, and `RECEIVED_BYTES` when its input ends.
"""

from __future__ import annotations

import contextlib
import select
import sys
import time
from dataclasses import dataclass

from sparring.v1 import artifacts_pb2, jobs_pb2

from .net_h2 import DATA, H2, LARGEST_WINDOW

WATCHERS = 100
DOWNLOADS = 50
RATE_BYTES = 10_000
WATCH_WINDOW_BYTES = 1024
WATCH = "/sparring.v1.JobService/WatchJob"
DOWNLOAD = "/sparring.v1.ArtifactService/DownloadArtifact"
# What the kernel holds for a socket that nobody reads.
RECEIVE_BYTES = 16_384


@dataclass
class Slow:
    """One call of one client. `mute` clients read their sockets and keep the window shut, others do not read."""

    connection: H2
    stream: int
    mute: bool
    received: int = 0


def open_watchers(target: str, names: list[str]) -> list[Slow]:
    """So many calls that nobody reads."""
    watchers = []
    for number in range(WATCHERS):
        connection = H2(target, window=WATCH_WINDOW_BYTES, receive_bytes=RECEIVE_BYTES)
        request = jobs_pb2.WatchJobRequest(name=names[number % len(names)])
        watchers.append(Slow(connection, connection.call(WATCH, request.SerializeToString()), mute=True))
    return watchers


def open_downloads(target: str, artifact: str) -> list[Slow]:
    """So many downloads of one artifact."""
    downloads = []
    for number in range(DOWNLOADS):
        mute = number % 2 == 0
        connection = H2(target, window=RATE_BYTES if mute else LARGEST_WINDOW, receive_bytes=RECEIVE_BYTES)
        request = artifacts_pb2.DownloadArtifactRequest(name=artifact)
        downloads.append(Slow(connection, connection.call(DOWNLOAD, request.SerializeToString()), mute))
    return downloads


def _take(slow: Slow, size_bytes: int) -> None:
    slow.received += sum(len(frame.payload) for frame in slow.connection.read(size_bytes) if frame.kind == DATA)


def trickle(watchers: list[Slow], downloads: list[Slow]) -> None:
    """Let every download have its bytes, second after second, until the input ends."""
    reading = {slow.connection.socket: slow for slow in (*watchers, *downloads) if slow.mute}
    deaf = [slow for slow in downloads if not slow.mute]
    due = time.monotonic()
    while True:
        ready, _, _ = select.select([*reading, sys.stdin], [], [], max(0.0, due - time.monotonic()))
        for item in ready:
            if item is sys.stdin:
                return
            _take(reading[item], 1 << 16)
        if time.monotonic() >= due:
            due += 1.0
            for slow in downloads:
                if slow.mute:
                    slow.connection.allow(slow.stream, RATE_BYTES)
            for slow in deaf:
                if select.select([slow.connection.socket], [], [], 0)[0]:
                    _take(slow, RATE_BYTES)


def main() -> None:
    """Open everything, trickle, tell."""
    target, artifact, *names = sys.argv[1:]
    with contextlib.ExitStack() as resources:
        watchers = open_watchers(target, names)
        downloads = open_downloads(target, artifact)
        for slow in (*watchers, *downloads):
            resources.enter_context(slow.connection)
        print("open", flush=True)
        trickle(watchers, downloads)
        print(sum(slow.received for slow in downloads), flush=True)


if __name__ == "__main__":
    main()
