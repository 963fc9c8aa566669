"""Every block of the documentation that can be run here is run, in order, as it stands (`make test-docs`)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from . import blocks
from .session import Session

pytestmark = [pytest.mark.docs, pytest.mark.timeout(900)]
RUNNABLE = [block for path in blocks.pages() for block in blocks.read(path).blocks if block.runs]
failed: set[str] = set()


# The blocks of one page run in order, in one process.
@pytest.mark.parametrize(
    "block", [pytest.param(block, id=str(block), marks=pytest.mark.xdist_group(block.page)) for block in RUNNABLE]
)
def test_a_block_does_what_its_page_says(block: blocks.Block, session_of: Callable[[str], Session]) -> None:
    if block.page in failed:
        pytest.skip(f"a block above it on {block.page} failed")
    failed.add(block.page)
    session_of(block.page).run(block)
    failed.discard(block.page)
