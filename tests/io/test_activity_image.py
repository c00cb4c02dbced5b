"""PET and SPECT images: places and values of the readers against what the writers put there, and refusals."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pydicom
import pytest
from imaging_scene import INJECTED, ct_volume, write_patient
from pet_series import write_pet

from planardose.errors import InputError
from planardose.image import Grid, Volume
from planardose.io.activity_image import read_activity_image
from planardose.io.dicom_ct import write_ct
from planardose.io.dicom_tomographic_write import write_spect
from planardose.io.nifti import write_volume
from planardose.recon.spect_input import read_spect

AT = datetime(2026, 2, 3, 10, 30)


def _field(ras: np.ndarray) -> np.ndarray:
    """A different activity at every place (mm)."""
    return 2000.0 + ras @ np.array([3.0, -5.0, 7.0])


def _centres(grid: Grid) -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    return index @ grid.ras_from_voxel[:3, :3].T + grid.ras_from_voxel[:3, 3]


def _volume() -> Volume:
    grid = Grid.axis_aligned((30, 20, 12), (8.0, 9.0, 10.0), (-95.0, -70.0, 33.0))
    return Volume(_field(_centres(grid)), grid, "activity concentration", "Bq/mL")


def _same_everywhere(found: Volume) -> None:
    np.testing.assert_allclose(found.data, _field(_centres(found.grid)), rtol=1e-3)
    assert sorted(found.grid.shape) == sorted(_volume().grid.shape)


def test_pet_slices_with_their_own_slopes_keep_values_and_places(tmp_path: Path):
    write_pet(tmp_path / "pet", _volume(), at=AT)
    slopes = {float(pydicom.dcmread(f).RescaleSlope) for f in (tmp_path / "pet").iterdir()}
    assert len(slopes) == 12
    found = read_activity_image(tmp_path / "pet", "P01 prior_image")
    _same_everywhere(found.volume)
    assert (found.modality, found.volume.unit, found.acquired_at) == ("PT", "Bq/mL", AT)


def test_spect_with_negative_slice_spacing_is_not_upside_down(tmp_path: Path):
    write_spect(tmp_path / "spect.dcm", _volume(), 900.0, at=AT)
    assert float(pydicom.dcmread(tmp_path / "spect.dcm").SpacingBetweenSlices) == -10.0
    found = read_activity_image(tmp_path / "spect.dcm", "P01 t24 spect")
    _same_everywhere(found.volume)
    assert (found.modality, found.volume.unit, found.acquired_at) == ("NM", "arbitrary", AT)
    assert found.duration_s == pytest.approx(900.0)


def test_spect_frames_in_another_order_are_sorted_by_their_slice_numbers(tmp_path: Path):
    write_spect(tmp_path / "spect.dcm", _volume(), 900.0)
    ds = pydicom.dcmread(tmp_path / "spect.dcm")
    frames = ds.pixel_array[::-1]
    ds.PixelData, ds.SliceVector = frames.tobytes(), list(range(12, 0, -1))
    ds.save_as(tmp_path / "spect.dcm")
    _same_everywhere(read_activity_image(tmp_path / "spect.dcm", "P01 t24 spect").volume)


@pytest.mark.parametrize(("unit", "factor"), [("Bq/ml", 1.0), ("kBq/mL", 1000.0)])
def test_spect_mapped_to_bq_per_ml_has_that_unit(unit: str, factor: float, tmp_path: Path):
    write_spect(tmp_path / "spect.dcm", _volume(), 900.0)
    ds = pydicom.dcmread(tmp_path / "spect.dcm")
    item, code = pydicom.Dataset(), pydicom.Dataset()
    code.CodeValue = unit
    item.RealWorldValueSlope, item.RealWorldValueIntercept = 2.0 * float(ds.RescaleSlope), 300.0
    item.MeasurementUnitsCodeSequence = [code]
    ds.RealWorldValueMappingSequence = [item]
    ds.save_as(tmp_path / "spect.dcm")
    found = read_activity_image(tmp_path / "spect.dcm", "P01 t24 spect").volume
    assert found.unit == "Bq/mL"
    np.testing.assert_allclose(found.data, factor * (2 * _field(_centres(found.grid)) + 300.0), rtol=1e-3)


def test_a_capture_of_the_screen_beside_a_pet_is_left_out(tmp_path: Path):
    write_pet(tmp_path / "pet", _volume(), at=AT)
    ds = pydicom.dcmread(tmp_path / "pet" / "PT0001.dcm")
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    del ds.ImagePositionPatient, ds.ImageOrientationPatient, ds.RescaleSlope
    ds.save_as(tmp_path / "pet" / "capture.dcm")
    _same_everywhere(read_activity_image(tmp_path / "pet", "P01 prior_image").volume)


@pytest.mark.parametrize(("decay", "minutes"), [("NONE", 15), ("START", 0), (None, 15)])
def test_the_time_of_a_spect_is_that_of_its_values(decay: str | None, minutes: float, tmp_path: Path, caplog):
    held = _volume()
    held = Volume(held.data * (3e9 / (held.data.sum() * held.grid.voxel_ml)), held.grid, held.quantity, held.unit)
    write_spect(tmp_path / "spect.dcm", held, 1800.0, at=INJECTED + timedelta(hours=24))
    _edited(tmp_path / "spect.dcm", Units="BQML", DecayCorrection=decay)
    row = {"spect": "spect.dcm", "spect_ct": "ct"}
    cohort = write_patient(tmp_path, row=row).cohort
    assert read_spect(cohort.row("P01", "t24")).at == INJECTED + timedelta(hours=24, minutes=minutes)
    assert not caplog.records
    _edited(tmp_path / "spect.dcm", AcquisitionTime="")  # then it is the time of the processing, perhaps
    read_spect(cohort.row("P01", "t24"))
    assert "P01 t24 spect: the start is read from ContentDate and ContentTime" in caplog.text
    _edited(tmp_path / "spect.dcm", DecayCorrection="ADMIN")
    with pytest.raises(InputError, match="P01 t24 spect: DecayCorrection ADMIN"):
        read_spect(cohort.row("P01", "t24"))


def test_nifti_keeps_its_values_and_loses_small_negative_ones(tmp_path: Path):
    volume = _volume()
    volume.data[0, 0, 0] = -3.0
    write_volume(tmp_path / "pet.nii.gz", volume)
    found = read_activity_image(tmp_path / "pet.nii.gz", "P01 prior_image")
    assert found.volume.data[0, 0, 0] == 0 and found.volume.unit == "arbitrary" and found.acquired_at is None
    np.testing.assert_allclose(found.volume.data[1:], volume.data[1:], rtol=1e-6)


def _edited(path: Path, **values) -> Path:
    for file in [path] if path.is_file() else path.iterdir():
        ds = pydicom.dcmread(file)
        for name, value in values.items():
            setattr(ds, name, value)
        ds.save_as(file)
    return path


@pytest.mark.parametrize(
    ("kind", "values", "told"),
    [
        ("pet", {"SeriesType": ["GATED", "IMAGE"]}, "SeriesType GATED"),
        ("pet", {"RescaleSlope": None}, "no RescaleSlope"),
        ("pet", {"ImagePositionPatient": None}, "no ImagePositionPatient"),
        ("pet", {"Modality": "MR"}, "no PET or SPECT image"),
        ("spect", {"ImageType": ["ORIGINAL", "PRIMARY", "TOMO", "EMISSION"]}, "image types TOMO"),
        ("spect", {"SliceVector": [1] * 12}, "SliceVector does not list"),
        ("spect", {"DetectorInformationSequence": []}, "where the volume lies"),
        ("spect", {"SpacingBetweenSlices": "0"}, "voxels of"),
        ("spect", {"SpacingBetweenSlices": None}, "slices run to the head or to the feet"),
        ("spect", {"PixelSpacing": ["0.9", "0.08"]}, "voxel size"),
    ],
)
def test_a_bad_header_gives_one_clear_line(kind: str, values: dict, told: str, tmp_path: Path):
    if kind == "pet":
        write_pet(tmp_path / "image", _volume())
    else:
        write_spect(tmp_path / "image", _volume(), 900.0)
    with pytest.raises(InputError, match=told) as fault:
        read_activity_image(_edited(tmp_path / "image", **values), "P01 prior_image")
    assert str(fault.value).startswith("P01 prior_image") and str(tmp_path) not in str(fault.value)


def test_a_missing_pet_slice_two_studies_and_a_ct_are_refused(tmp_path: Path):
    write_pet(tmp_path / "gap", _volume())
    (tmp_path / "gap" / "PT0005.dcm").unlink()
    with pytest.raises(InputError, match="1 PET slice missing"):
        read_activity_image(tmp_path / "gap", "P01 prior_image")
    write_pet(tmp_path / "both", _volume())
    write_spect(tmp_path / "both" / "spect.dcm", _volume(), 900.0)
    with pytest.raises(InputError, match="PET and SPECT in one folder"):
        read_activity_image(tmp_path / "both", "P01 prior_image")
    write_ct(tmp_path / "ct", ct_volume())
    with pytest.raises(InputError, match="modalities CT"):
        read_activity_image(tmp_path / "ct", "P01 prior_image")
    write_volume(tmp_path / "ct.nii.gz", ct_volume())
    with pytest.raises(InputError, match="does not name a CT"):
        read_activity_image(tmp_path / "ct.nii.gz", "P01 prior_image")
    with pytest.raises(InputError, match="no such file"):
        read_activity_image(tmp_path / "none", "P01 prior_image")
