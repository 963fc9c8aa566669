"""One experiment of the tutorial from end to end, and once more."""

from __future__ import annotations

from reproductions.command import reproduce
from reproductions.experiments import NAMES


def test_the_worked_example_is_reproduced_whole_and_not_run_twice(stack, tmp_path, capfd) -> None:
    """Every bar is met, the page is written, a second run finds the jobs of the first, and the docs get their table."""
    arguments = ["linear-example", "--quick", "--strict", "--server", stack.target]
    first, second = tmp_path / "first", tmp_path / "second"
    assert reproduce.main([*arguments, "--out", str(first)], standalone_mode=False) == 0
    said = capfd.readouterr().out
    assert "6 of 6 bars met" in said
    assert "paper -3, +2, ours -3, +2" in said
    page = (first / "linear-example" / "page.md").read_text(encoding="utf-8")
    assert "| P(y = 1) before and after | 0.0474, 0.88 | 0.0474, 0.8808 | 1 |" in page
    # The same out folder: nothing is asked. Another one: the service has done it all before.
    assert reproduce.main([*arguments, "--out", str(first)], standalone_mode=False) == 0
    assert "nothing has changed since the last run" in capfd.readouterr().out
    docs = tmp_path / "docs"
    again = [*arguments, "--out", str(second), "--docs", str(docs)]
    assert reproduce.main(again, standalone_mode=False) == 0
    table = (docs / "README.md").read_text(encoding="utf-8")
    assert table.count("| [linear-example](linear-example/page.md) |") == 5
    assert not any(name in table for name in NAMES[1:] if name != "linear-example")
    assert (docs / "linear-example" / "gain.svg").read_bytes() == (first / "linear-example" / "gain.svg").read_bytes()
