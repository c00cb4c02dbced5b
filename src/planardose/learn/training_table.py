"""The table of a training as a file: a row per validation."""

import math
from collections.abc import Iterable


def table_text(columns: tuple[str, ...], rows: Iterable[tuple[float | str, ...]]) -> str:
    """CSV with eight significant digits; NaN, what a row does not have, is an empty cell."""
    return "".join(",".join(map(_cell, row)) + "\n" for row in (columns, *rows))


def _cell(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return "" if math.isnan(value) else f"{value:.8g}"
