"""Run a command with one GPU to itself: `gpu_slot.py FOLDER COMMAND...`.

Compose gives every replica of a service the same GPUs (docker/compose#11863). So each replica locks a file, one for
each GPU, in a folder that all of them mount, and shows the command that GPU alone. The lock belongs to the process: the
kernel drops it when the process ends, whatever ended it, and the next replica may have the GPU.
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def devices() -> list[str]:
    """Return the UUIDs of the GPUs that this container sees."""
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def take(folder: Path, uuids: Sequence[str]) -> str | None:
    """Lock the first GPU that is free, until this process and what it becomes has ended; None if none is."""
    for uuid in uuids:
        lock = os.open(folder / f"{uuid}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        os.set_inheritable(lock, True)
        return uuid
    return None


def main(folder: Path, command: Sequence[str]) -> None:
    """Become `command`, which sees one GPU."""
    uuids = devices()
    uuid = take(folder, uuids)
    if uuid is None:
        sys.exit(f"all {len(uuids)} GPUs are taken by other workers: scale worker-gpu to at most {len(uuids)}")
    os.environ["CUDA_VISIBLE_DEVICES"] = uuid
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
