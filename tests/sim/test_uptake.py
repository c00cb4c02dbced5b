"""Tracer priors, virtual uptakes and the activity maps made of them."""

import numpy as np
import pandas as pd
import pytest
import yaml

from planardose import library
from planardose.errors import InputError
from planardose.image import Grid
from planardose.io.samples import read_samples
from planardose.library import load_nuclide, names
from planardose.patient_model import PatientModel
from planardose.sim.activity import activity_map, sphere_fraction
from planardose.sim.texture import WaveField, cortex_weight, gaussian_field
from planardose.sim.tracer import exponentials_at, load_tracer
from planardose.sim.uptake import (
    CONCENTRATION,
    Administered,
    Sphere,
    draw_samples,
    read_spheres,
    with_prior,
    write_spheres,
)

ORGANS = ("kidney_left", "kidney_right", "skeleton", "adrenal_gland_left", "lesion_1", "remainder", "outside_ct")
BOXES = (
    np.s_[3:6, 2:5, 8:13],
    np.s_[14:17, 2:5, 8:13],
    np.s_[9:11, 1:3, 4:22],
    np.s_[7:8, 5:6, 14:15],
    np.s_[12:13, 6:7, 18:19],
)
LU = load_nuclide("177Lu")
PSMA = load_tracer("177Lu-PSMA-617")
GIVEN = Administered(PSMA, LU.half_life_h, 7400.0)


@pytest.fixture(scope="module")
def model() -> PatientModel:
    grid = Grid.axis_aligned((20, 12, 24), 10.0, (-95.0, -55.0, 0.0))
    fractions = np.zeros((len(ORGANS), *grid.shape), np.float32)
    fractions[-2, 1:19, 1:11, 3:] = 1
    fractions[-1, 1:19, 1:11, :3] = 1
    for n, box in enumerate(BOXES):
        fractions[:, *box] = 0
        fractions[n, *box] = 1
    return PatientModel(grid, ORGANS, fractions, np.zeros((3, *grid.shape), np.float32), (3, 0))


@pytest.fixture(scope="module")
def table(model) -> pd.DataFrame:
    return draw_samples(model, GIVEN, 30, 6, 4.0, 11, "P01")


def test_every_tracer_of_the_catalogue_loads():
    for name in names("tracers"):
        tracer = load_tracer(name)
        assert tracer.source and tracer.prior_of("remainder").name == "background"
        for group in tracer.groups:
            assert (
                exponentials_at(*group.curve(group.biological_h[0], LU.half_life_h), np.array([1.0, 24, 168])).min() > 0
            )


def test_priors_give_the_published_doses():
    """Local electron dose per activity of the median kidney, liver and gland: inside the published ranges."""
    gy_per_mbq_h_g = 147.9 * 1.602176634e-16 * 1e6 * 3600 / 1e-3
    published = {
        "kidney_left": (0.45, 0.75),
        "liver": (0.085, 0.13),
        "parotid_gland_left": (0.45, 0.75),
        "skeleton": (0.012, 0.045),
    }
    for organ, (low, high) in published.items():
        prior = PSMA.prior_of(organ)
        amplitudes, rates = prior.curve(prior.biological_h[0], LU.half_life_h)
        scale = prior.kbq_ml_per_mbq[0] / exponentials_at(amplitudes, rates, 24.0)
        gy_per_gbq = scale * (amplitudes / rates).sum() * 1e-3 * gy_per_mbq_h_g / 1.05 * 1e3
        assert low <= gy_per_gbq <= high, organ


def test_an_organ_in_no_group_takes_the_prior_of_the_remainder():
    prior, rest = PSMA.prior_of("adrenal_gland_left"), PSMA.prior_of("remainder")
    assert prior.organs == ("adrenal_gland_left",) and prior.kbq_ml_per_mbq == rest.kbq_ml_per_mbq
    assert PSMA.prior_of("lesion_7") is PSMA.lesions


def test_medians_spreads_and_correlation_are_recovered():
    prior = PSMA.prior_of("kidney_left")
    rng = np.random.default_rng(0)
    drawn = np.array(
        [
            [exponentials_at(*c, 24.0) for c in GIVEN.draw_curves(prior, 2, rng)]
            for _ in range(3000)
        ]
    )
    logs = np.log(drawn)
    assert np.exp(np.median(logs, axis=0)) == pytest.approx(7400 * prior.kbq_ml_per_mbq[0], rel=0.03)
    assert logs.std(axis=0) == pytest.approx(prior.kbq_ml_per_mbq[1], rel=0.05)
    assert np.corrcoef(logs.T)[0, 1] == pytest.approx(0.9, abs=0.02)


def test_the_curve_is_the_formula_and_its_integral_that_of_a_fine_sum():
    prior = PSMA.prior_of("colon")  # slow uptake
    blood = PSMA.prior_of("blood_pool")  # fast phase
    hours = np.linspace(0, 2000, 400_001)
    for p in (prior, blood):
        amplitudes, rates = p.curve(30.0, LU.half_life_h)
        slow, fast = 2 ** (-hours / 30.0), 2 ** (-hours / p.fast[1])
        rise = 1 - 2 ** (-hours / p.uptake_h) if p.uptake_h else 1.0
        expected = ((1 - p.fast[0]) * slow + p.fast[0] * fast) * rise * 2 ** (-hours / LU.half_life_h)
        assert np.allclose(exponentials_at(amplitudes, rates, hours), expected, rtol=0, atol=1e-12)
        assert (amplitudes / rates).sum() == pytest.approx(np.trapezoid(expected, hours), rel=1e-4)


def test_draws_are_reproducible_and_row_wise_independent(model, table):
    again = draw_samples(model, GIVEN, 30, 6, 4.0, 11, "P01")
    pd.testing.assert_frame_equal(table, again)
    fewer = draw_samples(model, GIVEN, 5, 2, 4.0, 11, "P01")
    pd.testing.assert_frame_equal(table.drop(columns="split").head(5), fewer.drop(columns="split"))
    other = draw_samples(model, GIVEN, 5, 2, 4.0, 11, "P02")
    assert not np.isclose(other.c_kidney_left, fewer.c_kidney_left).any()
    assert (table.split == "validation").sum() == 6 and table.hours.between(1, 168).all()
    assert table.log10_counts.between(4.4, 6.7).all()


def test_a_groups_draw_does_not_depend_on_the_other_organs(model, table):
    keep = [0, 2, 5]
    smaller = PatientModel(
        model.grid, tuple(ORGANS[n] for n in keep), model.fractions[keep], model.partial_density, (3, 0)
    )
    drawn = draw_samples(smaller, GIVEN, 30, 6, 4.0, 11, "P01")
    for organ in ("kidney_left", "skeleton", "remainder"):
        assert np.array_equal(drawn[CONCENTRATION + organ], table[CONCENTRATION + organ])


def test_concentrations_scale_with_the_administered_activity(model, table):
    half = draw_samples(model, Administered(PSMA, LU.half_life_h, 3700.0), 30, 6, 4.0, 11, "P01")
    for organ in ORGANS:
        assert half[CONCENTRATION + organ].to_numpy() * 2 == pytest.approx(table[CONCENTRATION + organ].to_numpy())


def test_totals_are_concentration_times_volume(model, table):
    for n in range(3):
        row = table.iloc[n].to_dict() | {"lesions": ""}
        activity = activity_map(model, row)
        for o, organ in enumerate(ORGANS):
            expected = row[CONCENTRATION + organ] * model.volumes_ml()[o] / 1000
            assert activity[model.fractions[o] > 0].sum() == pytest.approx(expected, rel=1e-9)
        assert activity.min() >= 0 and activity[model.fractions.sum(axis=0) == 0].sum() == 0


def test_the_map_is_a_pure_function_of_the_row_after_a_trip_through_text(model, table, tmp_path):
    path = tmp_path / "samples.tsv"
    table.to_csv(path, sep="\t", index=False)
    back = read_samples(path)
    for n in (0, 7):
        assert np.array_equal(activity_map(model, table.iloc[n]), activity_map(model, back.iloc[n]))


def test_texture_spreads_the_organ_by_its_coefficient_of_variation(model, table):
    row = table.iloc[0].to_dict() | {"lesions": "", "texture_cv": 0.3, "texture_mm": 15.0}
    values = activity_map(model, row)[model.fractions[-2] == 1]
    assert values.std() / values.mean() == pytest.approx(0.3, abs=0.06)
    flat = activity_map(model, row | {"texture_cv": 0.0})[model.fractions[-2] == 1]
    assert flat.std() / flat.mean() < 1e-9


def test_fat_holds_less_than_lean_tissue_and_the_class_keeps_its_total(model, table):
    density = np.zeros((3, *model.grid.shape), np.float32)
    density[0, :10], density[1, 10:] = 0.95, 1.05  # fat on one side, lean tissue on the other
    fatty = PatientModel(model.grid, model.organs, model.fractions, density, model.margin)
    row = table.iloc[0].to_dict() | {"lesions": "", "texture_cv": 0.0, "fat": 0.4}
    remainder = model.fractions[-2] == 1
    out = activity_map(fatty, row)
    assert out[:10][remainder[:10]].mean() / out[10:][remainder[10:]].mean() == pytest.approx(0.4)
    assert out[remainder].sum() == pytest.approx(activity_map(model, row)[remainder].sum())
    assert table.fat.between(*PSMA.texture.fat).all() and table.fat.std() > 0.1


def test_hidden_lesions_lie_in_their_sites_and_hold_their_activity(model, table):
    spheres = [s for cell in table.lesions for s in read_spheres(cell)]
    assert len(spheres) / len(table) == pytest.approx(PSMA.hidden.mean_number, abs=1.2)
    low, high = model.ct_grid.bounds_mm()
    for s in spheres:
        assert (np.array(s.centre_mm) > low).all() and (np.array(s.centre_mm) < high).all()
    row = table.iloc[0].to_dict()
    hot = Sphere((5.0, 15.0, 120.0), 14.0, 5e4)
    with_lesion = activity_map(model, row | {"lesions": write_spheres([hot])})
    added = with_lesion.sum() - activity_map(model, row | {"lesions": ""}).sum()
    assert added == pytest.approx(4 / 3 * np.pi * 1.4**3 * 50, rel=0.05)
    assert read_spheres(write_spheres([hot])) == [hot] and read_spheres("") == [] and read_spheres(float("nan")) == []


def test_sphere_fraction_against_a_count_of_points(model):
    sphere = Sphere((-12.0, 4.0, 101.0), 17.0, 1.0)
    box, share = sphere_fraction(model.grid, sphere)
    rng = np.random.default_rng(1)
    points = rng.uniform(-20, 20, (200_000, 3)) + np.array(sphere.centre_mm)
    inside = points[((points - np.array(sphere.centre_mm)) ** 2).sum(axis=1) <= 17.0**2]
    index = np.floor((inside - model.grid.ras_from_voxel[:3, 3]) / 10.0 + 0.5).astype(int)
    counted = np.zeros(model.grid.shape)
    np.add.at(counted, tuple(index.T), 40**3 / 200_000 / 1000)
    expected = counted[box]
    assert share == pytest.approx(expected, abs=0.06)
    assert share.sum() == pytest.approx(expected.sum(), rel=0.02)


def test_cortex_holds_more_than_medulla():
    grid = Grid.axis_aligned((14, 14, 24), 5.0, (0.0, 0.0, 0.0))
    i, j, k = np.meshgrid(*(grid.axis_mm(a) - grid.axis_mm(a).mean() for a in range(3)), indexing="ij")
    fraction = ((i / 27) ** 2 + (j / 27) ** 2 + (k / 52) ** 2 <= 1).astype(np.float32)
    weight = cortex_weight(fraction, grid, 0.6)
    assert weight[7, 7, 12] == pytest.approx(0.6, abs=0.02)
    surface = weight[(fraction > 0) & ((i / 22) ** 2 + (j / 22) ** 2 + (k / 47) ** 2 > 1)]
    assert surface.mean() > 0.85


def test_random_fields_are_standard_and_smooth():
    grid = Grid.axis_aligned((40, 40, 40), 5.0, (0.0, 0.0, 0.0))
    field = gaussian_field(grid, 20.0, 4)
    assert abs(field.mean()) < 1e-9 and field.std() == pytest.approx(1.0)
    rng = np.random.default_rng(2)
    points = rng.uniform(0, 2000, (60_000, 3))
    waves = WaveField(20.0, 4)
    a, b = waves.at(points), waves.at(points + np.array([8.0, 0, 0]))
    assert a.mean() == pytest.approx(0, abs=0.05) and a.std() == pytest.approx(1, abs=0.05)
    sigma = 20.0 / np.sqrt(8 * np.log(2))
    assert np.corrcoef(a, b)[0, 1] == pytest.approx(np.exp(-(8.0**2) / (4 * sigma**2)), abs=0.1)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d["groups"]["liver"].update(organs=["lever"]), "unknown organ 'lever'"),
        (lambda d: d["groups"]["spleen"].update(organs=["liver"]), "'liver' stands in two groups"),
        (lambda d: d["groups"]["liver"].update(half_life=3), "unknown key half_life"),
        (lambda d: d["groups"]["liver"].update(biological_h=[-3, 0.1]), "must be positive"),
        (lambda d: d["groups"].pop("background"), "no group holds 'remainder'"),
        (lambda d: d.pop("texture"), "texture"),
    ],
)
def test_a_faulty_tracer_file_is_told_in_one_line(tmp_path, monkeypatch, change, told):
    mapping = library.read_entry("tracers", "177Lu-PSMA-617")
    change(mapping)
    (tmp_path / "tracers").mkdir()
    (tmp_path / "tracers" / "mine.yaml").write_text(yaml.safe_dump(mapping))
    monkeypatch.setattr(library, "_folders", lambda: (tmp_path, library.DATA))
    with pytest.raises(InputError) as fault:
        load_tracer("mine")
    assert told in str(fault.value) and "\n" not in str(fault.value) and str(tmp_path) not in str(fault.value)


def test_samples_share_texture_and_foci_of_a_prior_image_in_part(model, table):
    """Most samples follow the image's texture and some do not; a focus adds its drawn excess where it lies."""
    drawn = with_prior(table, (("skeleton", 4.0),), 11, "P01")
    assert drawn[table.columns].equals(table)
    weights, excess = drawn["prior_weight"].to_numpy(), drawn["f_1"] / drawn["c_skeleton"]
    assert (weights[weights > 0] >= 0.4).all() and 0 < (weights == 0).sum() < len(weights) / 2
    assert 0 < (excess == 0).sum() < len(excess) / 2
    logs = np.log(excess[excess > 0] / 4.0)
    assert abs(logs.mean()) < 4 * 0.6 / np.sqrt(len(logs)) and 0.3 < logs.std() < 0.9
    again = with_prior(table.iloc[:5], (("skeleton", 4.0),), 11, "P01")
    assert np.array_equal(again["f_1"], drawn["f_1"][:5])
    ratio = np.ones(model.grid.shape)
    ratio[10:] = 2.0  # the right half of the body has twice the uptake
    focus = np.zeros((1, *model.grid.shape), np.float32)
    focus[0, 4, 8, 20] = 1.0
    row = {**drawn.iloc[0].to_dict(), "texture_cv": 0.0, "lesions": "", "fat": 1.0, "prior_weight": 1.0, "f_1": 50.0}
    out, plain = activity_map(model, row, ratio, focus), activity_map(model, {**row, "prior_weight": 0.0}, ratio)
    assert out[15, 8, 20] / out[3, 8, 20] == pytest.approx(2.0)
    assert plain[15, 8, 20] / plain[3, 8, 20] == pytest.approx(1.0)
    assert (out.sum() - plain.sum()) / (50.0 * 1e-3 * model.grid.voxel_ml) == pytest.approx(1.0)
