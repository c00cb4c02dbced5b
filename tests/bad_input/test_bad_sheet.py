"""Faults of the cohort sheet: they stop a run before any job, with one line."""

from pathlib import Path

import pytest
from imaging_scene import write_sheet

from planardose.errors import InputError
from planardose.sheet import load_cohort


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"patient": "a/b"}], "sheet row 2, patient: 'a/b'; expected 1 to 32 letters"),
        ([{"patient": ".."}], "sheet row 2, patient: '..'"),
        ([{"timepoint": "t 24"}], "sheet row 2, timepoint: 't 24'"),
        ([{}, {}], "P01 t24 timepoint: stands twice"),
        ([{}, {"patient": "p01", "timepoint": "t48"}], "sheet, patient 'p01': differs from 'P01' only by case"),
        ([{}, {"timepoint": "T24"}], "P01 T24 timepoint: differs from 't24' only by case"),
        ([{"injected_mbq": "-7400"}], "P01 t24 injected_mbq: value -7400"),
        ([{"injected_mbq": "nan"}], "P01 t24 injected_mbq: value nan"),
        ([{"injected_mbq": "0"}], "P01 t24 injected_mbq: value 0"),
        ([{"residual_mbq": "-1"}], "P01 t24 residual_mbq: value -1"),
        ([{"residual_mbq": "8000"}], "P01 t24 residual_mbq: 8000.0 MBq; expected less than injected_mbq"),
        ([{"acquired_at": "2026-03-02T08:00:00"}], "P01 t24 acquired_at: .* not after the injection"),
        ([{"injected_at": "2 March"}], "P01 t24 injected_at: '2 March'"),
        ([{"nuclide": "201Tl"}], "nuclide '201Tl': not in the catalogue"),
        ([{"nuclide": "Y-90"}], "nuclide 90Y: no photon line to image .* cannot be quantified here"),
        ([{"camera": "unknown"}], "camera 'unknown': not in the catalogue"),
        ([{"ct": ""}], "P01 t24 ct: empty cell"),
        ([{}, {"timepoint": "t48", "ct": "other"}], "P01 ct: the rows of this patient disagree"),
        ([{"dosage": "1"}], "cohort sheet: unknown or repeated column 'dosage'"),
    ],
)
def test_one_line_with_place_value_and_expectation(rows: list[dict], says: str, tmp_path: Path):
    with pytest.raises(InputError, match=says) as fault:
        load_cohort(write_sheet(tmp_path, rows))
    message = str(fault.value)
    assert "\n" not in message
    assert str(tmp_path) not in message


def test_missing_column_empty_sheet_and_no_sheet(tmp_path: Path):
    sheet = write_sheet(tmp_path, [{}])
    text = sheet.read_text()
    sheet.write_text(text.replace("nuclide", "nuclid", 1))
    with pytest.raises(InputError, match="column 'nuclide' is missing"):
        load_cohort(sheet)
    sheet.write_text(text.splitlines()[0] + "\n")
    with pytest.raises(InputError, match="cohort sheet: no rows"):
        load_cohort(sheet)
    with pytest.raises(InputError, match=r"no such file .*--cohort SHEET, or --config cohort=SHEET"):
        load_cohort(tmp_path / "none.tsv")
    with pytest.raises(InputError, match="cohort sheet: is a directory; "):
        load_cohort(tmp_path)
