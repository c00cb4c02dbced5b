"""Compare two results folders under the contract's "Same results"."""

import gzip
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

from planardose.errors import InputError
from planardose.io.files import sha256_of
from planardose.run import is_whole
from planardose.sidecar import read_sidecar

# Neither pages, pictures, logs, timings nor a training's resume point are promised to be equal.
EXEMPT_SUFFIXES = (".html", ".png", ".log", ".pt")
EXEMPT_FOLDERS = {"logs", "benchmarks"}
EXEMPT_KEYS = {"command", "host", "created", "seconds", "device"}
CHANGED = "cut off, or changed after it was written, in {}; run its step again"


def verify(a: Path, b: Path) -> tuple[int, list[str]]:
    """Compare all files of two results folders, and each with the hash in its sidecar: equal copies may be damaged.

    Returns
    -------
    (int, list of str)
        Number of files compared, and one line per difference: the file below the folder and what differs.

    Raises
    ------
    InputError
        When a folder holds nothing to compare.
    """
    names = [_comparable(folder) for folder in (a, b)]
    for folder, found in zip("AB", names, strict=True):
        if not found:
            raise InputError(f"verify, folder {folder}", "holds no results", "a results folder of a finished run")
    differences = [f"{n}: only in A" for n in sorted(names[0] - names[1])]
    differences += [f"{n}: only in B" for n in sorted(names[1] - names[0])]
    both = sorted(names[0] & names[1])
    for name in both:
        changed = [side for side, folder in (("A", a), ("B", b)) if _changed(folder / name)]
        what = [CHANGED.format(" and ".join(changed))] if changed else _differences(a / name, b / name)
        differences += [f"{name}: {x}" for x in what]
    return len(both), differences


def _exempt(name: str) -> bool:
    parts = Path(name).parts
    return name.endswith(EXEMPT_SUFFIXES) or bool(EXEMPT_FOLDERS & set(parts)) or any(p.startswith(".") for p in parts)


def _comparable(folder: Path) -> set[str]:
    files = (str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())
    return {name for name in files if not _exempt(name)}


def _changed(path: Path) -> bool:
    """Whether a file is not what its step wrote: cut off, or without the hash that its sidecar holds."""
    return not is_whole(path) or read_sidecar(path).get("sha256") not in (None, sha256_of(path))


def _differences(a: Path, b: Path) -> Iterator[str]:
    if a.suffix == ".json":
        yield from _json_differences(_json(a), _json(b), "")
    elif a.suffix == ".npz":
        yield from _archive_differences(a, b)
    elif a.name.endswith(".gz"):
        if gzip.decompress(a.read_bytes()) != gzip.decompress(b.read_bytes()):
            yield "voxels or header differ"
    elif a.suffix in (".csv", ".tsv"):
        yield from _table_differences(a, b)
    elif a.read_bytes() != b.read_bytes():
        yield "bytes differ"


def _table_differences(a: Path, b: Path) -> Iterator[str]:
    if a.read_bytes() == b.read_bytes():
        return
    rows = [f.read_bytes().splitlines() for f in (a, b)]
    changed = [n for n, (x, y) in enumerate(zip(*rows, strict=False)) if x != y]
    if len(rows[0]) != len(rows[1]):
        yield f"{len(rows[0])} lines in A, {len(rows[1])} in B"
    if changed:
        first = changed[0]
        yield (
            f"{len(changed)} lines differ, first line {first + 1}: "
            f"A '{rows[0][first].decode(errors='replace')}', B '{rows[1][first].decode(errors='replace')}'"
        )
    elif len(rows[0]) == len(rows[1]):
        yield "line ends differ"


def _archive_differences(a: Path, b: Path) -> Iterator[str]:
    with zipfile.ZipFile(a) as x, zipfile.ZipFile(b) as y:
        if sorted(x.namelist()) != sorted(y.namelist()):
            yield "holds other arrays"
            return
        for name in sorted(x.namelist()):
            if x.read(name) != y.read(name):
                yield f"array '{name.removesuffix('.npy')}' differs"


def _json(path: Path):
    data = json.loads(path.read_text())
    if isinstance(data, dict) and _exempt(path.name.removesuffix(".json")):
        data.pop("sha256", None)  # the sidecar of a file that need not be equal
    return data


def _json_differences(a, b, where: str) -> Iterator[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        same_output = a.get("output") == b.get("output") and _exempt(str(a.get("output", "")))
        for key in sorted(set(a) | set(b)):
            if key in EXEMPT_KEYS or (key == "sha256" and same_output):
                continue
            yield from _json_differences(a.get(key), b.get(key), f"{where}.{key}" if where else key)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for n, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from _json_differences(x, y, f"{where}[{n}]")
    elif a != b:
        yield f"{where}: A {json.dumps(a)[:80]}, B {json.dumps(b)[:80]}"
