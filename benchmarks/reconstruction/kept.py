"""Cells of finished runs as one file in the repository: a later run goes on, and the page can be checked.

    python -m benchmarks.reconstruction.kept pack OUT benchmarks/reconstruction/cells.jsonl.gz
    python -m benchmarks.reconstruction.kept unpack OUT benchmarks/reconstruction/cells.jsonl.gz

A line is a cell with its file's name; the pictures of all anatomies but the first are left out.
"""

import argparse
import gzip
import json
from pathlib import Path

from planardose.io.files import atomic, write_text


def pack(out: Path, file: Path) -> int:
    """Write the cells of a run into `file`; how many. Equal cells give equal bytes."""
    cells = {path.name: json.loads(path.read_text()) for path in sorted((out / "cells").glob("*.json"))}
    first = min((c["case"]["number"] for c in cells.values()), default=0)
    for cell in cells.values():
        if cell["case"]["number"] != first:
            cell["images"] = {}
    lines = "".join(json.dumps([name, cell]) + "\n" for name, cell in cells.items())
    with atomic(file) as temporary:
        temporary.write_bytes(gzip.compress(lines.encode(), mtime=0))
    return len(cells)


def unpack(out: Path, file: Path) -> int:
    """Put the cells of `file` beside those of a run, which keeps its own; how many are new there."""
    new = 0
    for line in gzip.decompress(file.read_bytes()).decode().splitlines():
        name, cell = json.loads(line)
        path = out / "cells" / Path(name).name
        if not path.exists():
            write_text(path, json.dumps(cell) + "\n")
            new += 1
    return new


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("pack", "unpack"))
    parser.add_argument("out", type=Path)
    parser.add_argument("file", type=Path)
    a = parser.parse_args()
    print(f"{(pack if a.what == 'pack' else unpack)(a.out, a.file)} cells")


if __name__ == "__main__":
    main()
