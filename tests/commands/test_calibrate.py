"""Sensitivity from a source in air, against counts drawn for a known sensitivity, activity and background."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pydicom
import pytest
from imaging_scene import CAMERA, LU, WINDOWS, planar_pair

from planardose.commands.calibrate import calibrate, mean_activity
from planardose.errors import InputError
from planardose.io.dicom_nm import write_planar
from planardose.library import load_nuclide
from planardose.planar import EnergyWindow, PlanarPair

START = datetime(2026, 3, 2, 12, 0)
TRUE_CPS_PER_MBQ = (9.4, 9.1)
PART_OF_SCATTER = 1 / 20 + 1 / 40  # of the photopeak's counts, by the windows beside it: half as wide as it


def _source(
    folder: Path, activity_mbq: float = 50.0, exposure_s: float = 1800.0, seed: int = 0, windows=WINDOWS
) -> Path:
    """A spread source of (anterior, posterior) sensitivity on a background of 0.4 counts a pixel, with dead time."""
    rows, columns = np.meshgrid(np.arange(96) - 40, np.arange(80) - 45, indexing="ij")
    spot = np.exp(-(rows**2 + columns**2) / (2 * 4.0**2))
    spot /= spot.sum()
    decay = np.log(2) / (LU.half_life_h * 3600)
    mbq_s = (
        activity_mbq * (1 - np.exp(-decay * exposure_s)) / decay
    )  # decays of the exposure, the activity given at START
    expected = [0.4 + spot * mbq_s * s for s in TRUE_CPS_PER_MBQ]
    primary = 1.0 - PART_OF_SCATTER if len(windows) == 3 else 1.0
    expected = [e * np.exp(-primary * e.sum() / exposure_s * CAMERA.tau_us * 1e-6) for e in expected]
    counts = np.random.default_rng(seed).poisson(np.array([[e, e / 20, e / 40][: len(windows)] for e in expected]))
    pair = PlanarPair(
        counts.astype(np.float32), tuple(windows), (2.4, 2.4), exposure_s, START, exposure_s, (100.0, 100.0)
    )
    write_planar(folder / "source.dcm", pair, CAMERA)
    return folder / "source.dcm"


def test_sensitivity_of_each_head_within_its_counting_error(tmp_path: Path):
    found = calibrate(_source(tmp_path), 50.0, START, CAMERA.name, activity_uncertainty=0.0)
    for view, true in zip(("anterior", "posterior"), TRUE_CPS_PER_MBQ, strict=True):
        u = found[view]["cps_per_mbq_u"]
        assert 0.0005 < u / true < 0.003  # 8e5 counts
        assert abs(found[view]["cps_per_mbq"] - true) < 3.5 * u
    assert found["calibration_cps_per_mbq"] == pytest.approx(np.mean(TRUE_CPS_PER_MBQ), rel=0.005)
    assert found["measured_over_computed"] == found["calibration_cps_per_mbq"] / found["computed_cps_per_mbq"]


@pytest.mark.parametrize("hours", [-2.0, 0.5, 5.0])
def test_the_activity_is_the_mean_over_the_exposure(hours: float):
    """99mTc in half an hour: 0.01 % above that at the middle; against the mean of a fine series of times."""
    nuclide, counts = load_nuclide("99mTc"), np.ones((2, 1, 4, 4), dtype=np.float32)
    pair = PlanarPair(counts, (nuclide.photopeak,), (2.4, 2.4), 1800.0, START, 1800.0)
    seen_h = hours + (np.arange(1000) + 0.5) / 1000 * 0.5
    expected = 80.0 * np.exp2(-seen_h / nuclide.half_life_h).mean()
    assert mean_activity(80.0, START - timedelta(hours=hours), pair, nuclide) == pytest.approx(expected, rel=1e-8)


def test_scale_is_judged_and_dead_time_told(tmp_path: Path, caplog):
    """9.25 of 11.85 cps/MBq is plausible; the same counts of half the activity are not."""
    path = _source(tmp_path)
    found = calibrate(path, 50.0, START, CAMERA.name)
    assert found["scale_plausible"] is True and "computed" not in caplog.text
    assert found["measured_over_computed"] == pytest.approx(np.mean(TRUE_CPS_PER_MBQ) / 11.85, rel=0.01)
    rate = found["anterior"]["rate_cps"] * (1.0 - PART_OF_SCATTER)
    assert 0 < rate * 4.6e-6 < found["dead_time_loss"] < 1.01 * rate * 4.6e-6
    found = calibrate(path, 25.0, START, CAMERA.name)
    assert found["scale_plausible"] is False
    assert "ratio 1.56, outside 0.60-1.10" in caplog.text
    assert calibrate(path, 25.0, START)["scale_plausible"] is None


def test_dead_time_is_put_back_as_in_the_patients_images(tmp_path: Path, caplog):
    """1 GBq at some 9.3 cps/MBq: 4.6 us (Symbia MELP) take 4 % of the counts."""
    path = _source(tmp_path, activity_mbq=1000.0, exposure_s=120.0)
    found = calibrate(path, 1000.0, START, CAMERA.name, activity_uncertainty=0.0)
    for view, true in zip(("anterior", "posterior"), TRUE_CPS_PER_MBQ, strict=True):
        assert found[view]["cps_per_mbq"] == pytest.approx(true, rel=0.004)
    assert found["dead_time_loss"] == pytest.approx(1.0 - np.exp(-9400.0 * (1.0 - PART_OF_SCATTER) * 4.6e-6), rel=0.02)
    assert "3.9 % of the counts put back for dead time as in a patient" in caplog.text  # less is lost in air
    caplog.clear()
    unknown = calibrate(path, 1000.0, START, activity_uncertainty=0.0)
    assert unknown["calibration_cps_per_mbq"] == pytest.approx(0.96 * found["calibration_cps_per_mbq"], rel=0.005)
    assert unknown["dead_time_loss"] is None and "counts/s, not corrected for dead time" in caplog.text
    caplog.clear()
    calibrate(_source(tmp_path), 50.0, START)
    calibrate(_source(tmp_path), 50.0, START, CAMERA.name)
    assert "dead time" not in caplog.text


def test_a_dead_time_of_another_nuclide_is_told(tmp_path: Path):
    """123I's own value on Symbia MELP is computed; 177Lu's is measured, and its notes say nothing."""
    iodine = load_nuclide("123I")
    windows = (iodine.photopeak, *iodine.scatter_windows)
    found = calibrate(_source(tmp_path, windows=windows), 50.0, START, CAMERA.name, nuclide="123I")
    told = "corrected for dead time with 123I by one computed from one measured with 177Lu at 113 and 208 keV"
    assert told in found["notes"]
    assert not any("dead time" in note for note in calibrate(_source(tmp_path), 50.0, START, CAMERA.name)["notes"])


def test_counting_errors_cover(tmp_path: Path):
    pulls = []
    for seed in range(25):
        found = calibrate(
            _source(tmp_path, seed=seed, exposure_s=120.0), 50.0, START, CAMERA.name, activity_uncertainty=0.0
        )
        pulls += [(found[v]["cps_per_mbq"] - s) / found[v]["cps_per_mbq_u"]
                  for v, s in zip(("anterior", "posterior"), TRUE_CPS_PER_MBQ, strict=True)]  # fmt: skip
    assert 0.7 < np.std(pulls) < 1.35
    assert abs(np.mean(pulls)) < 0.6


def test_activity_is_taken_to_the_acquisition_and_its_uncertainty_is_common_to_both_heads(tmp_path: Path):
    path = _source(tmp_path)
    now = calibrate(path, 50.0, START, CAMERA.name, activity_uncertainty=0.05)
    before = calibrate(path, 100.0, START - timedelta(hours=LU.half_life_h), CAMERA.name, activity_uncertainty=0.05)
    assert before["calibration_cps_per_mbq"] == pytest.approx(now["calibration_cps_per_mbq"], rel=1e-9)
    exact, mean = calibrate(path, 50.0, START, CAMERA.name, activity_uncertainty=0.0), now["calibration_cps_per_mbq"]
    heads = [exact[v]["cps_per_mbq_u"] for v in ("anterior", "posterior")]  # by their counts, apart from each other
    assert exact["calibration_cps_per_mbq_u"] == pytest.approx(np.hypot(*heads) / 2, rel=1e-6)
    assert now["calibration_cps_per_mbq_u"] == pytest.approx(np.hypot(np.hypot(*heads) / 2, 0.05 * mean), rel=1e-6)
    for view, u in zip(("anterior", "posterior"), heads, strict=True):
        assert now[view]["cps_per_mbq_u"] == pytest.approx(np.hypot(u, 0.05 * now[view]["cps_per_mbq"]), rel=1e-6)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"activity_mbq": -5.0}, "calibrate --activity-mbq: -5 MBq; expected a positive activity"),
        ({"activity_mbq": float("nan")}, "a positive activity"),
        ({"activity_mbq": 0.5}, "activity-mbq: 0.5 MBq; expected 1 to 50000 MBq; give MBq, not GBq"),
        ({"at": START - timedelta(days=365)}, "is 365 days before the acquisition .* at most 3 half-lives of 177Lu"),
        ({"at": START + timedelta(days=30)}, "is 30 days after the acquisition"),
        ({"at": START.replace(tzinfo=UTC)}, "has a zone, the images have none"),
        ({"activity_mbq": 2000.0}, "the sensitivity found: 0.230943 cps/MBq; expected 0.5 to 500 cps/MBq"),
        ({"activity_uncertainty": 1.5}, "a fraction from 0 to below 1"),
        ({"camera": "unknown"}, "not in the catalogue"),
    ],
)
def test_bad_arguments(change: dict, says: str, tmp_path: Path):
    arguments = {"activity_mbq": 50.0, "at": START, "camera": CAMERA.name} | change
    with pytest.raises(InputError, match=says):
        calibrate(_source(tmp_path), **arguments)


def test_a_time_after_the_acquisition_means_that_there_was_more_then(tmp_path: Path):
    path = _source(tmp_path)
    now = calibrate(path, 50.0, START, CAMERA.name)
    after = calibrate(path, 25.0, START + timedelta(hours=LU.half_life_h), CAMERA.name)
    assert after["activity_mbq"] == pytest.approx(now["activity_mbq"], rel=1e-9)


def test_zones_of_header_and_time_are_brought_together(tmp_path: Path):
    path = _source(tmp_path)
    here = calibrate(path, 50.0, START, CAMERA.name)
    ds = pydicom.dcmread(path)
    ds.TimezoneOffsetFromUTC = "+0200"
    ds.save_as(path)
    for at in (START, (START - timedelta(hours=2)).replace(tzinfo=UTC)):
        assert calibrate(path, 50.0, at, CAMERA.name)["anterior"] == here["anterior"]


def test_no_source_and_the_wrong_window(tmp_path: Path):
    with pytest.raises(InputError, match="counts above the background"):
        calibrate(_source(tmp_path, activity_mbq=1e-6), 50.0, START, CAMERA.name)
    technetium = (EnergyWindow(126.5, 154.5), *(replace(w, high_kev=w.high_kev) for w in WINDOWS[1:2]))
    with pytest.raises(InputError, match="wrong nuclide's window"):
        calibrate(_source(tmp_path, windows=technetium), 50.0, START, CAMERA.name)


def test_a_static_source_needs_no_camera_but_a_sweep_does(tmp_path: Path):
    found = calibrate(_source(tmp_path), 50.0, START)
    assert found["calibration_cps_per_mbq"] == pytest.approx(np.mean(TRUE_CPS_PER_MBQ), rel=0.005)
    assert found["measured_over_computed"] is None
    write_planar(tmp_path / "sweep.dcm", planar_pair(), CAMERA)
    with pytest.raises(InputError, match="name the camera"):
        calibrate(tmp_path / "sweep.dcm", 50.0, START)


def test_a_sweep_without_speed_is_told_what_calibrate_takes(tmp_path: Path):
    path = _source(tmp_path)
    ds = pydicom.dcmread(path)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "WHOLE BODY", "EMISSION"]
    ds.save_as(path)
    with pytest.raises(InputError, match=r"mm/s; give the images as NPZ \+ JSON with seconds_per_row$"):
        calibrate(path, 50.0, START, CAMERA.name)


def _without_windows(ds: pydicom.Dataset) -> None:
    del ds.EnergyWindowInformationSequence


def _swapped(ds: pydicom.Dataset) -> None:
    for head in ds.DetectorInformationSequence:
        head.StartAngle = (head.StartAngle + 180) % 360


def _undated(ds: pydicom.Dataset) -> None:
    for element in [e for e in ds if e.VR in ("DA", "TM", "DT")]:
        del ds[element.tag]


@pytest.mark.parametrize(
    ("spoil", "do"),
    [
        (_without_windows, "give the images as NPZ + JSON with windows_kev"),
        (_swapped, "decide with --head-order (anterior_first or posterior_first)"),
        (_undated, "give the images as NPZ + JSON with acquired_at"),
    ],
)
def test_refusals_say_what_a_user_of_this_command_can_do(spoil, do: str, tmp_path: Path):
    """There is no config and no sheet whose keys and columns could decide."""
    path = _source(tmp_path)
    ds = pydicom.dcmread(path)
    spoil(ds)
    ds.save_as(path)
    with pytest.raises(InputError) as fault:
        calibrate(path, 50.0, START, CAMERA.name)
    assert str(fault.value).endswith(f"; {do}")


def test_what_the_importer_notes_reaches_the_user(tmp_path: Path, caplog):
    """How the views lie does not change their sums, so nothing is said or refused about it."""
    path = _source(tmp_path)
    assert calibrate(path, 50.0, START)["notes"] == [] and not caplog.records
    ds = pydicom.dcmread(path)
    ds.ImageType = ["DERIVED", *ds.ImageType[1:]]
    for item in ds.DetectorInformationSequence:
        del item.ImageOrientationPatient
    ds.save_as(path)
    notes = calibrate(path, 50.0, START)["notes"]
    assert notes == ["ImageType says DERIVED: are these the counts as they were acquired?"]
    assert f"calibrate --planar: {notes[0]}" in caplog.text
