"""Tables of the package's ``data`` folder: tab-separated text whose lines with # name the source. Light."""

import csv
from pathlib import Path

DATA = Path(__file__).parent / "data"


def data_table(name: str) -> list[dict[str, str]]:
    """Rows of ``data/{name}`` by the names of their columns."""
    with (DATA / name).open(newline="") as f:
        return list(csv.DictReader((x for x in f if not x.startswith("#")), delimiter="\t", quoting=csv.QUOTE_NONE))
