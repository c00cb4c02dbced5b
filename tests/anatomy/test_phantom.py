"""The parametric anatomy: volumes, sides, poses, reproducibility."""

import numpy as np
import pytest

from planardose.anatomy.corrupted import Corruption
from planardose.anatomy.materials import partial_density_from_hu
from planardose.anatomy.phantom import (
    PIVOT_MM,
    RANGE_ML,
    Phantom,
    Pose,
    density_of_hu,
    draw_phantom,
)
from planardose.anatomy.phantom_shapes import Ellipsoid, Tube
from planardose.image import Grid, Volume
from planardose.organs import label_of_name
from planardose.seeds import rng_for


def grid_of(phantom: Phantom, spacing_mm: float) -> Grid:
    low, high = phantom.extent_mm(15.0)
    shape = np.ceil((high - low) / spacing_mm).astype(int)
    return Grid.axis_aligned(tuple(shape.tolist()), spacing_mm, low + spacing_mm / 2)


@pytest.fixture(scope="module", params=[1, 2, 3])
def sampled(request):
    phantom = draw_phantom(rng_for(request.param, "test phantom"))
    grid = grid_of(phantom, 5.0)
    return phantom, grid, phantom.on_grid(grid)


def centre_mm(labels: np.ndarray, grid: Grid, name: str) -> np.ndarray:
    index = np.argwhere(labels == label_of_name()[name]).mean(axis=0)
    return grid.ras_from_voxel[:3, :3] @ index + grid.ras_from_voxel[:3, 3]


def test_organ_volumes_are_those_of_adults(sampled):
    _, grid, anatomy = sampled
    volume = {n: np.count_nonzero(anatomy.labels == k) * grid.voxel_ml for n, k in label_of_name().items()}
    assert 130 <= volume["kidney_left"] <= 190 and 130 <= volume["kidney_right"] <= 190
    assert 1250 <= volume["liver"] <= 2000
    assert RANGE_ML["spleen"][0] * 0.85 <= volume["spleen"] <= RANGE_ML["spleen"][1] * 1.15
    lungs = sum(v for k, v in volume.items() if k.startswith("lung"))
    assert 2500 <= lungs <= 6000
    assert 1100 <= volume["brain"] <= 1900
    for gland, (low, high) in (("parotid_gland", (14, 36)), ("submandibular_gland", (5, 16))):
        for side in ("left", "right"):
            assert low <= volume[f"{gland}_{side}"] <= high
    mass_kg = (density_of_hu(anatomy.hu) * anatomy.body).sum() * grid.voxel_ml / 1000
    assert 35 <= mass_kg <= 90  # without arms and lower legs
    for bone in ("vertebrae_L3", "vertebrae_T6", "rib_left_7", "hip_right", "femur_left", "skull", "sacrum", "sternum"):
        assert volume[bone] > 5


def test_only_the_thyroid_is_taken_for_an_organ_with_iodine(sampled):
    """The other organs keep the density of their CT numbers; the thyroid's comes near to the phantom's own."""
    _, grid, anatomy = sampled
    hu = anatomy.hu + np.random.default_rng(1).normal(0.0, 14.0, grid.shape)
    ct, labels = Volume(hu, grid, "CT number", "HU"), Volume(anatomy.labels, grid, "label", "1")
    corruption = Corruption(ct, labels)
    thyroid = label_of_name()["thyroid_gland"]
    assert list(np.flatnonzero(corruption.contrast)) == [thyroid] and corruption.notes == ()
    here = anatomy.labels == thyroid
    found = partial_density_from_hu(corruption.trusted_hu(hu[here], anatomy.labels[here])).sum(axis=0).mean()
    assert found == pytest.approx(density_of_hu(anatomy.hu[here]).mean(), rel=0.01)


def test_organs_lie_on_their_side(sampled):
    _, grid, anatomy = sampled
    at = {n: centre_mm(anatomy.labels, grid, n) for n in (
        "liver", "spleen", "kidney_right", "kidney_left", "heart", "urinary_bladder", "brain", "vertebrae_L3",
        "stomach", "parotid_gland_left", "submandibular_gland_right",
    )}  # fmt: skip
    assert at["liver"][0] > 20 and at["spleen"][0] < -60 and at["stomach"][0] < 0 and at["heart"][0] < 0
    assert at["kidney_right"][0] > 30 and at["kidney_left"][0] < -30
    assert at["kidney_right"][2] < at["kidney_left"][2]  # the liver pushes it down
    assert at["parotid_gland_left"][0] < 0 < at["submandibular_gland_right"][0]
    assert at["urinary_bladder"][2] < at["kidney_left"][2] < at["liver"][2] + 20 < at["heart"][2] + 20 < at["brain"][2]
    assert at["vertebrae_L3"][1] < at["urinary_bladder"][1]  # spine behind


def test_every_lesion_is_there_with_its_volume_and_a_host(sampled):
    phantom, grid, anatomy = sampled
    for lesion in phantom.lesions:
        inside = anatomy.labels == lesion.label
        assert inside.sum() * grid.voxel_ml == pytest.approx(lesion.volume_ml, rel=0.5, abs=1.0)
        assert (anatomy.host[inside] < 1000).all()
    assert sum(x.known for x in phantom.lesions) == 2 and len(phantom.lesions) == 5


def test_a_seed_gives_one_anatomy_and_another_seed_another():
    a, b, c = (draw_phantom(rng_for(n, "test phantom")) for n in (5, 5, 6))
    points = np.random.default_rng(0).uniform((-150, -100, -100), (150, 100, 880), (4000, 3))
    first, second, third = a.sample(points), b.sample(points), c.sample(points)
    assert np.array_equal(first.labels, second.labels) and np.array_equal(first.hu, second.hu)
    assert not np.array_equal(first.labels, third.labels)


def test_arms_are_optional():
    beside = np.array([[225.0, -12.0, 450.0]])
    for arms in (False, True):
        phantom = draw_phantom(rng_for(1, "test phantom"), arms=arms)
        assert bool(phantom.sample(beside * phantom.scale).body[0]) is arms


def test_too_many_lesions_are_refused():
    with pytest.raises(ValueError, match="at most 8"):
        draw_phantom(rng_for(1, "x"), known=5, hidden=4)


def test_a_pose_moves_the_patient_and_not_the_other_way_round():
    shift = Pose((10.0, -4.0, 20.0))
    assert shift.to_patient(np.array([[110.0, -4.0, 520.0]]))[0] == pytest.approx([100.0, 0.0, 500.0])
    turned = Pose(rotation_deg=(0.0, 90.0, 0.0))
    # about y, z goes to x: what was above the pivot is found beside it
    room = PIVOT_MM + turned.matrix() @ np.array([0.0, 0.0, 100.0])
    assert room == pytest.approx(PIVOT_MM + np.array([100.0, 0.0, 0.0]))
    assert turned.to_patient(room[None])[0] == pytest.approx(PIVOT_MM + np.array([0.0, 0.0, 100.0]))


def test_displaced_liver_is_found_where_the_pose_put_it():
    phantom = draw_phantom(rng_for(1, "test phantom"))
    grid = Grid.axis_aligned((40, 30, 40), 8.0, (-150.0, -120.0, 250.0))
    still, moved = (phantom.on_grid(grid, p).labels for p in (Pose(), Pose((16.0, 0.0, -24.0))))
    shift = centre_mm(moved, grid, "liver") - centre_mm(still, grid, "liver")
    assert shift == pytest.approx([16.0, 0.0, -24.0], abs=0.5)


def test_shapes_against_their_formulas():
    rng = np.random.default_rng(3)
    points = rng.uniform(-60, 60, (200_000, 3))
    ellipsoid = Ellipsoid((5.0, -3.0, 2.0), (30.0, 20.0, 40.0), 25.0)
    volume = ellipsoid.inside(points).mean() * 120**3
    assert volume == pytest.approx(4 / 3 * np.pi * 30 * 20 * 40, rel=0.02)
    assert ellipsoid.scaled(0.5).inside(points).mean() * 120**3 == pytest.approx(volume / 2, rel=0.03)
    tube = Tube(((-30.0, 0.0, 0.0), (30.0, 0.0, 0.0)), 12.0)
    capsule = np.pi * 12**2 * 60 + 4 / 3 * np.pi * 12**3
    assert tube.inside(points).mean() * 120**3 == pytest.approx(capsule, rel=0.02)
    for shape in (ellipsoid, tube):
        low, high = shape.bounds()
        inside = points[shape.inside(points)]
        assert (inside >= low - 1e-9).all() and (inside <= high + 1e-9).all()
