"""Oblique and lateral views beside the pair in DICOM: told by their StartAngle, laid as each head sees them."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pydicom
import pytest
from imaging_scene import CAMERA, planar_pair

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


@pytest.mark.parametrize(
    ("edit", "says"),
    [(_mirrored, "view at 90 degrees has an image orientation"), (_all_beside, "no head stood in front or behind")],
)
def test_headers_that_cannot_be_used_are_named(tmp_path: Path, pair, edit, says: str):
    write_planar(tmp_path / "nm.dcm", pair, CAMERA)
    change(tmp_path / "nm.dcm", edit)
    with pytest.raises(InputError, match=says):
        read(tmp_path / "nm.dcm")


def test_a_view_of_another_visit_is_refused(tmp_path: Path, pair):
    alone = replace(pair, more=None)
    write_planar(tmp_path / "a.dcm", alone, CAMERA)
    write_planar(tmp_path / "b.dcm", replace(alone, acquired_at=pair.acquired_at + timedelta(hours=3)), CAMERA)

    def lateral(ds):
        ds.InstanceNumber = 2
        for item, angle in zip(ds.DetectorInformationSequence, (270, 90), strict=True):
            item.StartAngle, item.ViewCodeSequence = str(angle), []
            del item.ImageOrientationPatient

    change(tmp_path / "b.dcm", lateral)
    with pytest.raises(InputError, match="a view beside the pair acquired 180 min from it"):
        read(tmp_path)
