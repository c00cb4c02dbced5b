"""The cache on disk: same bits, found again, never trusted when damaged, never in the way."""

import os
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from planardose.io import cache
from planardose.io.cache import FOLDER_VARIABLE, cache_folder, cached_arrays


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


class Maker:
    """Counts its calls; every call makes other numbers."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        rng = np.random.default_rng(self.calls)
        return {"table": rng.random((3, 4)), "counts": rng.integers(0, 9, 5, dtype=np.int32)}


def test_computed_once_and_read_with_the_same_bits(folder):
    make = Maker()
    first, again = (cached_arrays("crystal", {"mm": 9.5, "z": [1, 2]}, make) for _ in range(2))
    assert make.calls == 1
    assert first.keys() == again.keys() == {"table", "counts"}
    for name, array in first.items():
        assert array.dtype == again[name].dtype and array.tobytes() == again[name].tobytes()
    assert [f.parent.name for f in folder.rglob("*") if f.is_file()] == ["crystal"]  # one file, no leftovers


def test_another_key_or_kind_is_another_entry(folder):
    make = Maker()
    cached_arrays("crystal", {"a": 1, "mm": 9.5}, make)
    cached_arrays("crystal", {"mm": 9.5, "a": 1}, make)  # order does not matter
    assert make.calls == 1
    cached_arrays("crystal", {"a": 1, "mm": np.nextafter(9.5, 10)}, make)
    cached_arrays("collimator", {"a": 1, "mm": 9.5}, make)
    assert make.calls == 3


@pytest.mark.parametrize("damage", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_a_damaged_file_is_computed_anew(folder, damage):
    make = Maker()
    cached_arrays("crystal", {}, make)
    file = next(f for f in folder.rglob("*.npz"))
    file.write_bytes(damage)
    found = cached_arrays("crystal", {}, make)
    assert make.calls == 2 and found["table"].shape == (3, 4)
    cached_arrays("crystal", {}, make)
    assert make.calls == 2


def test_a_file_of_another_key_is_not_taken(folder):
    make = Maker()
    cached_arrays("crystal", {"n": 1}, make)
    first = next(f for f in folder.rglob("*.npz"))
    cached_arrays("crystal", {"n": 2}, make)
    second = next(f for f in folder.rglob("*.npz") if f != first)
    second.write_bytes(first.read_bytes())
    cached_arrays("crystal", {"n": 2}, make)
    assert make.calls == 3


def test_a_folder_that_cannot_be_written_costs_only_time(folder):
    folder.write_text("a file where the folder should be")
    make = Maker()
    for _ in range(2):
        assert cached_arrays("crystal", {}, make)["table"].shape == (3, 4)
    assert make.calls == 2


def test_objects_are_refused(folder):
    with pytest.raises(ValueError, match="'x' cannot be cached"):
        cached_arrays("crystal", {}, lambda: {"x": np.array([{}])})


def test_where_the_folder_is(monkeypatch, tmp_path):
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "planardose"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "planardose"


@pytest.fixture
def no_home(tmp_path, monkeypatch):
    """A home that cannot be made, and the machine's folder for temporary files."""
    for variable in (FOLDER_VARIABLE, "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", os.devnull + "/home")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cache._own_temporary_folder.cache_clear()
    yield tmp_path
    cache._own_temporary_folder.cache_clear()


def test_without_a_home_that_can_be_written_there_is_a_folder_of_the_users_own(no_home, monkeypatch):
    assert cache_folder() == no_home / f"planardose-{os.getuid()}/planardose"
    assert (no_home / f"planardose-{os.getuid()}").stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr("posixpath.expanduser", lambda path: path)  # no HOME, a user without an entry in passwd
    assert cache_folder() == no_home / f"planardose-{os.getuid()}/planardose"


def test_a_temporary_folder_that_others_can_write_is_not_taken(no_home):
    (no_home / f"planardose-{os.getuid()}").mkdir()
    (no_home / f"planardose-{os.getuid()}").chmod(0o777)
    assert cache_folder().parent != no_home / f"planardose-{os.getuid()}"
    assert cache_folder() == cache_folder() and cache_folder().parent.parent == no_home


def test_kernels_are_kept_there_too(no_home):
    code = "import warp, planardose.physics.warp_runtime as w; w.start_warp(); print(warp.config.kernel_cache_dir)"
    environment = os.environ | {"TMPDIR": str(no_home)}
    environment.pop("WARP_CACHE_PATH", None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.startswith(f"{no_home}/planardose-{os.getuid()}/warp/"), done.stderr
