"""The cohort sheet's file: tab-separated text with known columns, as spreadsheets write it. Light: no torch."""

import csv
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path

from planardose.errors import InputError, shown

REQUIRED = ("patient", "timepoint", "ct", "planar", "nuclide", "tracer", "camera", "injected_mbq", "injected_at")
OPTIONAL = (
    "acquired_at",
    "segmentation",
    "lesions",
    "prior_image",
    "prior_ct",
    "spect",
    "spect_ct",
    "spect_bqml_per_count",
    "spect_at",
    "calibration_cps_per_mbq",
    "calibration_cps_per_mbq_u",
    "residual_mbq",
    "weight_kg",
)
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # first bytes of .xlsx and .ods, and of .xls


def _without_empty_columns(lines: list[str]) -> list[str]:
    """Lines without the empty columns that spreadsheets append to all of them."""
    empty = len(lines[0]) - len(lines[0].rstrip("\t")) if lines else 0
    return [line.removesuffix(empty * "\t") for line in lines]


def _text(path: Path) -> str:
    """The sheet as text, also as Excel's 'Unicode Text' writes it."""
    try:
        content = path.read_bytes()
        if content.startswith(WORKBOOKS):
            raise InputError(
                "cohort sheet", "a spreadsheet's workbook", "a tab-separated text file (UTF-8)",
                "save it as text with tabs (Excel: 'Unicode Text')",
            )  # fmt: skip
        return content.decode("utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(
            "cohort sheet", "letters that are not in UTF-8", "a tab-separated text file in UTF-8", "save it as UTF-8"
        ) from None
    except OSError as fault:
        raise InputError(
            "cohort sheet",
            (fault.strerror or type(fault).__name__).lower(),
            "a readable tab-separated text file (UTF-8)",
            "give it with --cohort SHEET, or --config cohort=SHEET to snakemake; relative paths start from the working "
            "folder (snakemake's --directory)",
        ) from None


def sheet_lines(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Number and cells, stripped, by column, of the sheet's lines that are not empty.

    Raises
    ------
    InputError
        A file that is no readable text; a column that is missing, unknown or repeated; a row of another length, or
        with a quotation mark left open.
    """
    reader = csv.DictReader(_without_empty_columns(_text(path).splitlines()), delimiter="\t")
    columns = [c.strip() for c in reader.fieldnames or ()]
    _check_columns(columns)
    try:
        lines = [(reader.line_num, row) for row in reader if any(row.values())]
    except csv.Error:
        raise InputError(
            f"sheet row {reader.line_num}", "a cell that does not end", "cells separated by single tabs",
            "leave no quotation mark open",
        ) from None  # fmt: skip
    for number, row in lines:
        if None in row or None in row.values():
            raise InputError(
                f"sheet row {number}",
                "more or fewer cells than the header has columns",
                f"{len(columns)} cells",
                "separate cells by single tabs, and leave no quotation mark open",
            )
    return [(number, {c.strip(): v.strip() for c, v in row.items()}) for number, row in lines]


def _check_columns(columns: list[str]) -> None:
    """Refuse a header with a column missing, unknown or repeated."""
    if len(columns) == 1 and (between := re.search(r"^\W?patient\W?([;,|])", columns[0])):
        raise InputError(
            "cohort sheet", f"columns separated by '{between[1]}'", "tabs between columns",
            "save it as text with tabs (Excel: 'Unicode Text')",
        )  # fmt: skip
    missing, unknown = ([c for c in a if c not in b] for a, b in ((REQUIRED, columns), (columns, REQUIRED + OPTIONAL)))
    if missing:
        told = f", and {shown(unknown[0])} is not known" if unknown else ""
        raise InputError(
            "cohort sheet",
            f"column '{missing[0]}' is missing{told}",
            f"columns {', '.join(REQUIRED)}",
            "write names as here, and separate columns by tabs",
        )
    odd = [*unknown, *(c for n, c in enumerate(columns) if c in columns[:n])]
    if odd:
        raise InputError(
            "cohort sheet",
            f"unknown or repeated column {shown(odd[0])}",
            f"only {', '.join(REQUIRED + OPTIONAL)}",
        )
