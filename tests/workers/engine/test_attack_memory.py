"""Keeping freed memory saves the page faults of every step."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# In a process of its own, as the setting can't be undone. 20 times 8 blocks of 4 MiB are written and freed.
SCRIPT = """
import resource
from workers.engine.memory import keep_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        blocks = [b"x" * 2**22 for _ in range(8)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(), int(keep_memory()), faults(), faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_freed_memory_is_used_again_instead_of_being_given_back():
    """By default the blocks are fetched from the system page by page every time; afterwards they are there."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    before, taken, _, after = map(int, done.stdout.split())
    assert taken == 1
    assert before > 20000
    assert after < 1000
