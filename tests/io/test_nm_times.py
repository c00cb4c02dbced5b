"""When and how long an NM image was acquired, as headers tell it."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pydicom
import pytest
from imaging_scene import CAMERA, planar_pair
from pydicom.dataset import Dataset

from planardose.config import Hand
from planardose.errors import InputError
from planardose.io.dicom_nm import write_planar
from planardose.io.dicom_times import datetime_of, odd_source_of_start
from planardose.io.planar_in import read_planar

KEY = "patients.P01.t24"
WHERE = "P01 t24 planar"


def test_sweep_times_come_from_velocity_not_from_frame_duration(edited):
    def change(ds):
        ds.ScanVelocity, ds.ScanLength, ds.ActualFrameDuration = "1.671598", 1899, 1210434

    back = edited(change).pair
    assert back.exposure_s == pytest.approx(387.0 / 1.671598)
    assert back.duration_s == pytest.approx(1136.04, abs=0.01)


def test_two_passes_beside_each_other_take_twice_as_long_and_each_point_is_seen_once(edited, pair):
    def change(ds):
        ds.WholeBodyTechnique, ds.ActualFrameDuration = "2PS", 2 * int(ds.ActualFrameDuration)

    back = edited(change).pair
    assert back.duration_s == pytest.approx(2 * pair.duration_s, abs=0.5)
    assert back.exposure_s == pytest.approx(pair.exposure_s)


def test_a_multiple_static_technique_is_no_sweep(edited):
    def change(ds):
        ds.WholeBodyTechnique = "MSP"

    with pytest.raises(InputError, match="MSP is no continuous sweep"):
        edited(change)


def test_a_whole_body_technique_may_stand_there_twice(edited, pair):
    assert edited(lambda ds: setattr(ds, "WholeBodyTechnique", ["1PS", "1PS"])).pair.duration_s == pair.duration_s
    with pytest.raises(InputError, match=r"1PS.2PS is no continuous sweep"):
        edited(lambda ds: setattr(ds, "WholeBodyTechnique", ["2PS", "1PS"]))


def test_a_number_that_stands_there_for_every_head_is_one_number(edited, pair):
    def change(ds):
        for name in ("ScanVelocity", "ScanLength", "ActualFrameDuration"):
            setattr(ds, name, [ds[name].value] * 2)
        for item in ds.DetectorInformationSequence:
            item.StartAngle = [item.StartAngle] * 2

    found = edited(change).pair
    assert found.exposure_s == pytest.approx(pair.exposure_s)
    assert found.duration_s == pytest.approx(pair.duration_s, abs=0.5)
    np.testing.assert_array_equal(found.counts, pair.counts)
    with pytest.raises(InputError, match="ScanVelocity has 2 different values; expected one number"):
        edited(lambda ds: setattr(ds, "ScanVelocity", ["2.0", "2.5"]))
    with pytest.raises(InputError, match="ScanVelocity is not understood"):
        edited(lambda ds: ds.add_new("ScanVelocity", "LO", "2,0"))


def test_a_velocity_that_nothing_checks_or_that_is_slow_is_noted(edited):
    def change(ds):
        ds.ScanVelocity, ds.ActualFrameDuration = "0.267", None

    notes = edited(change).notes
    assert "no ActualFrameDuration in the header: nothing checks ScanVelocity 0.267 mm/s" in notes
    assert "ScanVelocity 0.267 mm/s is slow: is it in cm/s?" in notes


@pytest.mark.parametrize(("factor", "told"), [(0.7, True), (0.95, False), (1.4, False), (1.8, True)])
def test_a_duration_that_travel_and_field_do_not_explain_is_noted(factor: float, told: bool, edited, pair):
    found = edited(lambda ds: setattr(ds, "ActualFrameDuration", round(1000 * factor * pair.duration_s)))
    assert found.pair.duration_s == pytest.approx(pair.duration_s, abs=0.5)
    assert any(f"ActualFrameDuration says {factor * pair.duration_s:.0f} s: check" in n for n in found.notes) == told


@pytest.mark.parametrize(
    ("tags", "swept"),
    [
        ({"ScanVelocity": "2"}, False),
        ({"ScanVelocity": "2", "ScanLength": 1000}, False),
        ({"ScanVelocity": "2", "ScanLength": 250}, True),  # 125 s, as ActualFrameDuration
        ({"ScanVelocity": "2", "ScanLength": 400, "WholeBodyTechnique": "1PS"}, True),
        ({"WholeBodyTechnique": "1PS"}, False),
    ],
)
def test_a_velocity_alone_does_not_make_a_static_image_a_sweep(tags: dict, swept: bool, edited):
    still = replace(planar_pair(swept=False), exposure_s=120.0, duration_s=120.0)
    found = edited(lambda ds: [setattr(ds, name, value) for name, value in tags.items()], start=still)
    assert found.pair.exposure_s == pytest.approx(CAMERA.field_mm[0] / 2 if swept else 120.0)
    assert any("is not used" in note for note in found.notes) == (not swept and "ScanVelocity" in tags)


def test_seconds_per_row_by_hand_where_the_header_tells_no_speed_or_a_wrong_one(edited, pair):
    hand = Hand(seconds_per_row=pair.exposure_s)
    start = replace(pair, counts=np.concatenate([pair.counts, np.zeros_like(pair.counts), pair.counts], axis=-2))
    matrix_s = start.counts.shape[-2] * pair.pixel_mm[0] / CAMERA.field_mm[0] * pair.exposure_s

    def silent(ds):
        del ds.ScanVelocity

    def still(ds):
        del ds.ScanVelocity, ds.ScanLength, ds.WholeBodyTechnique
        ds.ImageType = ["ORIGINAL", "PRIMARY", "STATIC", "EMISSION"]

    def wrong(ds):
        ds.ScanVelocity, ds.ActualFrameDuration = "12", 60000

    for change, duration_s in ((silent, pair.duration_s), (still, matrix_s), (wrong, pair.duration_s)):
        found = edited(change, hand, start)
        assert found.pair.exposure_s == pair.exposure_s and found.pair.is_swept
        assert found.pair.duration_s == pytest.approx(duration_s)
        assert f"seconds_per_row {pair.exposure_s:g} by hand" in found.notes
        assert any("ActualFrameDuration says 60 s" in note for note in found.notes) == (change is wrong)


@pytest.mark.parametrize(
    ("tags", "at", "odd"),
    [
        ({"AcquisitionDateTime": "202603041930"}, datetime(2026, 3, 4, 19, 30), ""),
        ({"AcquisitionDate": "20260304", "AcquisitionTime": "0919"}, datetime(2026, 3, 4, 9, 19), ""),
        ({"AcquisitionDate": "2026.03.04", "AcquisitionTime": "091905.1234567"},
         datetime(2026, 3, 4, 9, 19, 5, 123456), ""),
        ({"AcquisitionDate": "20260304", "AcquisitionTime": "09"}, None, ""),  # the hour alone
        ({"AcquisitionDateTime": "20260304", "AcquisitionDate": "20260304", "AcquisitionTime": "091905"},
         datetime(2026, 3, 4, 9, 19, 5), ""),
        ({"AcquisitionTime": "091905", "SeriesDate": "20260304", "ContentDate": "20260306", "ContentTime": "120000"},
         datetime(2026, 3, 4, 9, 19, 5), "SeriesDate and AcquisitionTime"),
        ({"ContentDate": "20260306", "ContentTime": "1200"}, datetime(2026, 3, 6, 12), "ContentDate and ContentTime"),
        ({"AcquisitionDate": "20261304", "AcquisitionTime": "091905"}, None, ""),
    ],
)  # fmt: skip
def test_the_start_as_headers_write_it(tags, at, odd):
    ds = Dataset()
    for name, value in tags.items():
        setattr(ds, name, value)
    assert (datetime_of(ds), odd_source_of_start(ds)) == (at, odd)


def test_two_starts_of_an_acquisition_that_disagree(tmp_path: Path, pair):
    """As an anonymiser leaves them that shifts dates, but no date-times."""
    at = pair.acquired_at

    def read(stamp: str, acquired_at=None, offset: str = ""):
        write_planar(tmp_path / "nm.dcm", pair, CAMERA)
        ds = pydicom.dcmread(tmp_path / "nm.dcm")
        ds.AcquisitionDateTime, ds.TimezoneOffsetFromUTC = stamp, offset
        ds.save_as(tmp_path / "nm.dcm")
        return read_planar(tmp_path / "nm.dcm", CAMERA, WHERE, key=KEY, acquired_at=acquired_at)

    days = (at + timedelta(days=17)).strftime("%Y%m%d%H%M%S")
    with pytest.raises(InputError, match=r"AcquisitionDateTime is 408 h from AcquisitionDate .* column acquired_at"):
        read(days)
    assert not any("AcquisitionDateTime" in n for n in read(days, at).notes)
    told = "AcquisitionDateTime is 10 min from AcquisitionDate and AcquisitionTime: the former is taken"
    assert told in read((at + timedelta(minutes=10)).strftime("%Y%m%d%H%M%S")).notes
    in_utc = (at - timedelta(hours=2)).strftime("%Y%m%d%H%M%S+0000")
    assert not any("AcquisitionDateTime" in n for n in (*read(in_utc).notes, *read(in_utc, None, "+0200").notes))


def test_a_header_without_time_needs_the_sheet(tmp_path: Path, pair):
    write_planar(tmp_path / "nm.dcm", pair, CAMERA)
    ds = pydicom.dcmread(tmp_path / "nm.dcm")
    for stem in ("Acquisition", "Content", "Series"):
        setattr(ds, f"{stem}Date", "")
    ds.save_as(tmp_path / "nm.dcm")
    with pytest.raises(InputError, match="acquired_at"):
        read_planar(tmp_path / "nm.dcm", CAMERA, WHERE)
    at = datetime(2026, 3, 4, 12)
    assert read_planar(tmp_path / "nm.dcm", CAMERA, WHERE, acquired_at=at).pair.acquired_at == at
