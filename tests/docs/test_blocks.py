"""Every block of the documentation says what it is, parses, and is run by some test; see `blocks` for the marks."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.guarantees.named_tests import missing

from . import blocks, readers
from .session import typed

BLOCKS = [block for path in blocks.pages() for block in blocks.read(path).blocks]
MARKED = [block for block in BLOCKS if "elsewhere" in block.marks]
NEEDY = [block for block in BLOCKS if "needs" in block.marks]
# So many blocks may say that they can't be run here. It is a bound to keep, not to raise lightly.
MOST_NEEDY = 16
TARGET = re.compile(r"make (?P<target>[a-z-]+)")


def test_there_are_blocks_of_every_sort():
    assert len(BLOCKS) > 100
    assert sum(block.runs for block in BLOCKS) > 50


@pytest.mark.parametrize("path", blocks.pages())
def test_every_block_of_a_page_is_fenced_and_says_its_language(path):
    page = blocks.read(path)
    assert page.indented == [], "code that is indented has no language; fence it"
    assert [str(block) for block in page.blocks if block.language not in blocks.LANGUAGES] == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in blocks.DATA], ids=str)
def test_data_is_what_its_reader_takes(block):
    readers.PARSERS[block.language](block.text)
    reader = block.mark("read by")
    if reader is not None:
        readers.READERS[reader](block.text)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in blocks.SHELL], ids=str)
def test_a_shell_takes_it(block):
    text = typed(block.to_run) if block.language == "console" else block.to_run
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert text.strip()


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "python"], ids=str)
def test_python_takes_it(block):
    compile(block.to_run, str(block), "exec")


@pytest.mark.parametrize("block", MARKED, ids=str)
def test_what_runs_it_elsewhere_is_there_and_speaks_of_it(block):
    for told in block.marks["elsewhere"]:
        where, _, words = told.partition(": ")
        if target := TARGET.fullmatch(where):
            makefile = (blocks.ROOT / "Makefile").read_text(encoding="utf-8")
            rule = re.search(rf"^{target['target']}:.*\n(\t.*\n)*", makefile, re.MULTILINE)
            assert rule, f"there is no target {target['target']!r}"
            text = rule[0]
        else:
            assert (blocks.ROOT / where).is_file() or missing([where]) == [], f"there is no test {where}"
            folder = (blocks.ROOT / where.partition("::")[0]).parent
            text = "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py")))
        assert words, f"{block}: after the name come a colon and words that it has in common with the block"
        for word in words.split("; "):
            assert word in block.text, f"{word!r} is not in the block"
            assert word in text, f"{where} does not speak of {word!r}"


def test_few_blocks_can_not_be_run_here():
    found = [f"{block} needs {block.mark('needs')}" for block in NEEDY]
    print("\n".join(found))
    assert {block.mark("needs") for block in NEEDY} <= blocks.NEEDS
    assert len(found) <= MOST_NEEDY


def test_a_mark_that_belongs_to_no_block_is_refused():
    with pytest.raises(AssertionError, match="no block follows"):
        blocks.parse("page.md", "<!-- quick: a => b -->\nwords\n")


def test_a_quick_form_whose_long_form_is_gone_is_refused():
    text = "<!-- quick: --epochs 30 => --epochs 1 -->\n```sh\ntrain --epochs 40\n```\n"
    (block,) = blocks.parse("page.md", text).blocks
    with pytest.raises(AssertionError, match="is not in the block"):
        assert block.to_run


def test_code_that_is_only_indented_is_found():
    assert blocks.parse("page.md", "words\n\n    make demo\n\n- item\n\n    more of it\n").indented == [3]


def test_what_is_left_out_of_an_output_stands_for_anything():
    assert blocks.same("robust ... [0.4, ...]", "a robust   accuracy\n 0.412 [0.4, 0.5] b")
    assert not blocks.same("robust ... 0.5", "robust 0.4")
