"""Steps import-ct, import-planar and check on files of a small patient."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from imaging_scene import CAMERA, INJECTED, LU, PLANTED, ct_volume, planar_pair, write_patient

from planardose.commands.check import check
from planardose.io.dicom_nm import write_planar
from planardose.io.nifti import write_volume
from planardose.io.planar_file import load_pair, write_user_pair
from planardose.library import load_nuclide
from planardose.planar import EnergyWindow, MoreViews
from planardose.steps.import_ct import import_ct
from planardose.steps.import_planar import _scatter_notes, import_planar, scatter_windows


def _sidecar(path: Path) -> dict:
    return json.loads(path.with_name(path.name + ".json").read_text())


def test_import_ct_writes_int16_hu_where_the_voxels_are(tmp_path: Path):
    run = write_patient(tmp_path)
    import_ct(run, "P01")
    image = nib.load(run.path("ct", patient="P01"))
    assert image.get_data_dtype() == np.int16
    hu = nib.as_closest_canonical(image)
    volume = ct_volume()
    np.testing.assert_allclose(hu.affine, volume.grid.ras_from_voxel, atol=1e-4)
    np.testing.assert_array_equal(np.asarray(hu.dataobj), np.clip(np.rint(volume.data), -1024, 3071))
    meta = _sidecar(run.path("ct", patient="P01"))
    assert (meta["quantity"], meta["unit"], meta["inputs"][0]["column"]) == ("CT number", "HU", "ct")
    assert meta["clipped"]["voxels_below"] == int((np.rint(volume.data) < -1024).sum()) > 0


def test_import_ct_of_an_oblique_nifti_keeps_its_affine(tmp_path: Path):
    run = write_patient(tmp_path, row={"ct": "ct.nii.gz"})
    volume = ct_volume()
    turn = np.eye(4)
    turn[:2, :2] = [[0.96, -0.28], [0.28, 0.96]]
    oblique = type(volume.grid)(volume.grid.shape, turn @ volume.grid.ras_from_voxel)
    write_volume(tmp_path / "ct.nii.gz", type(volume)(volume.data, oblique, "CT number", "HU"))
    import_ct(run, "P01")
    np.testing.assert_allclose(nib.load(run.path("ct", patient="P01")).affine, oblique.ras_from_voxel, atol=1e-4)


def test_import_planar_keeps_counts_and_header_time(tmp_path: Path):
    run = write_patient(tmp_path)
    import_planar(run, "P01", "t24")
    output = run.path("planar", patient="P01", timepoint="t24")
    pair = load_pair(output)
    np.testing.assert_array_equal(pair.counts, planar_pair().counts)
    assert pair.acquired_at == INJECTED + timedelta(hours=24)
    meta = _sidecar(output)
    assert meta["notes"] == []
    assert meta["scatter_windows_kev"] == [[166.4, 187.2], [228.8, 249.6]]
    assert meta["inputs"][0]["row"] == "P01 t24"


def test_the_other_photopeak_is_no_scatter_window(tmp_path: Path, caplog):
    run = write_patient(tmp_path)
    windows = (LU.photopeak, EnergyWindow(101.7, 124.3))
    write_planar(tmp_path / "t24.dcm", planar_pair(windows=windows), CAMERA, identity=PLANTED)
    import_planar(run, "P01", "t24")
    says = "no scatter window: 101.7-124.3 keV does not touch the photopeak 187.2-228.8 keV or holds a line of 177Lu"
    assert f"P01 t24 planar: {says}; all scatter is modelled" in caplog.text
    meta = _sidecar(run.path("planar", patient="P01", timepoint="t24"))
    assert meta["scatter_windows_kev"] == []
    assert check(run) == []


def test_windows_that_tell_the_scatter_of_177lu_are_not_believed_for_131i():
    iodine = load_nuclide("131I")
    pair = planar_pair(windows=(iodine.photopeak, *iodine.scatter_windows))
    assert scatter_windows(pair, iodine) == []
    assert _scatter_notes(pair, iodine, 0) == [
        "how 306.1-328, 401-422.9 keV tells the scatter of 131I is not known; all scatter is modelled"
    ]
    lutetium = planar_pair(windows=(LU.photopeak, *LU.scatter_windows))
    assert scatter_windows(lutetium, LU) == list(LU.scatter_windows)


@pytest.mark.parametrize(("minutes", "told"), [(3, None), (40, "+40 min"), (2 * 24 * 60, "+2.0 days")])
def test_the_sheet_overrides_the_header_time(minutes: int, told: str | None, tmp_path: Path, caplog):
    at = INJECTED + timedelta(hours=24, minutes=minutes)
    run = write_patient(tmp_path, row={"acquired_at": at.isoformat()})
    import_planar(run, "P01", "t24")
    assert load_pair(run.path("planar", patient="P01", timepoint="t24")).acquired_at == at
    assert (f"{told} from the header's start" if told else "") in caplog.text
    assert ("from the header's start" in caplog.text) == bool(told)


def test_decisions_by_hand_come_from_the_config(tmp_path: Path):
    run = write_patient(tmp_path, config={"patients": {"P01": {"t24": {"flip_posterior": True}}}})
    import_planar(run, "P01", "t24")
    output = run.path("planar", patient="P01", timepoint="t24")
    np.testing.assert_array_equal(load_pair(output).counts[1], planar_pair().counts[1, :, :, ::-1])
    assert _sidecar(output)["notes"] == ["flip_posterior true by hand"]


@pytest.mark.parametrize("kind", ["dcm", "npz"])
def test_images_with_the_feet_at_the_top_are_turned_by_hand(kind: str, tmp_path: Path):
    run = write_patient(
        tmp_path, row={"planar": f"t24.{kind}"}, config={"patients": {"P01": {"t24": {"upside_down": True}}}}
    )
    pair = planar_pair()
    beside = MoreViews((45.0, 225.0), pair.counts[:, :, ::-1] + 1)
    pair = replace(pair, more=beside if kind == "dcm" else None)
    write_planar(tmp_path / "t24.dcm", pair, CAMERA, identity=PLANTED)
    write_user_pair(tmp_path / "t24.npz", pair)
    import_planar(run, "P01", "t24")
    output = run.path("planar", patient="P01", timepoint="t24")
    found = load_pair(output)
    np.testing.assert_array_equal(found.counts, pair.counts[..., ::-1, ::-1])
    if kind == "dcm":
        np.testing.assert_array_equal(found.more.counts, beside.counts[..., ::-1, ::-1])
    assert _sidecar(output)["notes"][-1] == "upside_down true by hand"


@pytest.mark.parametrize(("calibration", "warned"), [("9.2", False), ("18.3", True), ("5", True)])
def test_check_and_import_note_an_odd_calibration(calibration: str, warned: bool, tmp_path: Path, caplog):
    """18.3 cps/MBq is the sum of both heads, a common mistake."""
    run = write_patient(tmp_path, row={"calibration_cps_per_mbq": calibration})
    assert check(run) == []
    assert caplog.text.count("P01 t24 planar: calibration_cps_per_mbq: ") == warned
    assert ("outside 0.60-1.10; is it per head and in air" in caplog.text) == warned
    import_planar(run, "P01", "t24")
    notes = _sidecar(run.path("planar", patient="P01", timepoint="t24"))["notes"]
    assert any("outside 0.60-1.10" in note for note in notes) == warned


def test_check_and_import_note_a_collimator_that_the_nuclide_goes_through(tmp_path: Path, caplog):
    """Of 177Lu 11 % of the counts come through the holes of LEHR, 87 % through those of MELP."""
    run = write_patient(tmp_path, row={"camera": "siemens_symbia_lehr"})
    assert check(run) == []
    told = "89 % of the counts of 177Lu come through the lead of the LEHR collimator; is camera the one of"
    assert caplog.text.count(f"P01 t24 planar: {told}") == 1
    import_planar(run, "P01", "t24")
    assert _sidecar(run.path("planar", patient="P01", timepoint="t24"))["notes"][-1].startswith(told)


def test_check_is_silent_on_good_input_and_lists_every_fault(tmp_path: Path):
    run = write_patient(tmp_path)
    assert check(run) == []
    (tmp_path / "t24.dcm").write_bytes(b"")
    (tmp_path / "labels.nii.gz").unlink()
    faults = check(run)
    assert [f.split(":")[0] for f in faults] == ["P01 segmentation", "P01 t24 planar"]
    (tmp_path / "ct" / "CT0007.dcm").unlink()
    assert check(run)[0].startswith("P01 ct: 1 CT slice missing: a gap of 30 mm")
