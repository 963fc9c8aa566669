"""A session runs blocks as a reader would, and a block that does something else fails with what it printed."""

from __future__ import annotations

import pytest

from . import blocks
from .session import Session


@pytest.fixture
def session(tmp_path):
    one = Session(tmp_path, "127.0.0.1:1", {})
    yield one
    one.close()


def run(session, text):
    for block in blocks.parse("page.md", text).blocks:
        session.run(block)


@pytest.mark.parametrize(
    "text",
    [
        "```sh\necho before\nfalse\necho after\n```",
        "```sh\nfalse | cat\n```",
        "```sh\necho $NOT_SET\n```",
        "```python\nprint('before')\nraise ValueError('no')\n```",
        "<!-- exit: 1 -->\n```sh\ntrue\n```",
        "```sh\necho one\n```\n<!-- output -->\n```text\ntwo\n```",
        "```python\nprint(1)\n```\n<!-- output -->\n```text\n2\n```",
        "<!-- until: ready -->\n```sh\necho done\n```",
        "<!-- quick: sleep 100 => exit 3 -->\n```sh\nsleep 100\n```",
    ],
)
def test_a_block_that_does_something_else_fails(session, text):
    with pytest.raises(AssertionError, match=r"page\.md|it ended before"):
        run(session, text)


def test_a_failing_block_shows_what_it_printed(session):
    with pytest.raises(AssertionError, match="told before the end"):
        run(session, "```sh\necho told before the end\nfalse\n```")


def test_blocks_of_a_page_share_folder_variables_and_names(session):
    run(session, "```sh\nmkdir here; cd here; NAME=value\n```\n```sh\necho $NAME > file; basename $PWD\n```\n")
    assert session.printed == "here\n"
    run(session, "```python\nfound = open('file').read()\n```\n```python\nprint(found)\n```")
    assert "value" in session.printed


def test_a_file_of_the_page_is_there_for_the_next_block(session):
    run(session, "<!-- file: keys.toml -->\n```toml\na = 1\n```\n```sh\ncat keys.toml\n```")
    assert session.printed == "a = 1\n"


def test_the_address_of_the_service_is_that_of_the_tests(session):
    run(session, "```sh\necho 127.0.0.1:50051 $SPARRING_SERVER\n```")
    assert session.printed == "127.0.0.1:1 127.0.0.1:1\n"


def test_what_goes_on_is_interrupted_or_left_to_the_end_of_the_page(session):
    run(session, "<!-- until: ready -->\n```sh\necho ready; exec sleep 100\n```")
    run(session, "<!-- background: ready -->\n```sh\necho $$ > pid; echo ready; exec sleep 100\n```")
    run(session, "```sh\nkill -0 $(cat pid)\n```")
    session.close()
    run(session, "<!-- exit: 1 -->\n```sh\nsleep 0.2; kill -0 $(cat pid)\n```")


def test_a_page_writes_into_a_copy(session):
    run(session, "```sh\nrm docs/index.md\n```")
    assert (blocks.ROOT / "docs" / "index.md").exists()
