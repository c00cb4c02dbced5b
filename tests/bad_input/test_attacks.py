"""Malformed headers, wrong signs, odd sheets, strange and forbidden places: one line each, and nothing leaks."""

import json
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from imaging_scene import CAMERA, planar_pair, write_patient, write_sheet
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from typer.testing import CliRunner

from planardose.cli import app
from planardose.commands.check import check
from planardose.config import parse_config
from planardose.errors import InputError
from planardose.io.dicom_nm import write_planar
from planardose.run import Run
from planardose.sheet import load_cohort
from planardose.steps.import_ct import import_ct
from planardose.steps.import_planar import import_planar
from planardose.workflow import check_writable

SECRETS = ("Zebrowski", "Quentin", "774411", "Obscure", "1948", "Nachname")
NOBODY = 65534


def line_of(step: Callable, run: Run) -> str:
    with pytest.raises(InputError) as fault:
        step(run, "P01") if step is import_ct else step(run, "P01", "t24")
    line = str(fault.value)
    assert "\n" not in line and "expected " in line
    assert not [s for s in SECRETS if s in line]
    assert line in check(run)
    return line


def tags(path: Path, **values) -> None:
    ds = pydicom.dcmread(path)
    for name, value in values.items():
        setattr(ds, name, value) if value is not ... else delattr(ds, name)
    ds.save_as(path)


def raw(path: Path, tag: int, vr: str, value: bytes) -> None:
    """Write bytes that pydicom would not."""
    ds = pydicom.dcmread(path)
    ds._dict[Tag(tag)] = RawDataElement(Tag(tag), vr, len(value), value, 0, False, True)
    ds.save_as(path)


PIXEL_SPACING, SLOPE, FRAMES, DURATION, SERIES = 0x00280030, 0x00281053, 0x00280008, 0x00181242, 0x00200011


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: raw(f, PIXEL_SPACING, "DS", b"NaN\\NaN "), "PixelSpacing is not understood; expected 2 numbers"),
        (lambda f: raw(f, PIXEL_SPACING, "DS", b"abc\\def "), "PixelSpacing is not understood"),
        (lambda f: tags(f, PixelSpacing=[4.8]), "PixelSpacing is not understood"),
        (lambda f: tags(f, PixelSpacing=...), "no PixelSpacing in the header"),
        (lambda f: tags(f, RescaleSlope="-1", RescaleIntercept="0"), "RescaleSlope -1; expected a number above 0"),
        (lambda f: raw(f, SLOPE, "DS", b"xx"), "RescaleSlope is not understood"),
        (lambda f: raw(f, FRAMES, "IS", b"six "), "a DICOM header that cannot be understood (ValueError)"),
        (lambda f: raw(f, DURATION, "IS", b"long"), "ActualFrameDuration is not understood; expected one number"),
        (lambda f: raw(f, SERIES, "IS", b"abc "), "a DICOM header that cannot be understood (ValueError)"),
        (lambda f: tags(f, SOPClassUID="1.2.840.10008.5.1.4.1.1.7", Modality="OT"), "no NM image among 1 DICOM"),
        (lambda f: tags(f, BitsAllocated=...), "cannot be decoded"),
        (lambda f: f.write_text("notes of Zebrowski, no DICOM\n" * 20), "not readable as DICOM"),
        (lambda f: (f.unlink(), f.mkdir()), "no DICOM file among 0 files"),
    ],
)
def test_a_malformed_planar_file(spoil: Callable, says: str, tmp_path: Path):
    run = write_patient(tmp_path)
    spoil(tmp_path / "t24.dcm")
    assert says in line_of(import_planar, run)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: tags(f, ImagePositionPatient=[1, 2]), "ImagePositionPatient is not understood; expected 3 numb"),
        (lambda f: tags(f, ImageOrientationPatient=[1, 0, 0]), "expected 6 numbers"),
        (lambda f: raw(f, 0x00200032, "DS", b"nan\\nan\\nan "), "expected 3 numbers"),
        (lambda f: tags(f, PixelSpacing=[0, 0]), "ct PixelSpacing: 0, 0; expected numbers above 0"),
        (lambda f: tags(f, PixelSpacing=[-10, -12]), "ct PixelSpacing: -10, -12; expected numbers above 0"),
        (lambda f: tags(f, Rows=...), "Rows is missing"),
        (lambda f: tags(f, RescaleSlope="-1", RescaleIntercept="8192"), "RescaleSlope -1; expected a number above 0"),
        (lambda f: f.write_text("notes of Zebrowski"), "not readable as DICOM"),
    ],
)
def test_a_malformed_ct_slice(spoil: Callable, says: str, tmp_path: Path):
    run = write_patient(tmp_path)
    spoil(sorted((tmp_path / "ct").iterdir())[3])
    assert says in line_of(import_ct, run)


def test_a_ct_with_its_sign_turned_is_no_hu(tmp_path: Path):
    import nibabel as nib

    write_patient(tmp_path)
    hu = np.random.default_rng(0).normal(0, 15, (30, 28, 22)) + 1000.0  # air
    hu[6:24, 6:22] += -1000.0 - 40.0  # soft tissue at 40 HU, its sign turned
    hu[7:9, 7:20] += 140.0  # fat at -100 HU
    nib.save(nib.Nifti1Image(hu.astype(np.float32), np.diag([12, 10, 15, 1.0])), tmp_path / "ct.nii.gz")
    sheet = write_sheet(tmp_path, [{"ct": "ct.nii.gz"}])
    run = Run(parse_config({}), load_cohort(sheet), tmp_path / "results")
    assert "the values are not Hounsfield units" in line_of(import_ct, run)
    nib.save(nib.Nifti1Image(-hu.astype(np.float32), np.diag([12, 10, 15, 1.0])), tmp_path / "ct.nii.gz")
    import_ct(run, "P01")


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("views", ["/data/Nachname", "posterior"], "the anterior view is missing, the file has a path"),
        ("windows_kev", "/data/Nachname/x", "windows_kev: a path"),
        ("duration_s", True, "duration_s: true; expected a positive number"),
        ("duration_s", "900", 'duration_s: "900"; expected a positive number'),
        ("pixel_mm", 4.8, "pixel_mm: 4.8; expected 2 positive numbers"),
        ("acquired_at", "3/3/2026 10:15", "'3/3/2026 10:15' is not a date with a time of day"),
    ],
)
def test_an_odd_json(key: str, value, says: str, tmp_path: Path):
    write_patient(tmp_path)
    pair = planar_pair()
    np.savez(tmp_path / "t24.npz", counts=pair.counts)
    meta = {
        "views": ["anterior", "posterior"],
        "windows_kev": [[w.low_kev, w.high_kev] for w in pair.windows],
        "pixel_mm": list(pair.pixel_mm),
        "duration_s": 900,
        "acquired_at": pair.acquired_at.isoformat(),
    }
    (tmp_path / "t24.json").write_text(json.dumps(meta | {key: value}))
    sheet = write_sheet(tmp_path, [{"planar": "t24.npz"}])
    assert says in line_of(import_planar, Run(parse_config({}), load_cohort(sheet), tmp_path / "results"))


def test_no_warning_of_the_dicom_library_shows_a_value(tmp_path: Path, caplog):
    """An id, birth date and name that break their rules: pydicom would quote them."""
    run = write_patient(tmp_path)
    for file in (tmp_path / "t24.dcm", *(tmp_path / "ct").iterdir()):
        raw(file, 0x00100030, "DA", b"1948-Nachname ")
        raw(file, 0x00100020, "LO", b"774411" * 20)
        raw(file, 0x00100010, "PN", b"Zebrowski=" * 9)
    with warnings.catch_warnings(record=True) as warned, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        import_planar(run, "P01", "t24")
        import_ct(run, "P01")
    told = caplog.text + "".join(str(w.message) for w in warned)
    assert not [s for s in SECRETS if s in told]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.replace("\t", ","), "columns separated by ','; expected tabs.*save it as text with tabs"),
        (lambda t: t.replace("\t", ";"), "columns separated by ';'"),
        (lambda t: t.replace("patient\t", "patient\tpatient\t", 1), "unknown or repeated column 'patient'"),
        (lambda t: t.replace("2026-03-02T09:30:00", "02/03/2026 09:30"), "'02/03/2026 09:30' is not a date"),
        (lambda t: t.replace("P01", "Ünï"), "sheet row 2, patient: 'Ünï'"),
        (lambda t: t.replace("t24.dcm", "c" * 300), "P01 t24 planar: too long for a file name"),
        (lambda t: t.replace("P01", "P\0"), "sheet row 2, patient"),
    ],
)
def test_a_careless_sheet(change: Callable[[str], str], says: str, tmp_path: Path):
    sheet = write_sheet(tmp_path, [{}])
    sheet.write_text(change(sheet.read_text()))
    with pytest.raises(InputError, match=says):
        load_cohort(sheet)


@pytest.mark.parametrize("ends", ["\r\n", "\r"])
def test_line_ends_blanks_and_quotes_of_a_spreadsheet_are_no_fault(ends: str, tmp_path: Path):
    sheet = write_sheet(tmp_path, [{}, {"timepoint": "t72"}])
    cells = [[f' "{c}"'.strip() for c in line.split("\t")] for line in sheet.read_text().splitlines()]
    sheet.write_bytes((ends.join("\t".join(row) for row in cells) + ends + "\t" * 8 + ends).encode("utf-8-sig"))
    assert [r.timepoint for r in load_cohort(sheet).rows] == ["t24", "t72"]


def test_folders_with_blanks_and_other_letters(tmp_path: Path):
    folder = tmp_path / "Daten é 日本"
    write_patient(folder)
    words = ("--patient", "P01", "--cohort", str(folder / "cohort.tsv"), "--results", str(tmp_path / "résultats 1"))
    for step in (("import-ct",), ("import-planar", "--timepoint", "t24"), ("segment",)):
        done = CliRunner().invoke(app, [*step, *words])
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize("config", ["grid_mm: /data/Nachname/x", "library: [/data/Nachname/x]", "seed: .nan"])
def test_a_config_is_refused_in_one_line_without_paths(config: str, tmp_path: Path):
    write_patient(tmp_path)
    (tmp_path / "mine.yaml").write_text(config + "\n")
    words = ("check", "--cohort", str(tmp_path / "cohort.tsv"), "--config", str(tmp_path / "mine.yaml"))
    done = CliRunner().invoke(app, [*words, "--results", str(tmp_path / "out")])
    assert done.exit_code == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("planardose: config ") and "Nachname" not in line


def as_nobody(function: Callable[[], None]) -> str:
    """Message of the `InputError` that a function meets without the rights of root; ``none`` when it meets none."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        message = "none"
        try:
            if os.geteuid() == 0:
                os.setuid(NOBODY)
            function()
        except InputError as fault:
            message = str(fault)
        except BaseException as fault:  # whatever it is must reach the parent
            message = f"internal {fault!r}"
        os.write(write, message.encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as f:
        return f.read()


@pytest.fixture
def open_folder():
    """A folder that others may enter, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_places_that_may_not_be_read_or_written(open_folder: Path):
    run = write_patient(open_folder)
    assert as_nobody(lambda: check_writable(open_folder / "results")).startswith("results: not a folder that can be wr")
    (open_folder / "t24.dcm").chmod(0)
    (open_folder / "ct").chmod(0)
    try:
        expected = "Permission denied; expected a file or folder that can be read; check its permissions"
        assert as_nobody(lambda: import_planar(run, "P01", "t24")) == f"P01 t24 planar: {expected}"
        told = as_nobody(lambda: import_ct(run, "P01"))
        assert told.startswith("P01 ct: ") and str(open_folder) not in told
        assert as_nobody(lambda: check_writable(open_folder / "ct/below")).startswith("results: not a folder")
    finally:
        (open_folder / "ct").chmod(0o755)


def test_a_planar_file_of_the_other_modality_in_the_folder_is_left_out(tmp_path: Path):
    """A secondary capture beside the images is no fault."""
    run = write_patient(tmp_path, row={"planar": "nm"})
    (tmp_path / "nm").mkdir()
    shutil.move(tmp_path / "t24.dcm", tmp_path / "nm/a.dcm")
    write_planar(tmp_path / "nm/b.dcm", planar_pair(), CAMERA)
    tags(tmp_path / "nm/b.dcm", Modality="OT", SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    import_planar(run, "P01", "t24")
