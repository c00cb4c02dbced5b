"""Numbers that are positive and cannot be: one line with field, value and range; and times with a zone."""

import json
import re
from datetime import datetime, timedelta
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from imaging_scene import INJECTED, ct_volume, planar_pair, write_patient, write_sheet

from planardose import plausible
from planardose.commands.check import check
from planardose.config import parse_config
from planardose.errors import InputError
from planardose.image import Grid, Volume
from planardose.io.nifti import write_volume
from planardose.run import Run
from planardose.sheet import load_cohort
from planardose.steps.import_ct import import_ct
from planardose.steps.import_planar import import_planar

DOCS = Path(__file__).parents[2] / "docs/inputs.md"


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ({"injected_mbq": "7.4"}, "injected_mbq: 7.4 MBq; expected 20 to 50000 MBq; give MBq, not GBq"),
        ({"injected_mbq": "7.4e9"}, "injected_mbq: 7.4e+09 MBq; expected 20 to 50000 MBq"),
        ({"weight_kg": "0.07"}, "weight_kg: 0.07 kg; expected 2 to 400 kg"),
        ({"weight_kg": "70000"}, "weight_kg: 70000 kg"),
        ({"calibration_cps_per_mbq": "1e-3"}, "calibration_cps_per_mbq: 0.001 cps/MBq; expected 0.5 to 500 cps/MBq"),
        ({"acquired_at": "2027-03-03T09:30"}, "2027-03-03T09:30:00 is 366 days or 55 half-lives after the injection"),
        ({"injected_at": "2026-03-02"}, "injected_at: '2026-03-02' is not a date with a time of day"),
        ({"injected_at": "46083.39"}, "injected_at: '46083.39' is not a date with a time of day"),
        ({"injected_at": "02.03.2026 09:30"}, "injected_at: '02.03.2026 09:30' is not a date"),
        ({"injected_at": "2026-02-30T09:30"}, "injected_at: '2026-02-30T09:30' is not a date"),
        ({"acquired_at": "2026-03-03T09:30Z"}, "acquired_at: .* one has a zone, the other has none"),
        ({"injected_at": "2026-03-02T09:30+01:00", "acquired_at": "2026-03-03T09:30"}, "one has a zone"),
    ],
)
def test_a_sheet(cells: dict, says: str, tmp_path: Path):
    with pytest.raises(InputError, match=says.replace("+", r"\+").replace("(", r"\(")) as fault:
        load_cohort(write_sheet(tmp_path, [cells]))
    assert str(fault.value).startswith("P01 t24 ")
    assert "\n" not in str(fault.value)


def test_a_zone_on_some_rows_only(tmp_path: Path):
    rows = [{}, {"timepoint": "t72", "injected_at": "2026-03-02T09:30:00Z"}]
    with pytest.raises(InputError, match="P01 injected_at: some rows name a zone and some do not"):
        load_cohort(write_sheet(tmp_path, rows))


def test_times_with_zones_are_brought_to_the_injections_clock(tmp_path: Path):
    """The night to summer time lies between; and one injection written in two zones is one cycle."""
    rows = [
        {"injected_at": "2026-03-28T09:30:00+01:00", "acquired_at": "2026-03-29T10:30:00+02:00"},
        {"timepoint": "t48", "injected_at": "2026-03-28T08:30:00Z", "acquired_at": "2026-03-30T08:30:00Z"},
    ]
    first, second = load_cohort(write_sheet(tmp_path, rows)).rows
    assert first.injected_at == second.injected_at == datetime(2026, 3, 28, 9, 30)
    assert first.acquired_at - first.injected_at == timedelta(hours=24)
    assert second.acquired_at - second.injected_at == timedelta(hours=48)
    assert first.utc_offset == second.utc_offset == timedelta(hours=1)


def user_file(folder: Path, **changes) -> None:
    pair = planar_pair()
    np.savez(folder / "t24.npz", counts=pair.counts)
    meta = {
        "views": ["anterior", "posterior"],
        "windows_kev": [[w.low_kev, w.high_kev] for w in pair.windows],
        "pixel_mm": list(pair.pixel_mm),
        "duration_s": 900,
        "acquired_at": (INJECTED + timedelta(hours=24)).isoformat(),
        "detector_distance_mm": [210, 190],
    } | changes
    (folder / "t24.json").write_text(json.dumps({k: v for k, v in meta.items() if v is not None}))


def told(folder: Path, **row) -> str:
    """The line of the import; check tells the same."""
    run = Run(parse_config({}), load_cohort(write_sheet(folder, [row])), folder / "results")
    with pytest.raises(InputError) as fault:
        import_planar(run, "P01", "t24")
    line = str(fault.value)
    assert line in check(run)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"pixel_mm": [0.0024, 0.0024]}, "planar pixel_mm: 0.0024 mm; expected 0.4 to 20 mm; give millimetres"),
        ({"pixel_mm": [0.48, 0.52]}, "80 pixels of 0.48 mm make an image of 38.4 mm; expected a side of 100 to 3000"),
        ({"duration_s": 0.2}, "planar duration_s: 0.2 s; expected 5 to 21600 s"),
        ({"duration_s": 1.2e6}, "planar duration_s: 1.2e+06 s"),
        ({"duration_s": None, "seconds_per_row": 1.4}, "planar seconds_per_row: 1.4 s; expected 5 to 7200 s"),
        ({"detector_distance_mm": [21, 19]}, "planar detector_distance_mm: 21 mm; expected 40 to 800 mm"),
        ({"acquired_at": "2026-03-03"}, "planar acquired_at: '2026-03-03' is not a date with a time of day"),
        ({"acquired_at": "2026-09-28T09:30"}, "210 days or 32 half-lives after the injection"),
        ({"acquired_at": "2026-03-03T08:30Z"}, "2026-03-03T08:30:00+00:00, and injected_at names no zone"),
    ],
)
def test_a_json(changes: dict, says: str, tmp_path: Path):
    write_patient(tmp_path)
    user_file(tmp_path, **changes)
    assert says in told(tmp_path, planar="t24.npz")


def test_zones_in_json_and_sheet_are_understood_together_and_refused_alone(tmp_path: Path):
    write_patient(tmp_path)
    user_file(tmp_path, acquired_at="2026-03-03T08:30:00Z")
    sheet = write_sheet(tmp_path, [{"planar": "t24.npz", "injected_at": "2026-03-02T09:30:00+01:00"}])
    run = Run(parse_config({}), load_cohort(sheet), tmp_path / "results")
    import_planar(run, "P01", "t24")
    path = run.path("planar", patient="P01", timepoint="t24")
    assert json.loads(path.with_name(path.name + ".json").read_text())["acquired_at"] == "2026-03-03T09:30:00"
    user_file(tmp_path)
    assert "injected_at names the zone +01:00" in told(
        tmp_path, planar="t24.npz", injected_at="2026-03-02T09:30:00+01:00"
    )


def test_more_counts_than_the_injection_can_give(tmp_path: Path):
    """Sixty times too short an exposure would make sixty times the activity."""
    write_patient(tmp_path)
    pair = planar_pair()
    user_file(tmp_path, duration_s=15)
    np.savez(tmp_path / "t24.npz", counts=pair.counts * 3000)
    line = told(tmp_path, planar="t24.npz")
    says = r"need ([\d.]+) times the activity that is left of the injection \(([\d.]+) MBq at ([\d.]+) cps/MBq, 15 s\)"
    needed, left_mbq, sensitivity = map(float, re.search(says, line).groups())
    assert left_mbq == pytest.approx(7400 * 0.5 ** (24 / 159.528), rel=1e-3)
    both_heads = 2 * sensitivity * left_mbq * 15
    assert needed == pytest.approx(3000 * pair.counts[:, 0].sum(dtype=float) / both_heads, rel=0.05)


def test_odd_numbers_are_noted(tmp_path: Path, caplog):
    write_patient(tmp_path)
    user_file(tmp_path, duration_s=20)
    sheet = write_sheet(tmp_path, [{"planar": "t24.npz", "calibration_cps_per_mbq": "25", "injected_mbq": "50000"}])
    run = Run(parse_config({}), load_cohort(sheet), tmp_path / "results")
    import_planar(run, "P01", "t24")
    assert "an exposure of 20 s is short" in caplog.text
    assert "calibration_cps_per_mbq: 25 measured, 11.8 computed cps/MBq: ratio 2.11" in caplog.text
    user_file(tmp_path)
    import_planar(run, "P01", "t24")
    assert "% of the injected activity's" in caplog.text


def test_pixels_that_are_no_counts_are_noted(tmp_path: Path, caplog):
    """A matrix halved by averaging: all activities are four times too low."""
    write_patient(tmp_path)
    user_file(tmp_path, pixel_mm=[9.6, 10.4])
    halved = planar_pair().counts.reshape(2, -1, 40, 2, 19, 2).mean(axis=(3, 5))
    np.savez(tmp_path / "t24.npz", counts=halved)
    sheet = write_sheet(tmp_path, [{"planar": "t24.npz", "injected_mbq": "50"}])
    run = Run(parse_config({}), load_cohort(sheet), tmp_path / "results")
    import_planar(run, "P01", "t24")
    assert "% of the pixels hold no whole number: are these the counts as acquired?" in caplog.text


def test_counts_per_second_are_refused(tmp_path: Path):
    """No whole numbers, and far too few for the injected activity."""
    write_patient(tmp_path)
    user_file(tmp_path)
    np.savez(tmp_path / "t24.npz", counts=planar_pair().counts / np.float32(600))
    line = told(tmp_path, planar="t24.npz")
    assert "% of the pixels hold no whole number, and all are" in line and "not counts per second" in line


def test_a_sweep_given_as_a_static_image(tmp_path: Path):
    """Its duration is several times the exposure of a point, and so would the activity be too low."""
    write_patient(tmp_path)
    user_file(tmp_path, pixel_mm=[12.0, 5.2], duration_s=900)
    says = "a static image whose counts reach over 744 mm, more than the camera's field of 533 mm"
    assert says in told(tmp_path, planar="t24.npz")


@pytest.mark.parametrize(
    ("tags", "says"),
    [({"Manufacturer": "GE MEDICAL SYSTEMS"}, "the header's manufacturer is not that of the camera named (Siemens)"),
     ({"LossyImageCompression": "01"}, "compressed with loss"),
     ({"head": {"CollimatorGridName": "SY LEHR"}}, "the header's collimator is LEHR; the camera named has MELP"),
     ({"head": {"CollimatorType": "PINH"}}, "CollimatorType PINH: only parallel holes are modelled")],
)  # fmt: skip
def test_another_camera_than_the_sheets_is_noted(tags: dict, says: str, tmp_path: Path, caplog):
    run = write_patient(tmp_path)
    ds = pydicom.dcmread(tmp_path / "t24.dcm")
    for name, value in tags.pop("head", {}).items():
        for item in ds.DetectorInformationSequence:
            setattr(item, name, value)
    for name, value in tags.items():
        setattr(ds, name, value)
    import_planar(run, "P01", "t24")
    assert not [r for r in caplog.records if "collimator" in r.message.lower() or "manufacturer" in r.message]
    ds.save_as(tmp_path / "t24.dcm")
    import_planar(run, "P01", "t24")
    assert says in caplog.text


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        ({"PixelSpacing": [0.0048, 0.0052]}, "PixelSpacing: 0.0048 mm; expected 0.4 to 20 mm"),
        ({"ScanVelocity": 16.0, "ActualFrameDuration": None}, "ScanVelocity 16 mm/s; expected at most 10 mm/s"),
        ({"ScanLength": 90.0, "ScanVelocity": 0.2, "ActualFrameDuration": None}, "a sweep of 90 mm, less than 0.5 of"),
        ({"CorrectedImage": ["UNIF", "DECY", "SCAT"]}, "corrected for decay (DECY) and scatter (SCAT)"),
        ({"CorrectedImage": ["UNIF", "DTIM"]}, "corrected for dead time (DTIM), which is corrected here too"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "WHOLE BODY", "TRANSMISSION"]}, "a transmission image"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "BitsStored": 8, "CountsAccumulated": ""}, "a secondary capture"),
    ],
)
def test_a_dicom_header(tags: dict, says: str, tmp_path: Path):
    write_patient(tmp_path)
    ds = pydicom.dcmread(tmp_path / "t24.dcm")
    for name, value in tags.items():
        setattr(ds, name, value)
    ds.save_as(tmp_path / "t24.dcm")
    assert says in told(tmp_path)


def test_an_unlikely_radial_position_is_noted_and_not_used(tmp_path: Path, caplog):
    run = write_patient(tmp_path)
    ds = pydicom.dcmread(tmp_path / "t24.dcm")
    for item in ds.DetectorInformationSequence:
        item.RadialPosition = [19.0]
    ds.save_as(tmp_path / "t24.dcm")
    import_planar(run, "P01", "t24")
    assert "RadialPosition 19 and 19 mm is not 40 to 800 mm: the default distance is used" in caplog.text


def test_a_ct_in_metres_or_centimetres(tmp_path: Path):
    volume = ct_volume()
    for factor, says in ((1e-3, "ct voxel size: 0.01"), (0.1, "ct extent: 33 mm; expected 100 to 3000 mm")):
        affine = np.diag([factor, factor, factor, 1.0]) @ volume.grid.ras_from_voxel
        write_patient(tmp_path)
        write_volume(tmp_path / "ct.nii.gz", Volume(volume.data, Grid(volume.grid.shape, affine), "CT number", "HU"))
        sheet = write_sheet(tmp_path, [{"ct": "ct.nii.gz"}])
        run = Run(parse_config({}), load_cohort(sheet), tmp_path / "results")
        with pytest.raises(InputError, match=says):
            import_ct(run, "P01")
        assert nib.load(tmp_path / "ct.nii.gz").shape == volume.grid.shape


def test_the_docs_list_every_range():
    text = DOCS.read_text()
    ranges = [v for v in vars(plausible).values() if isinstance(v, plausible.Range)]
    assert len(ranges) >= 10
    assert not [r.text for r in ranges if r.text not in text]
    assert not [k for k, r in plausible.CAMERA.items() if f"| camera file, `{k}` | {r.text} |" not in text]
    assert f"{plausible.MOST_HALF_LIVES:g} half-lives" in text
    assert f"{plausible.CALIBRATION_HALF_LIVES:g} half-lives" in text


def test_check_reads_lesions_also_without_a_segmentation(tmp_path: Path, caplog):
    """As where TotalSegmentator makes it; a lesion of a litre is told."""
    write_patient(tmp_path)
    lesions = np.zeros(ct_volume().grid.shape, dtype=np.int16)
    lesions[20:30, 8:18, 6:12] = 1
    write_volume(tmp_path / "lesions.nii.gz", Volume(lesions, ct_volume().grid, "label", "1"), dtype=np.int16)
    sheet = write_sheet(tmp_path, [{"segmentation": "", "lesions": "lesions.nii.gz"}])
    assert check(Run(parse_config({}), load_cohort(sheet), tmp_path / "results")) == []
    assert "P01 lesions: lesion_1 has 1080 mL" in caplog.text


def test_check_tells_of_the_same_images_twice(tmp_path: Path, caplog):
    write_patient(tmp_path)
    sheet = write_sheet(tmp_path, [{}, {"timepoint": "t72"}, {"patient": "P02"}])
    check(Run(parse_config({}), load_cohort(sheet), tmp_path / "results"))
    assert "P01 t72 planar: the same images as P01 t24" in caplog.text
    assert "P02 t24 planar: the same images as P01 t24" in caplog.text
