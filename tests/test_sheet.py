"""The cohort sheet: every fault is one line that names row and column, and never a path."""

from datetime import datetime

import pytest

from planardose.errors import InputError
from planardose.sheet import load_cohort

COLUMNS = ("patient", "timepoint", "ct", "planar", "nuclide", "tracer", "camera", "injected_mbq", "injected_at")
ROW = {
    "patient": "P01",
    "timepoint": "t24",
    "ct": "SECRET/ct",
    "planar": "SECRET/t24.dcm",
    "nuclide": "Lu-177",
    "tracer": "177Lu-PSMA-617",
    "camera": "siemens_symbia_melp",
    "injected_mbq": "7400",
    "injected_at": "2026-01-05T09:00:00",
}


@pytest.fixture
def sheet(tmp_path):
    def write(*changes: dict, encoding: str = "utf-8"):
        rows = [ROW | c for c in changes or ({},)]
        columns = list(dict.fromkeys([*COLUMNS, *(k for r in rows for k in r)]))
        lines = ["\t".join(columns), *("\t".join(r.get(c, "") for c in columns) for r in rows)]
        path = tmp_path / "sheet.tsv"
        path.write_text("\n".join(lines) + "\n", encoding=encoding)
        return path

    return write


def test_a_good_sheet(sheet, tmp_path):
    cohort = load_cohort(sheet({"timepoint": "t4", "residual_mbq": "40"}, {"acquired_at": "2026-01-06T09:30"}))
    first, second = cohort.rows_of("P01")
    assert cohort.patients == ("P01",)
    assert (first.nuclide, first.administered_mbq) == ("177Lu", 7360.0)
    assert first.paths == {"ct": tmp_path / "SECRET/ct", "planar": tmp_path / "SECRET/t24.dcm"}
    assert second.acquired_at == datetime(2026, 1, 6, 9, 30)
    assert first.acquired_at is None


def test_rows_with_one_injection_time_are_one_cycle(sheet):
    later = {"injected_at": "2026-03-01T09:00:00"}
    cohort = load_cohort(sheet({"timepoint": "c2-t4", **later}, {"timepoint": "t4"}, {"timepoint": "t24"}))
    assert [cohort.cycle_of(r) for r in cohort.rows] == [2, 1, 1]


def test_the_first_row_is_of_the_first_injection_with_planar_images(sheet):
    """Whatever the sheet's order; a SPECT alone has no gamma camera's views to simulate."""
    later, spect = {"injected_at": "2026-03-01T09:00:00"}, {"planar": "", "spect": "SECRET/spect"}
    rows = [{"timepoint": "c2-t4", **later}, {"timepoint": "t4", **spect}, {"timepoint": "t24"}]
    assert load_cohort(sheet(*rows)).first_row("P01").timepoint == "t24"


def test_two_injections_of_a_patient_an_hour_apart_are_a_slip(sheet):
    with pytest.raises(InputError, match=r"P01 t24 injected_at: 2026-01-05T09:18:00, 18 min after another injection"):
        load_cohort(sheet({"timepoint": "t4"}, {"injected_at": "2026-01-05T09:18:00"}))


def test_empty_columns_and_lines_of_a_spreadsheet_keep_the_rows_numbers(sheet):
    path = sheet({"timepoint": "t4"}, {"patient": "P/2"})
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line + "\t\t" for line in (*lines[:2], "\t" * (len(COLUMNS) - 1), *lines[2:])) + "\n")
    with pytest.raises(InputError, match="sheet row 4, patient"):
        load_cohort(path)


def test_a_name_that_is_in_no_catalogue_is_told_with_its_row(sheet):
    with pytest.raises(InputError, match="P01 t24 camera 'unknown': not in the catalogue"):
        load_cohort(sheet({"camera": "unknown"}))


def test_a_byte_order_mark_is_no_fault(sheet):
    assert load_cohort(sheet({}, encoding="utf-8-sig")).patients == ("P01",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([{"patient": "../P01"}], ["row 2", "patient", "'../P01'"]),
        ([{"patient": ".."}], ["row 2", "patient"]),
        ([{"patient": "a/b"}], ["row 2", "patient"]),
        ([{"patient": "P" * 33}], ["row 2", "patient"]),
        ([{"patient": ""}], ["row 2", "patient"]),
        ([{"timepoint": "24 h"}], ["row 2", "timepoint", "'24 h'"]),
        ([{}, {}], ["P01 t24", "twice"]),
        ([{}, {"timepoint": "t4", "ct": "other"}], ["P01 ct", "disagree"]),
        ([{}, {"timepoint": "t4", "tracer": "177Lu-DOTATATE"}], ["P01 tracer", "disagree"]),
        ([{"injected_mbq": "-7400"}], ["P01 t24 injected_mbq", "-7400", "above 0"]),
        ([{"injected_mbq": "nan"}], ["P01 t24 injected_mbq"]),
        ([{"injected_mbq": "7,4"}], ["P01 t24 injected_mbq", "'7,4'"]),
        ([{"residual_mbq": "7400"}], ["residual_mbq", "less than injected_mbq"]),
        ([{"calibration_cps_per_mbq": "0"}], ["calibration_cps_per_mbq", "above 0"]),
        ([{"calibration_cps_per_mbq_u": "0.3"}], ["calibration_cps_per_mbq: empty cell beside its uncertainty"]),
        (
            [{"calibration_cps_per_mbq": "9.2", "calibration_cps_per_mbq_u": "5"}],
            ["P01 t24 calibration_cps_per_mbq_u: 5 cps/MBq beside 9.2", "not per cent"],
        ),
        ([{"injected_at": "yesterday"}], ["P01 t24 injected_at", "'yesterday'", "ISO 8601"]),
        ([{"acquired_at": "2026-01-05T08:00:00"}], ["P01 t24 acquired_at", "not after the injection"]),
        ([{"nuclide": "90Y"}], ["90Y", "177Lu"]),
        ([{"tracer": "177Lu-nothing"}], ["177Lu-nothing", "177Lu-PSMA-617"]),
        ([{"camera": "toy"}], ["toy", "siemens_symbia_melp"]),
        ([{"planar": ""}], ["P01 t24 planar", "empty"]),
        ([{"ct": ""}], ["P01 t24 ct", "empty"]),
        ([{"colour": "red"}], ["unknown", "'colour'"]),
    ],
)
def test_a_fault_is_one_line_with_row_and_column(sheet, changes, words):
    with pytest.raises(InputError) as fault:
        load_cohort(sheet(*changes))
    text = str(fault.value)
    assert all(w in text for w in words), text
    assert "\n" not in text
    assert "SECRET" not in text


def test_planar_may_be_empty_where_there_is_spect(sheet):
    rows = load_cohort(sheet({"planar": "", "spect": "SECRET/spect"}, {"timepoint": "t96"})).rows
    assert [r.from_spect for r in rows] == [True, False]
    with pytest.raises(InputError, match=r"P01 t24 planar: .* one time point of each injection"):
        load_cohort(sheet({"planar": "", "spect": "SECRET/spect"}))


@pytest.mark.parametrize("content", [b"", b"patient\ttimepoint\n", b"\xff\xfe\x00", b"patient,timepoint\nP01,t4\n"])
def test_a_file_that_is_no_sheet(tmp_path, content):
    path = tmp_path / "SECRET.tsv"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cohort sheet") as fault:
        load_cohort(path)
    assert "SECRET" not in str(fault.value)


def test_a_sheet_without_rows_or_a_missing_one(tmp_path):
    path = tmp_path / "SECRET.tsv"
    path.write_text("\t".join(COLUMNS) + "\n")
    with pytest.raises(InputError, match="no rows"):
        load_cohort(path)
    with pytest.raises(InputError, match="cohort sheet") as fault:
        load_cohort(tmp_path / "SECRET-missing.tsv")
    assert "SECRET" not in str(fault.value)
