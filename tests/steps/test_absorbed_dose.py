"""absorbed-dose on a results folder with known truth: energy, photons, uncertainty, columns."""

import math
from dataclasses import replace

import fake_results as fake
import numpy as np
import pytest
from dose_run import chain, image, sidecar, table, without_phases

from planardose.config import parse_config
from planardose.dose.constants import dose_constants
from planardose.dose.local import joule_per_mbq_h
from planardose.dose.uncertainty import volume_relative_u
from planardose.library import load_nuclide
from planardose.patient_model import PatientModel
from planardose.sim.organ_photons import OrganPhotons
from planardose.steps import absorbed_dose as absorbed_dose_step
from planardose.steps.absorbed_dose import absorbed_dose

LU = load_nuclide("177Lu")


def test_energy_of_the_dose_map_is_that_of_the_organ_table(clean):
    """Electrons of the activity in the CT, and the photons of all activity that stop in the CT."""
    run, _ = clean
    doses, model = table(run, "organ_doses"), PatientModel.load(run.path("model", patient="P01"))
    used = doses[doses.method == "unet"]
    density = model.density[..., model.ct_slices]
    mapped = (image(run, "dose").get_fdata() * density).sum() * model.grid.voxel_ml / 1000
    assert mapped == pytest.approx((used.dose_gy * used.mass_g / 1000).sum(), rel=1e-3)
    electrons = used.tia_mbq_h.sum() * joule_per_mbq_h(LU)
    photons = (used.photon_gy * used.mass_g / 1000).sum()
    assert 0.03 < photons / electrons < 0.1
    energy = sidecar(run, "dose")["energy"]
    assert energy["released_j"] == pytest.approx(electrons, rel=1e-5)
    assert energy["photons_j"] == pytest.approx(photons, rel=0.01)  # the face's slices are shared with outside_ct
    assert energy["deposited_j"] == pytest.approx(energy["released_j"] + energy["photons_j"], rel=1e-3)


def test_dose_of_pure_kidney_voxels_by_hand(clean):
    """Electrons by hand; the photons of a kidney of this size and its neighbours add 2 to 4 %."""
    run, model = clean
    _, _, c, t_eff = fake.ORGANS["kidney_left"]
    expected = 3.6e9 * c / 1000 * t_eff / math.log(2) * 147.9 * 1.602176634e-16 / 1.04e-3
    pure = model.fractions[list(model.organs).index("kidney_left"), ..., 3:] > 0.9999
    assert pure.sum() > 20
    assert 0.02 < np.mean(image(run, "dose").get_fdata()[pure]) / expected - 1 < 0.04


def test_without_photons_the_dose_is_the_electrons(clean, tmp_path, monkeypatch):
    """The same but for the photons, in table and map; every row's share of photons is the difference."""
    run, _ = clean
    monkeypatch.setattr("planardose.steps.fit_kinetics.load_tracer", without_phases)
    bare = fake.make_run(tmp_path, ["P01"], methods=list(run.config.methods), dose={"photons": 0})
    chain(bare, noise=1e-6)
    with_them, without = table(run, "organ_doses"), table(bare, "organ_doses")
    by_hand = without.tia_mbq_h * joule_per_mbq_h(LU) / without.mass_g * 1000
    assert without.dose_gy.to_numpy() == pytest.approx(by_hand.to_numpy(), rel=1e-6) and not without.photon_gy.any()
    assert (with_them.dose_gy - with_them.photon_gy).to_numpy() == pytest.approx(without.dose_gy.to_numpy(), rel=1e-6)
    energy = sidecar(bare, "dose")["energy"]
    assert energy["deposited_j"] == pytest.approx(energy["released_j"], rel=1e-6) and energy["photons_j"] == 0
    more = image(run, "dose").get_fdata() - image(bare, "dose").get_fdata()
    assert more.min() >= -1e-6 and more.sum() > 0


def test_a_neighbours_activity_makes_a_dose_uncertain(clean):
    """More than the organ's own activity and mass alone: neighbours, and the Monte Carlo's own error."""
    run, model = clean
    kinetics, doses = (table(run, key).set_index(["organ", "method"]) for key in ("kinetics", "organ_doses"))
    spleen, mass = doses.loc["spleen", "unet"], dict(zip(model.organs, model.masses_g(), strict=True))["spleen"]
    own = kinetics.loc["spleen", "unet"].tia_mbq_h_u * joule_per_mbq_h(LU) / mass * 1000
    edge = volume_relative_u(spleen.volume_ml, 5.0, dose_constants().edge_fwhm_mm)
    electrons = math.hypot(own, (spleen.dose_gy - spleen.photon_gy) * edge)
    assert 1.02 * electrons < spleen.dose_gy_u < electrons + 0.4 * spleen.photon_gy


def test_lesions_drawn_on_a_blurred_image_have_a_less_certain_mass(tmp_path):
    """Electrons alone: dose and integral's part stay, the edge's part is the EANM guide's for the blur of a PET."""
    on_pet = fake.make_run(tmp_path, ["P01"], methods=["qplanar"], dose={"photons": 0, "lesion_edge_fwhm_mm": 6.0})
    chain(on_pet)
    wide = table(on_pet, "organ_doses").set_index("organ")
    on_ct = replace(on_pet, config=parse_config({"methods": ["qplanar"], "dose": {"photons": 0}}))
    absorbed_dose(on_ct, "P01")
    narrow = table(on_ct, "organ_doses").set_index("organ")
    organs = [o for o in wide.index if o != "lesion_1"]
    assert wide.loc[organs].equals(narrow.loc[organs])
    lesion = wide.loc["lesion_1"]
    edges = [lesion.dose_gy * volume_relative_u(lesion.volume_ml, 5.0, mm) for mm in (6.0, 2.0)]
    more = lesion.dose_gy_u**2 - narrow.loc["lesion_1"].dose_gy_u ** 2
    assert lesion.dose_gy == narrow.loc["lesion_1"].dose_gy
    assert more == pytest.approx(edges[0] ** 2 - edges[1] ** 2, rel=1e-4) and edges[0] > 1.5 * edges[1]


def test_the_mass_moves_the_photons_self_dose_less_than_the_electrons(tmp_path, monkeypatch):
    """Of a decay, as mass^-2/3 (Snyder 1970) and mass^-1; here 100 keV of photons stay in the organ, as of 131I."""

    def own_only(model, *_, **__):
        n = len(model.organs)
        return OrganPhotons(100.0 * np.eye(n), np.zeros((n, n)), np.zeros(model.grid.shape))

    monkeypatch.setattr(absorbed_dose_step, "organ_photons", own_only)
    on_pet = fake.make_run(tmp_path, ["P01"], methods=["qplanar"], dose={"lesion_edge_fwhm_mm": 6.0})
    chain(on_pet)
    wide = table(on_pet, "organ_doses").set_index("organ").loc["lesion_1"]
    on_ct = replace(on_pet, config=parse_config({"methods": ["qplanar"]}))
    absorbed_dose(on_ct, "P01")
    narrow = table(on_ct, "organ_doses").set_index("organ").loc["lesion_1"]
    electrons = narrow.dose_gy - narrow.photon_gy
    assert narrow.photon_gy == pytest.approx(electrons * 100.0 / LU.electron_kev, rel=1e-4)
    edges = [volume_relative_u(narrow.volume_ml, 5.0, mm) for mm in (6.0, 2.0)]
    more = wide.dose_gy_u**2 - narrow.dose_gy_u**2
    of_mass = electrons + 2 / 3 * narrow.photon_gy
    assert more == pytest.approx(of_mass**2 * (edges[0] ** 2 - edges[1] ** 2), rel=1e-4)
    tia = table(on_ct, "kinetics").set_index("organ").loc["lesion_1"]
    of_activity = narrow.dose_gy * tia.tia_mbq_h_u / tia.tia_mbq_h  # once: no neighbour sends it photons
    assert narrow.dose_gy_u == pytest.approx(math.hypot(of_activity, of_mass * edges[1]), rel=1e-4)


def test_tables_have_the_contracts_columns_and_units(clean):
    run, _ = clean
    doses = table(run, "organ_doses")
    assert list(doses.columns[:10]) == [
        "organ",
        "method",
        "cycle",
        "volume_ml",
        "mass_g",
        "tia_mbq_h",
        "dose_gy",
        "dose_gy_u",
        "dose_gy_per_gbq",
        "photon_gy",
    ]
    assert doses.dose_gy_per_gbq.to_numpy() == pytest.approx(doses.dose_gy.to_numpy() / 7.4, rel=1e-6)
    assert set(doses.method) == {"conjugate_view", "qplanar", "qplanar_mlem", "mlem", "unet"}
    assert "outside_ct" not in set(doses.organ)
    assert doses[doses.method == "conjugate_view"].dose_gy_u.isna().all()
    with_u = doses[doses.method == "unet"]
    assert (with_u.dose_gy_u / with_u.dose_gy > 0.15).all(), "the shared calibration of 15 % must stay"
    assert doses[doses.organ == "urinary_bladder"]["flags"].str.contains("contents_not_wall").all()
    assert image(run, "dose").shape == PatientModel.load(run.path("model", patient="P01")).ct_grid.shape
