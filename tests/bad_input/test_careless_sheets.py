"""Careless sheets, configs and folders: one line, and no path in it."""

import pytest
from typer.testing import CliRunner

from planardose.cli import app
from planardose.config import load_config, parse_config
from planardose.errors import InputError
from planardose.sheet import load_cohort
from planardose.workflow import check_writable

HEADER = "patient\ttimepoint\tct\tplanar\tnuclide\ttracer\tcamera\tinjected_mbq\tinjected_at"
ROW = "P01\tt4\tSECRET/ct\tSECRET/nm.dcm\t177Lu\t177Lu-PSMA-617\tsiemens_symbia_melp\t7400\t2026-01-05T09:00:00"


def refused(tmp_path, *rows):
    sheet = tmp_path / "sheet.tsv"
    sheet.write_text("\n".join([HEADER, *rows]) + "\n")
    with pytest.raises(InputError) as fault:
        load_cohort(sheet)
    assert "SECRET" not in str(fault.value) and "\n" not in str(fault.value)
    return str(fault.value)


def test_a_row_with_a_cell_too_few_or_too_many(tmp_path):
    assert "sheet row 2" in refused(tmp_path, ROW.replace("P01\t", "", 1))
    assert "sheet row 3" in refused(tmp_path, ROW, ROW.replace("t4\t", "t5\textra\t", 1))


def test_an_open_quotation_mark(tmp_path):
    assert "quotation" in refused(tmp_path, '"' + ROW, ROW)


def test_a_path_in_the_wrong_column_is_not_repeated(tmp_path):
    assert "a path" in refused(tmp_path, ROW.replace("177Lu-PSMA-617", "SECRET/nm.dcm"))
    assert "a path" in refused(tmp_path, ROW.replace("7400", "SECRET/nm.dcm"))
    assert "a path" in refused(tmp_path, ROW.replace("P01", "SECRET/nm"))


def test_the_residue_may_stand_on_one_row_of_the_injection(tmp_path):
    sheet = tmp_path / "sheet.tsv"
    sheet.write_text(f"{HEADER}\tresidual_mbq\n{ROW}\t40\n{ROW.replace('t4', 't24')}\t\n")
    assert [r.administered_mbq for r in load_cohort(sheet).rows] == [7360.0, 7360.0]


def test_two_residues_of_one_injection_are_refused(tmp_path):
    sheet = tmp_path / "sheet.tsv"
    sheet.write_text(f"{HEADER}\tresidual_mbq\n{ROW}\t900\n{ROW.replace('t4', 't24')}\t50\n")
    with pytest.raises(InputError, match="P01 t24 residual_mbq: 50 MBq differs from 900 MBq on another row"):
        load_cohort(sheet)


def test_encodings_of_spreadsheets(tmp_path):
    sheet = tmp_path / "sheet.tsv"
    text = f"{HEADER}\n{ROW.replace('/ct', '/Müller')}\n"
    sheet.write_text(text, encoding="utf-16")  # Excel's "Unicode Text"
    assert load_cohort(sheet).rows[0].paths["ct"].name == "Müller"
    sheet.write_text(text, encoding="cp1252")
    with pytest.raises(InputError, match=r"letters that are not in UTF-8; .*save it as UTF-8"):
        load_cohort(sheet)


def test_a_number_with_its_unit_is_no_path(tmp_path):
    assert "'11.3 cps/MBq' is not a number" in refused(tmp_path, ROW.replace("7400", "11.3 cps/MBq"))


def test_one_injection_has_one_activity(tmp_path):
    assert "injected_mbq" in refused(tmp_path, ROW, ROW.replace("t4", "t24").replace("7400", "7300"))


def test_config_files_that_cannot_be_read(tmp_path):
    for name, content in (("latin.yaml", b"seed: \xe9\n"), ("broken.yaml", b"seed: [1\nx: 2\n")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="config file") as fault:
            load_config(tmp_path / name)
        assert str(tmp_path) not in str(fault.value)
    with pytest.raises(InputError, match="No such file") as fault:
        load_config(tmp_path / "SECRET.yaml")
    assert "SECRET" not in str(fault.value)


def test_numbers_that_are_none():
    with pytest.raises(InputError, match="shift_mm"):
        parse_config({"patients": {"P01": {"t4": {"shift_mm": [float("nan"), 1.0]}}}})


def test_a_results_folder_that_is_a_file(tmp_path):
    check_writable(tmp_path / "new" / "folder")
    (tmp_path / "file").write_text("")
    for results in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="results"):
            check_writable(results)


@pytest.mark.parametrize("mark", [";", ","])
def test_another_separator_is_named(tmp_path, mark):
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(f"{HEADER}\n{ROW}\n".replace("\t", mark), encoding="utf-8-sig")
    with pytest.raises(InputError, match=f"columns separated by '{mark}'; expected tabs .*save it as text with tabs"):
        load_cohort(sheet)


@pytest.mark.parametrize("first", [b"PK\x03\x04\x14", b"\xd0\xcf\x11\xe0\xa1"])
def test_a_workbook_is_no_text(tmp_path, first):
    sheet = tmp_path / "sheet.xlsx"
    sheet.write_bytes(first + 100 * b"\0")
    with pytest.raises(InputError, match=r"a spreadsheet's workbook; .*save it as text with tabs"):
        load_cohort(sheet)


def test_a_column_of_another_spelling_is_named(tmp_path):
    sheet = tmp_path / "sheet.tsv"
    sheet.write_text(f"{HEADER.replace('_mbq', '_MBq')}\n{ROW}\n")
    with pytest.raises(InputError, match="column 'injected_mbq' is missing, and 'injected_MBq' is not known"):
        load_cohort(sheet)


@pytest.mark.parametrize("text", ["7400,5", "7 400", "7400 MBq"])
def test_a_number_as_excel_writes_it_says_how_it_must_be(tmp_path, text):
    said = refused(tmp_path, ROW.replace("7400", text))
    assert said.endswith("digits with a decimal point, e.g. 7400.5; no decimal comma, thousands separator or unit")


def test_faults_of_all_rows_and_patients_are_told_at_once(tmp_path):
    sheet, other = tmp_path / "sheet.tsv", ROW.replace("P01", "P02")
    rows = [ROW.replace("7400", "7400,5"), other, other, ROW.replace("P01", "P03").replace("177Lu\t", "177Lux\t")]
    sheet.write_text("\n".join([HEADER, *rows]) + "\n")
    with pytest.raises(InputError) as fault:
        load_cohort(sheet)
    told = [str(fault.value), *map(str, fault.value.others)]
    assert [t.split(":")[0] for t in told] == ["P01 t4 injected_mbq", "P03 t4 nuclide '177Lux'", "P02 t4 timepoint"]
    done = CliRunner().invoke(app, ["check", "--cohort", str(sheet), "--results", str(tmp_path / "results")])
    assert (done.exit_code, done.stderr.splitlines()) == (2, [f"planardose: {t}" for t in told])
