"""The order in which a folder is written to, since only a loss of power would show another one."""

import os
import stat
from pathlib import Path

from services.artifacts.volume import MARKER, Volume


def test_a_part_reaches_the_disk_before_its_name_and_the_name_before_the_answer(tmp_path, monkeypatch):
    volume = Volume(tmp_path)
    volume.mark("id")
    done = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor):
        kind = "file" if stat.S_ISREG(os.fstat(descriptor).st_mode) else "folder"
        done.append((kind, Path(f"/proc/self/fd/{descriptor}").readlink().name))
        fsync(descriptor)

    def noted_replace(path, target):
        done.append(("rename", Path(target).name))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    volume.put("t", "shelf", "0-part", [b"one", memoryview(b"two")])
    kinds = [kind if kind == "file" else (kind, name) for kind, name in done]
    assert kinds == [("folder", "tenants"), ("folder", "t"), "file", ("rename", "0-part"), ("folder", "shelf")]
    assert volume.get("t", "shelf", "0-part", 0, 100) == b"onetwo"
    done.clear()
    volume.put("t", "shelf", "3-part", [b"three"])
    assert [kind for kind, _ in done] == ["file", "rename", "folder"]


def test_what_a_write_left_that_did_not_end_is_listed_and_can_be_deleted(tmp_path):
    volume = Volume(tmp_path)
    volume.mark("id")
    volume.put("t", "shelf", "0-part", [b"one"])
    (tmp_path / "tenants" / "t" / "shelf" / ".1-part.tmp").write_bytes(b"half")
    assert sorted(volume.parts("t", "shelf")) == [".1-part.tmp", "0-part"]
    volume.delete("t", "shelf", [".1-part.tmp"])
    assert volume.parts("t", "shelf") == ["0-part"]
    volume.delete("t", "shelf", ["0-part", "never-there"])
    assert list(volume.shelves()) == []


def test_a_file_or_folder_of_somebody_else_is_no_shelf_and_no_marker(tmp_path):
    volume = Volume(tmp_path)
    assert volume.marker() is None
    volume.mark("id")
    (tmp_path / "tenants" / "README").write_text("hello")
    assert list(volume.shelves()) == []
    assert (volume.marker(), (tmp_path / MARKER).read_text()) == ("id", "id")
