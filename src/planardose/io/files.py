"""Atomic writing and content hashes."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

NIFTI_SUFFIX = re.compile(r"(\.nii)?(\.gz)?$", re.IGNORECASE)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path in the target's folder, renamed to `path` when the block ends well.

    Its name is drawn: processes on two nodes, or in two containers, may have the same number.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = "".join(path.suffixes[-2:])
    temporary = path.with_name(f".{path.name.removesuffix(suffix)}.{token_hex(8)}{suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, or of the sorted hashes of all files below a folder (independent of their names)."""
    if path.is_dir():
        parts = sorted(sha256_of(f) for f in path.rglob("*") if f.is_file())
        return hashlib.sha256("".join(parts).encode()).hexdigest()
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def beside(path: Path, *endings: str) -> list[Path]:
    """Files in a NIfTI's folder that are called as it is, but with one of these endings, in any case."""
    stem = NIFTI_SUFFIX.sub("", path.name)
    wanted = {(stem + ending).casefold() for ending in endings}
    return sorted(f for f in path.parent.iterdir() if f != path and f.name.casefold() in wanted and f.is_file())


def is_nifti(path: Path) -> bool:
    """Whether a file is called as NIfTI files are."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def with_ending(path: Path, ending: str) -> Path:
    """The file called as `path` is but with this ending (``.json``), in whatever case it is there."""
    if path.suffix.lower() == ending:
        return path
    usual = path.with_suffix(ending)
    if usual.exists() or not path.parent.is_dir():
        return usual
    same = sorted(f for f in path.parent.iterdir() if f.stem == path.stem and f.suffix.lower() == ending)
    return same[0] if same else usual


def companions(path: Path) -> list[Path]:
    """Files that belong to an input: the JSON of an NPZ or the other way round, the names table of a label map."""
    ending = {".npz": ".json", ".json": ".npz"}.get(path.suffix.lower())
    if ending:
        return [f for f in [with_ending(path, ending)] if f.is_file()]
    return beside(path, ".tsv") if path.is_file() and is_nifti(path) else []


def fingerprint(path: Path | None) -> str:
    """Change mark of a file or folder from sizes and times.

    ``none`` without a path, ``missing`` without a file, ``unreadable`` where the system refuses: its reader tells.
    """
    try:
        return "none" if path is None else _mark(path)
    except OSError:
        return "unreadable"


def _mark(path: Path) -> str:
    if not path.exists():
        return "missing"
    files = sorted(path.rglob("*")) if path.is_dir() else [path, *companions(path)]
    marks = "".join(f"{s.st_size}:{s.st_mtime_ns};" for f in files if f.is_file() for s in [f.stat()])
    return hashlib.sha256(marks.encode()).hexdigest()[:16]
