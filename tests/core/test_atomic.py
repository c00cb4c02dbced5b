"""Writing a file whole or not at all."""

import os

import pytest

from planardose.io.files import atomic


def test_two_that_write_the_same_file_do_not_meet(tmp_path, monkeypatch):
    """Jobs on two nodes or in two containers, with the same process number, and one cache or results folder."""
    monkeypatch.setattr(os, "getpid", lambda: 7)
    path = tmp_path / "table.npz"
    with atomic(path) as first, atomic(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
    assert [f.name for f in tmp_path.iterdir()] == ["table.npz"]


def test_a_file_that_could_not_be_finished_leaves_the_old_one(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(OSError, match="disk full"), atomic(path) as temporary:
        temporary.write_text("half")
        raise OSError("disk full")
    assert path.read_text() == "old"
    assert [f.name for f in tmp_path.iterdir()] == ["table.csv"]
