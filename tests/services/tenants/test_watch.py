"""Files that change: what is good is taken over, what is not changes nothing."""

import os

import pytest

from services.tenants.watch import Watched


def number(path):
    return lambda: int(path.read_text())


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_text("1")
    return path


def test_a_file_is_read_again_only_when_it_changed(file):
    reads = []

    def read():
        reads.append(1)
        return int(file.read_text())

    watched = Watched([file], read)
    assert not watched.refresh()
    file.write_text("22")
    assert watched.refresh()
    assert watched.value == 22
    assert not watched.refresh()
    assert len(reads) == 2


def test_the_same_size_and_time_in_another_file_is_a_change(file, tmp_path):
    watched = Watched([file], number(file))
    other = tmp_path / "other"
    other.write_text("2")
    stat = file.stat()
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(file)
    assert watched.refresh()
    assert watched.value == 2


def test_a_symbolic_link_that_turns_is_a_change(tmp_path):
    for name, text in (("one", "1"), ("two", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(text)
    # As Kubernetes mounts a secret: file -> ..data/file, ..data -> a folder of its own for each version.
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "file").symlink_to("..data/file")
    watched = Watched([tmp_path / "file"], number(tmp_path / "file"))
    (tmp_path / "..next").symlink_to("two")
    (tmp_path / "..next").replace(tmp_path / "..data")
    assert watched.refresh()
    assert watched.value == 2


def test_any_of_several_files_counts(file, tmp_path):
    second = tmp_path / "second"
    second.write_text("1")
    watched = Watched([file, second], number(file))
    second.write_text("changed")
    assert watched.refresh()


def test_what_can_not_be_read_changes_nothing_and_is_said_once(file, caplog):
    watched = Watched([file], number(file))
    file.write_text("no number")
    assert not watched.refresh()
    assert not watched.refresh()
    file.unlink()
    assert not watched.refresh()
    assert watched.value == 1
    assert caplog.text.count("what was read before stays in force") == 2
    file.write_text("3")
    assert watched.refresh()
    assert watched.value == 3


def test_at_the_start_there_is_nothing_to_fall_back_on(file):
    with pytest.raises(FileNotFoundError):
        Watched([file], number(file.with_name("nowhere")))
