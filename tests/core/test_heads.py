"""Where heads stand and look, and where the faces of a pair lie beside a body."""

import numpy as np
import pytest

from planardose.errors import InputError
from planardose.heads import DEFAULT_GAP_MM, Head, face_positions_mm, opposed_heads
from planardose.image import Grid
from planardose.patient_model import PatientModel


@pytest.fixture
def slab() -> PatientModel:
    """A body from y = -105 to 95 mm, whose axis lies at -5 mm."""
    grid = Grid.axis_aligned((3, 30, 4), 10.0, (-10.0, -150.0, 0.0))
    y = grid.axis_mm(1)
    body = np.ones(grid.shape) * ((y > -105.0) & (y < 95.0))[None, :, None]
    density = np.zeros((3, *grid.shape), dtype=np.float32)
    density[1] = body
    return PatientModel(grid, ("remainder",), body[None].astype(np.float32), density)


@pytest.mark.parametrize(
    ("angle", "normal"), [(0.0, (0, 1, 0)), (90.0, (1, 0, 0)), (180.0, (0, -1, 0)), (270.0, (-1, 0, 0))]
)
def test_heads_stand_in_front_at_the_right_behind_and_at_the_left(angle, normal):
    """In RAS +x is the patient's right, +y the front."""
    assert Head(angle, 200.0).normal == pytest.approx(np.array(normal, dtype=float))


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 135.0, 180.0, 200.0, 270.0, 300.0])
def test_columns_run_across_the_line_of_sight_to_the_patients_right(angle):
    head = Head(angle, 200.0)
    assert head.tangent @ head.normal == pytest.approx(0.0, abs=1e-12)
    assert np.linalg.norm(head.tangent) == pytest.approx(1.0) and head.tangent[2] == 0.0
    if angle not in (90.0, 270.0):  # those see x end on
        assert head.tangent[0] > 0


def test_faces_stand_as_far_from_the_bodys_axis_as_told(slab):
    assert face_positions_mm(slab, (150.0, 120.0)) == pytest.approx((-5.0 + 150.0, -5.0 - 120.0))
    anterior, posterior = opposed_heads((145.0, -125.0), 1.5)
    assert (anterior.distance_mm, posterior.distance_mm) == (145.0, 125.0)
    assert (anterior.aluminium_mm, posterior.aluminium_mm) == (0.0, 1.5)


def test_without_distances_the_couch_keeps_the_posterior_face_farther_off(slab):
    front, back = face_positions_mm(slab, None)
    assert (front - 95.0, -105.0 - back) == pytest.approx(DEFAULT_GAP_MM) and front - 95.0 < -105.0 - back


def test_a_face_inside_the_body_is_moved_to_its_surface_and_the_other_with_it(slab):
    """Told from a centre of rotation that is not the body's axis: the faces stay as far apart."""
    assert face_positions_mm(slab, (80.0, 160.0)) == pytest.approx((95.0, 95.0 - 240.0))
    assert face_positions_mm(slab, (160.0, 80.0)) == pytest.approx((-105.0 + 240.0, -105.0))
    with pytest.raises(InputError, match="put the collimators inside the body; expected a sum of at least 200 mm"):
        face_positions_mm(slab, (90.0, 90.0))
