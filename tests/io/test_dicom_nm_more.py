"""Oblique and lateral views beside the pair in DICOM: told by their StartAngle, laid as each head sees them."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pydicom
import pytest
from imaging_scene import CAMERA, planar_pair

from planardose.config import Hand
from planardose.errors import InputError
from planardose.io.dicom_nm import write_planar
from planardose.io.planar_in import read_planar
from planardose.planar import MoreViews, PlanarPair

KEY, WHERE = "patients.P01.t24", "P01 t24 planar"
ANGLES = (45.0, 90.0, 225.0)


@pytest.fixture
def pair() -> PlanarPair:
    """A static pair with an oblique, a right lateral and another oblique view, all unlike each other."""
    pair = planar_pair(swept=False)
    shape = (len(ANGLES), *pair.counts.shape[1:])
    counts = np.random.default_rng(3).poisson(20.0, shape).astype(np.float32)
    return replace(pair, more=MoreViews(ANGLES, counts, (210.0, 230.0, 215.0)))


def read(path: Path):
    return read_planar(path, CAMERA, WHERE, key=KEY)


def change(path: Path, edit) -> None:
    ds = pydicom.dcmread(path)
    edit(ds)
    ds.save_as(path)


def test_round_trip(tmp_path: Path, pair):
    write_planar(tmp_path / "nm.dcm", pair, CAMERA)
    found = read(tmp_path / "nm.dcm")
    assert found.notes == ()
    np.testing.assert_array_equal(found.pair.counts, pair.counts)
    np.testing.assert_array_equal(found.pair.more.counts, pair.more.counts)
    assert found.pair.more.angles_deg == ANGLES and found.pair.more.distance_mm == pair.more.distance_mm


def test_angles_are_counted_from_the_back_to_the_left_in_dicom(tmp_path: Path, pair):
    write_planar(tmp_path / "nm.dcm", pair, CAMERA)
    items = pydicom.dcmread(tmp_path / "nm.dcm").DetectorInformationSequence
    assert [float(i.StartAngle) for i in items] == [180.0, 0.0, 225.0, 270.0, 45.0]
    # at the patient's right the columns grow from back to front: -y in LPS
    assert [float(x) for x in items[3].ImageOrientationPatient] == [0, -1, 0, 0, 0, -1]


def test_views_of_a_second_run_of_the_heads_join_the_pair(tmp_path: Path, pair):
    alone, at = replace(pair, more=None), pair.acquired_at + timedelta(minutes=20)
    write_planar(tmp_path / "a.dcm", alone, CAMERA)
    write_planar(tmp_path / "b.dcm", replace(alone, counts=pair.more.counts[[0, 2]], acquired_at=at), CAMERA)

    def oblique(ds):
        ds.InstanceNumber = 2
        for item, angle in zip(ds.DetectorInformationSequence, (225, 45), strict=True):
            item.StartAngle, item.ViewCodeSequence = str(angle), []
            del item.ImageOrientationPatient

    change(tmp_path / "b.dcm", oblique)
    found = read(tmp_path)
    assert found.pair.more.angles_deg == (45.0, 225.0)
    np.testing.assert_array_equal(found.pair.more.counts, pair.more.counts[[0, 2]])
    assert found.pair.acquired_at == pair.acquired_at
    assert "views beside the pair started 20 min from it: taken as simultaneous" in found.notes
    assert sum("no image orientation" in n for n in found.notes) == 2


def test_a_view_turned_in_its_plane_is_turned_back(tmp_path: Path, pair):
    write_planar(tmp_path / "nm.dcm", pair, CAMERA)

    def turned(ds):
        frames = ds.pixel_array.copy()
        third = np.array(ds.DetectorVector) == 3
        frames[third] = frames[third][:, ::-1, ::-1]
        ds.PixelData = np.ascontiguousarray(frames).tobytes()
        item = ds.DetectorInformationSequence[2]
        item.ImageOrientationPatient = [-float(x) for x in item.ImageOrientationPatient]

    change(tmp_path / "nm.dcm", turned)
    np.testing.assert_array_equal(read(tmp_path / "nm.dcm").pair.more.counts, pair.more.counts)


def _mirrored(ds):
    item = ds.DetectorInformationSequence[3]
    item.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]


def _all_beside(ds):
    for item in ds.DetectorInformationSequence:
        item.StartAngle = "270"


def _coded(ds):
    pair, other = ds.DetectorInformationSequence[0], ds.DetectorInformationSequence[3]
    other.ViewCodeSequence = pair.ViewCodeSequence


def _nowhere(ds):
    ds.DetectorInformationSequence[2].StartAngle = "nan"


def _below_zero(ds):
    ds.RescaleIntercept, ds.RescaleSlope = "-200", "1"


def _empty(ds):
    frames = ds.pixel_array.copy()
    frames[np.array(ds.DetectorVector) == 4] = 0
    ds.PixelData = frames.tobytes()


def _twice(ds):
    first, last = ds.DetectorInformationSequence[2], ds.DetectorInformationSequence[4]
    last.StartAngle, last.ImageOrientationPatient = first.StartAngle, first.ImageOrientationPatient


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (_mirrored, "view at 90 degrees has an image orientation"),
        (_all_beside, "heads at StartAngle 270, 270, 270, 270, 270: no pair"),
        (_coded, "StartAngle 270 puts head 4 beside the pair, its code says anterior"),
        (_nowhere, "StartAngle is not understood"),
        (_below_zero, "negative counts"),
        (_empty, "the view at 90 degrees has a frame without counts"),
        (_twice, "the view at 45 degrees has several frames"),
    ],
)
def test_headers_that_cannot_be_used_are_named(tmp_path: Path, pair, edit, says: str):
    write_planar(tmp_path / "nm.dcm", pair, CAMERA)
    change(tmp_path / "nm.dcm", edit)
    with pytest.raises(InputError, match=says):
        read(tmp_path / "nm.dcm")


def test_by_hand_two_heads_at_the_sides_are_the_pair(tmp_path: Path, pair):
    write_planar(tmp_path / "nm.dcm", replace(pair, more=None), CAMERA)

    def turned(ds):
        for item, angle in zip(ds.DetectorInformationSequence, ("270", "90"), strict=True):
            item.StartAngle = angle

    change(tmp_path / "nm.dcm", turned)
    with pytest.raises(InputError, match=r"no pair from front and back.*head_order"):
        read(tmp_path / "nm.dcm")
    found = read_planar(tmp_path / "nm.dcm", CAMERA, WHERE, Hand(head_order="anterior_first"), KEY)
    assert found.pair.more is None and "head_order anterior_first by hand, against the header" in found.notes


def test_views_at_thirty_degrees_are_oblique_beside_a_pair_at_none(tmp_path: Path, pair):
    near = replace(pair, more=replace(pair.more, angles_deg=(30.0, 90.0, 210.0)))
    write_planar(tmp_path / "nm.dcm", near, CAMERA)
    found = read(tmp_path / "nm.dcm").pair
    np.testing.assert_array_equal(found.counts, pair.counts)
    assert found.more.angles_deg == (30.0, 90.0, 210.0)


def test_one_orientation_for_all_heads_is_not_believed(tmp_path: Path, pair):
    """As real two-detector statics have it."""
    write_planar(tmp_path / "nm.dcm", pair, CAMERA)

    def silent(ds):
        for item in ds.DetectorInformationSequence:
            item.ImageOrientationPatient = [-1, 0, 0, 0, 0, -1]

    change(tmp_path / "nm.dcm", silent)
    found = read(tmp_path / "nm.dcm")
    np.testing.assert_array_equal(found.pair.more.counts, pair.more.counts)
    assert sum("no image orientation to go by" in n for n in found.notes) == len(ANGLES)


def test_a_swept_view_beside_a_static_pair_is_refused(tmp_path: Path, pair):
    write_planar(tmp_path / "a.dcm", replace(pair, more=None), CAMERA)
    write_planar(tmp_path / "b.dcm", replace(planar_pair(), exposure_s=pair.exposure_s), CAMERA)
    change(tmp_path / "b.dcm", _lateral)
    with pytest.raises(InputError, match="static and swept images together"):
        read(tmp_path)


def _lateral(ds):
    ds.InstanceNumber = 2
    for item, angle in zip(ds.DetectorInformationSequence, (270, 90), strict=True):
        item.StartAngle, item.ViewCodeSequence = str(angle), []
        del item.ImageOrientationPatient


def test_a_view_of_another_visit_is_refused(tmp_path: Path, pair):
    alone = replace(pair, more=None)
    write_planar(tmp_path / "a.dcm", alone, CAMERA)
    write_planar(tmp_path / "b.dcm", replace(alone, acquired_at=pair.acquired_at + timedelta(hours=3)), CAMERA)
    change(tmp_path / "b.dcm", _lateral)
    with pytest.raises(InputError, match="a view beside the pair acquired 180 min from it"):
        read(tmp_path)
