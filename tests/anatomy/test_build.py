"""The patient model against slow loops, conservation, and a real CT."""

import csv
import itertools
import logging
from dataclasses import replace

import numpy as np
import pytest

from planardose.anatomy.body import body_mask
from planardose.anatomy.build import build_model
from planardose.anatomy.materials import partial_density_from_hu
from planardose.anatomy.orient import closest_ras, onto, reindexed
from planardose.anatomy.pushing import Pusher
from planardose.errors import InputError
from planardose.image import Grid, Volume
from planardose.organs import OUTSIDE_CT, label_of_name, source_of_label
from planardose.patient_model import PatientModel

TILT = np.deg2rad(17.0)
TILTED = np.array([[1, 0, 0], [0, np.cos(TILT), -np.sin(TILT)], [0, np.sin(TILT), np.cos(TILT)]])


def centres_mm(grid: Grid) -> np.ndarray:
    """(3, I, J, K) RAS mm of voxel centres."""
    index = np.indices(grid.shape).reshape(3, -1)
    world = grid.ras_from_voxel[:3, :3] @ index + grid.ras_from_voxel[:3, 3:]
    return world.reshape(3, *grid.shape)


def phantom(grid: Grid, length_mm: float = 90.0) -> tuple[Volume, Volume]:
    """Elliptic trunk, half axes 130 and 90 mm, half length `length_mm`, with two spheres: liver and lung."""
    x, y, z = centres_mm(grid)
    hu = np.full(grid.shape, -1000, dtype=np.int16)
    label = np.zeros(grid.shape, dtype=np.int16)
    hu[((x / 130) ** 2 + (y / 90) ** 2 < 1) & (np.abs(z) < length_mm)] = 20
    for centre, number, value in (((-50, 10, 5), 5, 60), ((55, 0, -10), 10, -800)):
        ball = sum((a - c) ** 2 for a, c in zip((x, y, z), centre, strict=True)) < 40**2
        hu[ball], label[ball] = value, number
    return Volume(hu, grid, "CT number", "HU"), Volume(label, grid, "label", "1")


def ct_grid(rotation: np.ndarray, spacing=(4.1, 3.7, 5.3), shape=(80, 70, 60)) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag(spacing)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


def slow_share(source: Grid, target: Grid) -> np.ndarray:
    """(source voxels..., target voxels...) share of each target voxel covered by each source voxel, both along RAS."""
    axes = []
    for a in range(3):
        step, size = source.ras_from_voxel[a, a], target.spacing_mm[a]
        overlap = np.zeros((source.shape[a], target.shape[a]))
        for i, t in itertools.product(range(source.shape[a]), range(target.shape[a])):
            x, y = source.axis_mm(a)[i], target.axis_mm(a)[t]
            overlap[i, t] = max(0, min(x + abs(step) / 2, y + size / 2) - max(x - abs(step) / 2, y - size / 2)) / size
        axes.append(overlap)
    return np.einsum("ai,bj,ck->abcijk", *axes)


@pytest.mark.parametrize("spacing", [(1.0, 0.7, 1.3), (3.7, 9.1, 4.0), (4.0, 4.0, 2.0)])
def test_pushing_is_the_exact_overlap(spacing):
    source = Grid.axis_aligned((6, 5, 4), spacing, (-3.3, 1.7, 0.2))
    target = Grid.axis_aligned((9, 12, 8), 4.0, (-6.0, -4.0, -8.0))
    expected = slow_share(source, target)
    pusher = Pusher(source, target)
    found = np.zeros_like(expected)
    i, j = (x.ravel() for x in np.indices((6, 5)))
    for k in range(4):
        voxel, cell, weight = pusher.slice_parts(i, j, k)
        np.add.at(found, (i[voxel], j[voxel], k, *cell), weight)
    assert np.abs(found - expected).max() < 1e-12


def other_order(grid: Grid, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Grid:
    """The same voxel centres: new axis n is the old axis ``axes[n]``, from its far end where ``flips[n]``."""
    affine, shape = grid.ras_from_voxel.copy(), tuple(grid.shape[a] for a in axes)
    for new, (old, flip) in enumerate(zip(axes, flips, strict=True)):
        step = grid.ras_from_voxel[:3, old]
        affine[:3, new] = -step if flip else step
        affine[:3, 3] += step * (grid.shape[old] - 1) * flip
    return Grid(shape, affine)


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
def test_any_axis_order_and_direction_gives_the_same_model(axes):
    grid = ct_grid(np.eye(3))
    reference = build_model(*phantom(grid), 10.0)
    for flips in ((True, False, False), (False, True, True)):
        model = build_model(*phantom(other_order(grid, axes, flips)), 10.0)
        assert model.organs == reference.organs and model.grid.same_as(reference.grid)
        assert np.array_equal(model.fractions, reference.fractions)
        assert np.array_equal(model.partial_density, reference.partial_density)



@pytest.mark.parametrize("radius_mm", [7.8, 13.4])  # 2 and 10 mL
def test_mass_of_tissue_in_lung_is_that_of_the_ct(radius_mm: float, tmp_path):
    """In voxels of 10 mm its density is mixed with the lung's: shared by volume, 2 mL would have half their mass."""
    ct, labels = phantom(ct_grid(np.eye(3), (2.0, 2.0, 2.0), (136, 96, 96)))
    x, y, z = centres_mm(ct.grid)
    ball = (x - 57) ** 2 + (y - 2) ** 2 + (z + 12) ** 2 < radius_mm**2
    ct.data[ball], labels.data[ball] = 40, 1001
    model = build_model(ct, labels, 10.0)
    density = partial_density_from_hu(ct.data).sum(axis=0)
    masses = dict(zip(model.organs, model.masses_g(), strict=True))
    for organ, value in (("lesion_1", 1001), ("lungs", 10)):
        assert masses[organ] == pytest.approx(density[labels.data == value].sum() * ct.grid.voxel_ml, rel=1e-5)
    model.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(PatientModel.load(tmp_path / "model.npz").masses_g(), model.masses_g())
    shared = dict(zip(model.organs, replace(model, mass_g=None).masses_g(), strict=True))
    assert shared["lesion_1"] < 0.8 * masses["lesion_1"]


@pytest.mark.parametrize(
    "rotation", [np.eye(3), TILTED, TILTED @ np.diag([-1, 1, -1])], ids=["straight", "tilted", "flipped"]
)
def test_volume_mass_and_place_are_kept(rotation):
    ct, labels = phantom(ct_grid(rotation))
    model = build_model(ct, labels, 10.0)
    assert model.organs == ("liver", "lungs", "remainder") and model.margin == (0, 0)
    x, y, z = (model.grid.axis_mm(a) for a in range(3))
    for n, number in enumerate((5, 10)):
        inside = labels.data == number
        assert model.volumes_ml()[n] == pytest.approx(inside.sum() * ct.grid.voxel_ml, rel=1e-5)
        f = model.fractions[n]
        found = [np.average(c, weights=f.sum(axis=o)) for c, o in ((x, (1, 2)), (y, (0, 2)), (z, (0, 1)))]
        # a voxel of 10 mm does not know where in it a part lies, so the centre is kept to a fraction of a millimetre
        assert found == pytest.approx(list(centres_mm(ct.grid)[:, inside].mean(axis=1)), abs=0.3)
    body = ct.data > -900
    mass = partial_density_from_hu(ct.data[body]).sum(dtype=np.float64) * ct.grid.voxel_ml
    assert model.density.sum(dtype=np.float64) * model.grid.voxel_ml == pytest.approx(mass, rel=1e-5)
    assert model.fractions.sum(axis=0).max() < 1.02
    assert model.masses_g().sum() == pytest.approx(mass, rel=1e-4)


def test_couch_goes_and_holes_are_body():
    grid = ct_grid(np.eye(3), spacing=(2.0, 2.0, 4.0), shape=(160, 160, 30))
    ct, _ = phantom(grid, length_mm=1000)
    trunk = ct.data > -1000
    x, y, _ = centres_mm(grid)
    hu = ct.data.copy()
    hu[(np.abs(x) < 140) & (np.abs(y + 94) < 3)] = 100  # sheet of the couch, touching the back
    hu[(x - 55) ** 2 + y**2 < 20**2] = -1000  # bowel gas
    found = body_mask(Volume(hu, grid, "CT number", "HU"))
    assert found[trunk].all()
    assert (found & ~trunk).sum() < 0.02 * trunk.sum()  # where the couch touches


def test_margin_where_the_body_leaves_the_ct():
    grid = ct_grid(np.eye(3))  # 318 mm: two faces do not both lie on slices of 10 mm
    ct, labels = phantom(grid, length_mm=1000)
    model = build_model(ct, labels, 10.0)
    assert model.organs[-2:] == ("remainder", OUTSIDE_CT) and model.margin == (10, 10)
    low, high = model.ct_grid.bounds_mm()
    assert low[2] == pytest.approx(grid.bounds_mm()[0][2]) and 0 <= high[2] - grid.bounds_mm()[1][2] < 10
    outside = model.fractions[-1]
    assert outside[:, :, model.ct_slices].sum(axis=(0, 1))[:-1].max() == 0
    body = model.fractions.sum(axis=0)
    assert np.allclose(body[:, :, 0], body[:, :, 10], atol=1e-5)
    assert np.allclose(body[:, :, -1], body[:, :, -11], atol=1e-5)
    assert np.allclose(model.density[:, :, -11], model.density[:, :, -1], atol=1e-5)
    assert np.array_equal(outside[:, :, :10].sum(axis=(0, 1)) > 0, np.ones(10, dtype=bool))
    kept = model.volumes_ml()[:-1].sum()
    assert kept == pytest.approx((ct.data > -900).sum() * grid.voxel_ml, rel=1e-5)


def test_margin_only_where_it_is_needed():
    grid = ct_grid(np.eye(3))
    x, y, z = centres_mm(grid)
    hu = np.where(((x / 130) ** 2 + (y / 90) ** 2 < 1) & (z < 60), 20, -1000).astype(np.int16)
    model = build_model(Volume(hu, grid, "CT number", "HU"), Volume(np.zeros_like(hu), grid, "label", "1"), 10.0)
    assert model.margin == (10, 0) and model.organs == ("remainder", OUTSIDE_CT)


def test_contrast_and_metal_take_the_organs_density(caplog):
    ct, labels = phantom(ct_grid(np.eye(3)))
    hu, label = ct.data.copy(), labels.data.copy()
    liver = np.argwhere(label == 5)
    hu[tuple(liver[::2].T)] = 300
    hu[40, 35, 30] = 3071
    with caplog.at_level(logging.WARNING):
        corrupted = Volume(hu, ct.grid, "CT number", "HU")
        notes = []
        model = build_model(corrupted, Volume(label, ct.grid, "label", "1"), 10.0, "P01 ct", notes)
    assert all(f"P01 ct: {note}" in caplog.text for note in notes) and len(notes) == 2
    assert "P01 ct: contrast medium in liver" in caplog.text and "1 voxels above 2500 HU taken as metal" in caplog.text
    assert model.masses_g()[0] / model.volumes_ml()[0] == pytest.approx(1.05, abs=0.002)
    assert model.density.max() < 1.1


@pytest.mark.parametrize(("organ", "own"), [(5, 1.05), (1, 1.06), (2, 1.05), (51, 1.06), (17, 1.05)])
def test_weak_enhancement_takes_the_organs_density_too(organ: int, own: float, caplog):
    """A portal venous liver has 100 to 120 HU, which the calibration takes for 1.08 to 1.12 g/mL, in part bone."""
    ct, labels = phantom(ct_grid(np.eye(3)))
    labels = Volume(np.where(labels.data == 5, organ, labels.data), ct.grid, "label", "1")
    noise = np.random.default_rng(3).normal(0.0, 12.0, ct.grid.shape)

    def built(hu: float) -> PatientModel:
        caplog.clear()
        enhanced = np.where(labels.data == organ, hu + noise, ct.data)
        return build_model(Volume(enhanced, ct.grid, "CT number", "HU"), labels, 10.0, "P01 ct")

    for hu in (85.0, 110.0):
        model = built(hu)
        n = model.organs.index(source_of_label()[organ])
        assert model.masses_g()[n] / model.volumes_ml()[n] == pytest.approx(own, abs=0.002)
        assert model.partial_density[2, model.fractions[n] > 0.999].max() == 0  # no bone
        assert ("contrast medium in" in caplog.text) == (organ != 17)  # the thyroid's own iodine
    plain = partial_density_from_hu(np.array(65.0)).sum()
    model = built(65.0)
    assert model.masses_g()[n] / model.volumes_ml()[n] == pytest.approx(plain, abs=0.003) and not caplog.text


@pytest.mark.parametrize(
    ("part", "hu"), [("hard_palate", 400), ("eye_lens_left", 90), ("eye_lens_right", 90), ("auditory_canal_left", 200)]
)
def test_what_is_dense_by_itself_is_no_contrast_medium(part: str, hu: int):
    """TotalSegmentator outlines them in every CT of a head."""
    ct, labels = phantom(ct_grid(np.eye(3)))
    labels = Volume(np.where(labels.data == 5, label_of_name()[part], labels.data), ct.grid, "label", "1")
    ct = Volume(np.where(labels.data == label_of_name()[part], hu, ct.data), ct.grid, "CT number", "HU")
    notes = []
    model = build_model(ct, labels, 10.0, notes=notes)
    assert notes == []
    assert model.density.max() == pytest.approx(partial_density_from_hu(np.array(float(hu))).sum(), abs=1e-3)


def test_gas_beside_contrast_medium_stays_gas():
    ct, labels = phantom(ct_grid(np.eye(3)))
    labels = Volume(np.where(labels.data == 5, 20, labels.data), ct.grid, "label", "1")
    hu, colon = ct.data.copy(), np.argwhere(labels.data == 20)
    third = len(colon) // 3
    hu[tuple(colon[:third].T)], hu[tuple(colon[third:].T)] = -900, 250
    model = build_model(Volume(hu, ct.grid, "CT number", "HU"), labels, 10.0)
    gas = partial_density_from_hu(np.array(-900.0)).sum()
    n = model.organs.index("colon")
    assert model.masses_g()[n] / model.volumes_ml()[n] == pytest.approx(gas / 3 + 2 * 1.05 / 3, abs=0.003)


def test_a_kidneys_cyst_is_not_of_the_kidney():
    """A cyst takes up nothing: with it the kidney's mass would be too high, and its dose too low."""
    ct, labels = phantom(ct_grid(np.eye(3)))
    for kidney, cyst in ((2, 24), (3, 23)):
        label = np.where(labels.data == 5, kidney, labels.data)
        inside = np.flatnonzero(label == kidney)
        without = build_model(ct, Volume(label, ct.grid, "label", "1"), 10.0)
        label[np.unravel_index(inside[: len(inside) // 4], label.shape)] = cyst
        model = build_model(ct, Volume(label, ct.grid, "label", "1"), 10.0)
        assert model.organs == without.organs == (source_of_label()[kidney], "lungs", "remainder")
        assert model.masses_g()[0] == pytest.approx(0.75 * without.masses_g()[0], rel=1e-3)
        assert model.masses_g().sum() == pytest.approx(without.masses_g().sum())


def test_lesions_are_organs_of_their_own():
    ct, labels = phantom(ct_grid(np.eye(3)))
    label = labels.data.copy()
    label[np.unravel_index(np.flatnonzero(label == 5)[:100], label.shape)] = 1002
    model = build_model(ct, Volume(label, ct.grid, "label", "1"), 10.0)
    assert model.organs == ("liver", "lungs", "lesion_2", "remainder")
    assert model.volumes_ml()[2] == pytest.approx(100 * ct.grid.voxel_ml, rel=1e-5)


def test_faults():
    ct, labels = phantom(ct_grid(np.eye(3)))
    wrong = Volume(np.where(labels.data == 5, 199, 0).astype(np.int16), ct.grid, "label", "1")
    with pytest.raises(InputError, match=r"P01 ct: label 199 is not known"):
        build_model(ct, wrong, 10.0, "P01 ct")
    air = Volume(np.full_like(ct.data, -1000), ct.grid, "CT number", "HU")
    with pytest.raises(InputError, match="no body found"):
        build_model(air, Volume(np.zeros_like(labels.data), ct.grid, "label", "1"), 10.0)


def test_labels_out_of_the_body(caplog):
    ct, labels = phantom(ct_grid(np.eye(3)))
    with pytest.raises(InputError, match=r"% of the labelled voxels lie outside the body"):
        build_model(ct, Volume(np.roll(labels.data, 25, axis=0), ct.grid, "label", "1"), 10.0)
    label = labels.data.copy()
    label[:, 0][np.unravel_index(np.arange(labels.data.astype(bool).sum() // 20), label[:, 0].shape)] = 5
    with caplog.at_level(logging.WARNING):
        build_model(ct, Volume(label, ct.grid, "label", "1"), 10.0, "P01 ct")
    assert "P01 ct: 4.8 % of the labelled voxels lie outside the body" in caplog.text
    assert "(above 10% they are refused): look whether the outlines fit it" in caplog.text


def test_a_lesion_beside_the_patient_is_refused():
    ct, labels = phantom(ct_grid(np.eye(3)))
    label = labels.data.copy()
    label[:2, :2, :2] = 1003
    with pytest.raises(InputError, match=r"P01 lesions: 100% of lesion_3 lie in the air beside the body"):
        build_model(ct, Volume(label, ct.grid, "label", "1"), 10.0, "P01")
    arm = ct.data.copy()
    arm[:2, :2, :2] = 40.0  # apart from the trunk and too small to count as body
    model = build_model(Volume(arm, ct.grid, "CT number", "HU"), Volume(label, ct.grid, "label", "1"), 10.0, "P01")
    assert "lesion_3" in model.organs


def test_reindexing_is_found_again():
    ct, _ = phantom(ct_grid(TILTED, shape=(20, 30, 40)))
    turned = reindexed(ct, (2, 0, 1), (True, False, True))
    assert np.array_equal(onto(turned, ct.grid).data, ct.data)
    assert closest_ras(turned).grid.same_as(closest_ras(ct).grid)
    shifted = ct.grid.ras_from_voxel.copy()
    shifted[0, 3] += 1.0
    assert onto(turned, Grid(ct.grid.shape, shifted)) is None


def test_real_ct(torso, shared):
    """Organ volumes are those of the table beside the CT within 1 %; the body touches both faces."""
    ct, labels = torso
    model = build_model(ct, labels, 10.0)
    expected: dict[str, float] = {}
    with (shared / "data" / "ct_torso" / "labels.csv").open() as f:
        for row in csv.DictReader(f):
            organ = source_of_label()[int(row["label"])]
            expected[organ] = expected.get(organ, 0.0) + float(row["mL"])
    for organ, volume in zip(model.organs, model.volumes_ml(), strict=True):
        if expected.get(organ, 0) > 4 and organ != "remainder":
            assert volume == pytest.approx(expected[organ], rel=0.01), organ
    assert model.margin == (10, 10) and model.density.max() < 2.0
    masses = dict(zip(model.organs, model.masses_g(), strict=True))
    assert masses["liver"] / expected["liver"] == pytest.approx(1.05, abs=0.02)
