"""Where files are written: folders that cannot be, and places that are no files."""

from __future__ import annotations

from pathlib import Path

import pytest

from crystalc.diagnostics import CompileError
from crystalc.files import check_folder, make_folder, remove, write_atomic


def test_a_folder_may_be_there_missing_or_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    for place in (tmp_path, tmp_path / "a" / "b", tmp_path / "link"):
        check_folder(place)
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_file_is_no_folder_and_stays(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("kept")
    for place in (file, file / "below" / "it"):
        for act in (check_folder, make_folder):
            with pytest.raises(CompileError, match=f"output {file} is a file, not a folder"):
                act(place)
    with pytest.raises(CompileError, match="is a file, not a folder"):
        write_atomic(file / "report.json", "")
    assert file.read_text() == "kept"


def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path) -> None:
    for place in (tmp_path, Path("/dev/null")):
        with pytest.raises(CompileError, match="not a regular file"):
            write_atomic(place, "")
    assert Path("/dev/null").is_char_device()


def test_what_cannot_be_deleted_is_one_sentence(tmp_path: Path) -> None:
    remove(tmp_path / "absent")
    with pytest.raises(CompileError, match="cannot delete"):
        remove(tmp_path)
