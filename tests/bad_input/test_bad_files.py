"""Faults inside files: one clear line that names place, value and expectation, and no path or name."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from imaging_scene import CAMERA, PLANTED, ct_volume, planar_pair, write_patient
from pydicom.uid import RLELossless

from planardose.anatomy.labels import read_segmentation
from planardose.commands.check import check
from planardose.errors import InputError
from planardose.image import Volume
from planardose.io.dicom_ct import write_ct
from planardose.io.dicom_nm import write_planar
from planardose.io.nifti import write_volume
from planardose.planar import EnergyWindow
from planardose.steps.import_ct import import_ct
from planardose.steps.import_planar import import_planar

FOLDER = "Zebrowski_Quentin"


def _line(tmp_path: Path, step: Callable, spoil: Callable[[Path], None], row: dict | None = None) -> str:
    """Message of the fault that a spoiled input causes; check tells the same line; nothing is written."""
    folder = tmp_path / FOLDER
    run = write_patient(folder, row=row)
    spoil(folder)
    with pytest.raises(InputError) as fault:
        step(run, "P01") if step is import_ct else step(run, "P01", "t24")
    message = str(fault.value)
    assert message in check(run)
    assert "\n" not in message
    assert message.startswith(("P01 ct: ", "P01 t24 planar: ", "P01 t24 acquired_at: "))
    assert "expected " in message
    for secret in (FOLDER, str(tmp_path), "Zebrowski", "Quentin", "774411", "Obscure", "1948"):
        assert secret not in message
    assert not (folder / "results").exists()
    return message


def _slices(folder: Path) -> list[Path]:
    return sorted((folder / "ct").iterdir())


def _edit(path: Path, **tags) -> None:
    ds = pydicom.dcmread(path)
    for name, value in tags.items():
        setattr(ds, name, value)
    ds.save_as(path)


def test_missing_ct_slices(tmp_path: Path):
    def spoil(folder):
        for n in (7, 8, 16):
            (folder / "ct" / f"CT{n:04d}.dcm").unlink()

    message = _line(tmp_path, import_ct, spoil)
    assert "3 CT slices missing: a gap of 45 mm after 115 mm; expected a slice every 15 mm" in message


def test_non_uniform_ct_spacing(tmp_path: Path):
    def spoil(folder):
        for n, file in enumerate(_slices(folder)):
            x, y, _ = pydicom.dcmread(file).ImagePositionPatient
            _edit(file, ImagePositionPatient=[x, y, 5.0 * n + 1.5 * max(0, n - 15)])

    message = _line(tmp_path, import_ct, spoil)
    assert "non-uniform CT spacing, from 5 to 6.5 mm; expected equal steps (the median is 5 mm)" in message


def test_hu_that_are_not_hu(tmp_path: Path):
    def spoil(folder):
        for file in _slices(folder):
            _edit(file, RescaleIntercept="-7168")

    message = _line(tmp_path, import_ct, spoil)
    assert "the values are not Hounsfield units" in message
    assert "air near -1000 HU" in message


def test_two_patients_in_one_ct_folder(tmp_path: Path):
    def spoil(folder):
        write_ct(folder / "ct" / "more", ct_volume(1), replace(PLANTED, name="Other^Patient", patient_id="9"), seed=9)

    assert "the files are of several patients (PatientID differs)" in _line(tmp_path, import_ct, spoil)


def test_two_patients_in_one_planar_folder(tmp_path: Path):
    def spoil(folder):
        (folder / "nm").mkdir()
        shutil.copy(folder / "t24.dcm", folder / "nm" / "a.dcm")
        stranger = replace(PLANTED, name="Other^Patient", birth_date="")
        write_planar(folder / "nm" / "b.dcm", planar_pair(), CAMERA, identity=stranger)

    message = _line(tmp_path, import_planar, spoil, {"planar": "nm"})
    assert "the files are of several patients (PatientName differs)" in message


@pytest.mark.parametrize("keep", [0, 60, 700, -4000])
def test_empty_or_truncated_dicom(keep: int, tmp_path: Path):
    def spoil(folder):
        for path in (folder / "t24.dcm", _slices(folder)[5]):
            path.write_bytes(path.read_bytes()[:keep])

    said = ("empty DICOM file", "not readable as DICOM", "truncated")
    assert any(s in _line(tmp_path / "a", import_planar, spoil) for s in said)


@pytest.mark.parametrize("keep", [0, 60, 700, -400])
def test_empty_or_truncated_ct_slice(keep: int, tmp_path: Path):
    def spoil(folder):
        path = _slices(folder)[5]
        path.write_bytes(path.read_bytes()[:keep])

    assert any(
        s in _line(tmp_path, import_ct, spoil) for s in ("empty DICOM file", "not readable as DICOM", "truncated")
    )


def test_missing_files(tmp_path: Path):
    assert "no such file or folder" in _line(tmp_path / "a", import_ct, lambda folder: shutil.rmtree(folder / "ct"))
    assert "no such file or folder" in _line(
        tmp_path / "b", import_planar, lambda folder: (folder / "t24.dcm").unlink()
    )
    with pytest.raises(InputError, match=r"no such file or folder; .*start from the sheet's folder"):
        read_segmentation(tmp_path / "none.nii.gz", ct_volume().grid, "P01 segmentation")  # no matter of permissions


def test_folder_without_ct(tmp_path: Path):
    def spoil(folder):
        shutil.rmtree(folder / "ct")
        (folder / "ct").mkdir()
        shutil.copy(folder / "t24.dcm", folder / "ct" / "a.dcm")

    assert "no CT image among 1 DICOM files (modalities NM)" in _line(tmp_path, import_ct, spoil)


def test_nan_in_a_nifti_ct(tmp_path: Path):
    volume = ct_volume()
    volume.data[3, 3, 3] = np.nan

    def spoil(folder):
        write_volume(folder / "ct.nii.gz", Volume(volume.data, volume.grid, "CT number", "HU"))

    assert "1 CT values are NaN or infinite" in _line(tmp_path, import_ct, spoil, {"ct": "ct.nii.gz"})


def test_missing_posterior_view(tmp_path: Path):
    def spoil(folder):
        ds = pydicom.dcmread(folder / "t24.dcm")
        pixels = np.ascontiguousarray(ds.pixel_array[::2])
        ds.NumberOfFrames, ds.NumberOfDetectors, ds.DetectorVector, ds.EnergyWindowVector = 3, 1, [1] * 3, [1, 2, 3]
        ds.DetectorInformationSequence, ds.PixelData = ds.DetectorInformationSequence[:1], pixels.tobytes()
        ds.save_as(folder / "t24.dcm")

    assert "the posterior view is missing" in _line(tmp_path, import_planar, spoil)


@pytest.mark.parametrize("tags", [("StartAngle",), ("ViewCodeSequence",), ("StartAngle", "ViewCodeSequence")])
def test_swapped_heads(tags: tuple, tmp_path: Path):
    def spoil(folder):
        ds = pydicom.dcmread(folder / "t24.dcm")
        first, second = ds.DetectorInformationSequence
        for tag in tags:
            a, b = getattr(first, tag), getattr(second, tag)
            setattr(first, tag, b)
            setattr(second, tag, a)
        ds.save_as(folder / "t24.dcm")

    message = _line(tmp_path, import_planar, spoil)
    assert "swapped heads" in message
    assert "patients.P01.t24.head_order" in message


def test_wrong_nuclides_window(tmp_path: Path):
    def spoil(folder):
        technetium = (EnergyWindow(126.5, 154.5), EnergyWindow(109, 126.5), EnergyWindow(154.5, 170))
        write_planar(folder / "t24.dcm", planar_pair(windows=technetium), CAMERA, identity=PLANTED)

    message = _line(tmp_path, import_planar, spoil)
    assert "wrong nuclide's window: 126.5-154.5, 109-126.5, 154.5-170 keV" in message
    assert "177Lu" in message


def test_acquisition_before_injection(tmp_path: Path):
    def spoil(folder):
        write_planar(folder / "t24.dcm", planar_pair(hours=-2), CAMERA, identity=PLANTED)

    message = _line(tmp_path, import_planar, spoil)
    assert "acquired 2026-03-02T07:30:00, before the injection (2026-03-02T09:30:00)" in message


@pytest.mark.parametrize(
    ("value", "says"), [(np.nan, "1 of 18240 counts are NaN"), (-3.0, "1 negative counts, lowest -3")]
)
def test_bad_counts_in_npz(value: float, says: str, tmp_path: Path):
    def spoil(folder):
        pair = planar_pair()
        counts = pair.counts.copy()
        counts[0, 0, 5, 5] = value
        np.savez(folder / "t24.npz", counts=counts)
        windows = [[w.low_kev, w.high_kev] for w in pair.windows]
        (folder / "t24.json").write_text(
            f'{{"views": ["anterior", "posterior"], "windows_kev": {windows}, "pixel_mm": [4, 4], "duration_s": 9, '
            f'"acquired_at": "{pair.acquired_at.isoformat()}"}}'
        )

    assert says in _line(tmp_path, import_planar, spoil, {"planar": "t24.npz"})


def test_check_tells_that_the_weights_are_missing_before_a_run_does(tmp_path: Path, monkeypatch, caplog):
    run = write_patient(tmp_path)
    given = "segmentation" in run.cohort.rows[0].paths
    monkeypatch.setattr("planardose.anatomy.totalseg.weights_folder", lambda choice: tmp_path / "none")
    check(run)
    assert ("weights are not there" in caplog.text) == (not given)
    caplog.clear()
    backend = run.config.segmentation.model_copy(update={"backend": "totalsegmentator"})
    check(replace(run, config=run.config.model_copy(update={"segmentation": backend})))
    assert "P01: TotalSegmentator is to find the organs; config segmentation.weights" in caplog.text
    assert "get them with 'totalseg_download_weights -t total'" in caplog.text


def test_segmentation_faults_are_listed_by_check(tmp_path: Path):
    run = write_patient(tmp_path)
    volume = ct_volume()
    labels = np.zeros(volume.grid.shape, dtype=np.int16)
    labels[20:30, 8:18, 6:12] = 180
    write_volume(tmp_path / "labels.nii.gz", Volume(labels, volume.grid, "label", "1"), dtype=np.int16)
    assert [x for x in check(run) if x.startswith("P01 segmentation: label 180 is not known")]
    (tmp_path / "labels.tsv").write_text("label\tname\n180\tliverr\n")
    assert [x for x in check(run) if "organ 'liverr' is not known" in x and "liver" in x]
    smaller = Volume(labels[:-1], type(volume.grid)(labels[:-1].shape, volume.grid.ras_from_voxel), "label", "1")
    write_volume(tmp_path / "labels.nii.gz", smaller, dtype=np.int16)
    assert [x for x in check(run) if "another grid than the CT's" in x]


def test_pixels_that_cannot_be_decoded_are_told_without_the_decoders_own_words(tmp_path: Path, caplog, recwarn):
    """pydicom would log the file's path, which may hold a name, and tracebacks."""

    def spoil(folder):
        path = next((folder / "ct").iterdir())
        ds = pydicom.dcmread(path)
        ds.PixelData = ds.pixel_array.astype(np.int16).tobytes()
        ds.compress(RLELossless)
        ds.PixelData = ds.PixelData[: len(ds.PixelData) // 3]
        ds.save_as(path)

    assert "the pixels of a DICOM file cannot be decoded" in _line(tmp_path, import_ct, spoil)
    assert not [r for r in caplog.records if r.name.startswith("pydicom")]
    assert not [w for w in recwarn if str(tmp_path) in str(w.message)]
