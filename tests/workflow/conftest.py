"""A sheet whose input files need not exist, for tests that run no step."""

from collections.abc import Callable
from pathlib import Path

import pytest

from planardose.sheet_file import REQUIRED

COLUMNS = (*REQUIRED, "segmentation")


def _write(folder: Path, rows: list[tuple[str, str]], **cells: str) -> Path:
    """Sheet of (patient, timepoint) rows below `folder`; `cells` replace values of every row."""
    lines = ["\t".join(COLUMNS)]
    for patient, timepoint in rows:
        values = {
            "patient": patient,
            "timepoint": timepoint,
            "ct": f"in/{patient}/ct",
            "planar": f"in/{patient}/{timepoint}.npz",
            "segmentation": f"in/{patient}/labels.nii.gz",
            "nuclide": "177Lu",
            "tracer": "177Lu-PSMA-617",
            "camera": "siemens_symbia_melp",
            "injected_mbq": "7400",
            "injected_at": "2026-01-05T09:00:00",
        } | cells
        lines.append("\t".join(values[c] for c in COLUMNS))
    sheet = folder / "sheet.tsv"
    sheet.write_text("\n".join(lines) + "\n")
    return sheet


@pytest.fixture(scope="session")
def write_sheet() -> Callable[..., Path]:
    return _write
