"""The CT and every planar image of a patient's rows belong to one person and one clock, as far as headers say."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from imaging_scene import CAMERA, PLANTED, ct_volume, planar_pair, write_patient, write_sheet
from pet_series import write_pet

from planardose.commands.check import check
from planardose.config import parse_config
from planardose.errors import InputError
from planardose.io.dicom_ct import write_ct
from planardose.io.dicom_headers import header_of
from planardose.io.dicom_new import Identity
from planardose.io.dicom_nm import write_planar
from planardose.io.dicom_tomographic_write import write_spect
from planardose.io.nifti import write_volume
from planardose.run import Run
from planardose.sheet import load_cohort
from planardose.steps.import_ct import import_ct
from planardose.steps.import_planar import import_planar

SECRETS = ("Zebrowski", "Quentin", "774411", "Obscure", "1948", "Otherwise", "Person", "99887")
STRANGER = replace(PLANTED, name="Otherwise^Person", patient_id="99887")


def run_with(
    folder: Path, t24: Identity = PLANTED, t72: Identity = PLANTED, config: dict | None = None, **cells
) -> Run:
    """A patient of two time points whose images carry these identities."""
    run = write_patient(folder)
    write_planar(folder / "t24.dcm", planar_pair(), CAMERA, identity=t24)
    write_planar(folder / "t72.dcm", planar_pair(hours=72.0), CAMERA, identity=t72)
    rows = [{"segmentation": "labels.nii.gz", **cells}, {"timepoint": "t72", "planar": "t72.dcm", **cells}]
    rows[1]["segmentation"] = "labels.nii.gz"
    return Run(parse_config(config or {}), load_cohort(write_sheet(folder, rows)), run.results)


def edit(path: Path, **tags) -> None:
    ds = pydicom.dcmread(path)
    for name, value in tags.items():
        setattr(ds, name, value)
    ds.save_as(path)


def refused(step, *arguments) -> str:
    with pytest.raises(InputError) as fault:
        step(*arguments)
    line = str(fault.value)
    assert "\n" not in line
    assert not [s for s in SECRETS if s in line]
    return line


def test_planar_images_of_another_patient_are_refused_by_every_step_that_reads_them(tmp_path: Path):
    run = run_with(tmp_path, t24=STRANGER)
    line = refused(import_planar, run, "P01", "t24")
    assert line.startswith("P01 t24 planar: the images belong to another patient than the CT (PatientID differs);")
    assert "patients.P01.t24.same_patient: 'reason'" in line
    assert refused(import_ct, run, "P01") == line, "no time is spent on the rest of the patient"
    assert line in check(run)
    assert not run.results.exists()


@pytest.mark.parametrize("column", ["prior_image", "prior_ct", "spect"])
def test_a_prior_image_or_spect_of_another_patient_is_refused(column: str, tmp_path: Path):
    if column == "prior_image":
        write_pet(tmp_path / "other", ct_volume(), STRANGER)
    elif column == "prior_ct":
        write_ct(tmp_path / "other", ct_volume(), STRANGER)
    else:
        write_spect(tmp_path / "other", ct_volume(), 900.0, STRANGER)
    image = {"prior_image": "ct.nii.gz"} if column == "prior_ct" else {}  # has no header to compare
    run = run_with(tmp_path, **image, **{column: "other"})
    line = refused(import_ct, run, "P01")
    assert line.startswith(f"P01 t24 {column}: the images belong to another patient than the CT (PatientID differs);")


def test_without_a_ct_header_the_time_points_are_compared(tmp_path: Path):
    run = run_with(tmp_path, t72=STRANGER, ct="ct.nii.gz")
    line = refused(import_planar, run, "P01", "t72")
    assert "another patient than the planar images of t24 (PatientID differs)" in line


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        ({"patient_id": "", "name": "Otherwise^Person"}, "PatientName"),
        ({"patient_id": "", "birth_date": "19490101"}, "PatientBirthDate"),
        ({"birth_date": "", "name": "Otherwise^Person"}, "PatientName"),
        ({"patient_id": "ID-774412"}, "PatientID"),
    ],
)
def test_each_identifier_counts_where_both_have_it(other: dict, differs: str, tmp_path: Path):
    run = run_with(tmp_path, t24=replace(PLANTED, **other))
    assert f"({differs} differs)" in refused(import_planar, run, "P01", "t24")


@pytest.mark.parametrize(
    "other",
    [
        {"patient_id": "", "name": "", "birth_date": ""},
        {"patient_id": " 000id-774411 "},
        {"patient_id": "id-77 4411"},
        {"name": "ZEBROWSKI QUENTIN"},
        {"name": "Żebrowski^Quentin^Maria^^Dr"},
        {"name": "Anonymous", "patient_id": ""},
        {"name": "Anonymous", "patient_id": "ANON", "birth_date": ""},
    ],
)
def test_spellings_of_one_person_and_empty_identifiers_are_no_disagreement(other: dict, tmp_path: Path):
    run = run_with(tmp_path)
    edit(tmp_path / "t24.dcm", SpecificCharacterSet="ISO_IR 192")
    tags = {"patient_id": "PatientID", "name": "PatientName", "birth_date": "PatientBirthDate"}
    edit(tmp_path / "t24.dcm", **{tags[k]: v for k, v in other.items()})
    import_planar(run, "P01", "t24")
    import_planar(run, "P01", "t72")
    import_ct(run, "P01")


def test_another_name_with_id_and_birth_date_is_only_told(tmp_path: Path, caplog):
    run = run_with(tmp_path, t24=replace(PLANTED, name="Otherwise^Quentin"))
    import_planar(run, "P01", "t24")
    assert "P01 t24 planar: PatientName differs from that of the CT, where PatientID and" in caplog.text
    assert not [s for s in SECRETS if s in caplog.text]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Müller^Jörg", "MUELLER^JOERG", True), ("O'Neil^Ann", "ONEIL^ANN", True),
        ("Schmidt^Eva", "Schmitz^Eva", False),
        ("Kern^Noel", "Kern^Leon", False),
        ("Kern^Anna-Maria", "KERN^ANNAMARIA", True), ("Kern^Anna-Maria", "Kern^Anna Maria", True),
    ],
)  # fmt: skip
def test_spellings_of_a_name(one: str, other: str, same: bool, tmp_path: Path):
    headers = []
    for n, name in enumerate((one, other)):
        write_planar(tmp_path / f"{n}.dcm", planar_pair(), CAMERA, identity=Identity(patient_id=""))
        edit(tmp_path / f"{n}.dcm", SpecificCharacterSet="ISO_IR 192", PatientName=name)
        headers.append(header_of(tmp_path / f"{n}.dcm", "NM"))
    assert headers[0].difference(headers[1]) == (None if same else "PatientName")


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({"PatientName": "Żebrowski^Quentin-Maria", "PatientBirthDate": ""}, False),
        ({"PatientID": "00 id-774411"}, False),
        ({"PatientName": "Anonymous", "PatientBirthDate": ""}, False),
        ({"PatientName": "Otherwise^Quentin"}, True),
    ],
)
def test_the_files_of_one_folder_are_compared_as_those_of_two(tags: dict, told: bool, tmp_path: Path, caplog):
    run = run_with(tmp_path)
    edit(sorted((tmp_path / "ct").iterdir())[3], SpecificCharacterSet="ISO_IR 192", **tags)
    import_ct(run, "P01")
    assert ("P01 ct: PatientName differs between its files, where PatientID and" in caplog.text) == told
    assert not [s for s in SECRETS if s in caplog.text]


def test_the_users_reason_is_accepted_and_kept_for_the_report(tmp_path: Path):
    reason = {"patients": {"P01": {"t24": {"same_patient": "id changed at the merger"}}}}
    run = run_with(tmp_path, t24=STRANGER, config=reason)
    import_planar(run, "P01", "t24")
    import_planar(run, "P01", "t72")  # is not compared with a row that the user vouches for
    import_ct(run, "P01")
    assert run.config.hand("P01", "t24").same_patient == "id changed at the merger"
    for file in run.results.rglob("*"):
        assert not file.is_file() or not [s for s in SECRETS if s.encode() in file.read_bytes()]


def test_another_zones_clock_is_refused_within_a_cycle_unless_the_sheet_names_its_zone(tmp_path: Path):
    run = run_with(tmp_path)
    edit(tmp_path / "t24.dcm", TimezoneOffsetFromUTC="+0100")
    edit(tmp_path / "t72.dcm", TimezoneOffsetFromUTC="+0200")
    line = refused(import_planar, run, "P01", "t72")
    assert "acquired on a clock +02:00 from UTC, t24 on one +01:00 from it" in line
    assert "give injected_at with its zone" in line
    zoned = run_with(tmp_path, injected_at="2026-03-02T09:30:00+01:00")
    edit(tmp_path / "t24.dcm", TimezoneOffsetFromUTC="+0100")
    edit(tmp_path / "t72.dcm", TimezoneOffsetFromUTC="+0200")
    told = {}
    for name in ("t24", "t72"):
        import_planar(zoned, "P01", name)
        sidecar = zoned.path("planar", patient="P01", timepoint=name)
        told[name] = json.loads(sidecar.with_name(sidecar.name + ".json").read_text())
    started = {name: meta["acquired_at"] for name, meta in told.items()}
    assert started == {"t24": "2026-03-03T09:30:00", "t72": "2026-03-05T08:30:00"}
    clocks = {name: [n for n in meta["notes"] if "clock" in n] for name, meta in told.items()}
    moved = "the images' clock is +02:00 from UTC, that of the sheet's first injection +01:00: 09:30 is taken as 08:30"
    assert clocks == {"t24": [], "t72": [moved]}


def test_a_headers_zone_beside_a_sheet_without_one_is_noted(tmp_path: Path):
    run = run_with(tmp_path)
    edit(tmp_path / "t24.dcm", TimezoneOffsetFromUTC="+0200")
    import_planar(run, "P01", "t24")
    sidecar = run.path("planar", patient="P01", timepoint="t24")
    meta = json.loads(sidecar.with_name(sidecar.name + ".json").read_text())
    assert meta["acquired_at"] == "2026-03-03T09:30:00"
    assert [n for n in meta["notes"] if re.match(r"the header's clock is \+02:00 from UTC", n)]


def with_a_spect_alone(folder: Path, of: Identity, zones: tuple[str, str] | None = None) -> Run:
    """Planar images at t24 and a SPECT at t72, beside a CT without a header."""
    run = write_patient(folder)
    write_planar(folder / "t24.dcm", planar_pair(), CAMERA, identity=PLANTED)
    write_spect(folder / "spect.dcm", ct_volume(), 900.0, of)
    write_volume(folder / "ct.nii.gz", ct_volume())
    for name, zone in zip(("t24.dcm", "spect.dcm"), zones or (), strict=zones is not None):
        edit(folder / name, TimezoneOffsetFromUTC=zone)
    rows = [{"ct": "ct.nii.gz"}, {"ct": "ct.nii.gz", "timepoint": "t72", "planar": "", "spect": "spect.dcm"}]
    return Run(run.config, load_cohort(write_sheet(folder, rows)), run.results)


def test_a_spect_alone_is_compared_with_the_planar_images_of_the_others(tmp_path: Path):
    run = with_a_spect_alone(tmp_path, STRANGER)
    line = refused(import_ct, run, "P01")
    assert line.startswith("P01 t72 spect: the images belong to another patient than the planar images of t24 (Pat")
    assert line in check(run)
    import_ct(with_a_spect_alone(tmp_path, PLANTED), "P01")


def test_a_spect_alone_is_on_the_clock_of_the_others(tmp_path: Path):
    line = refused(import_ct, with_a_spect_alone(tmp_path, PLANTED, ("+0100", "+0200")), "P01")
    assert line.startswith("P01 t72 spect: acquired on a clock +02:00 from UTC, t24 on one +01:00 from it")
    import_ct(with_a_spect_alone(tmp_path, PLANTED, ("+0100", "+0100")), "P01")
