"""fit-kinetics and absorbed-dose on a results folder with known truth."""

import json
import math
from dataclasses import replace

import fake_results as fake
import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from planardose.config import parse_config
from planardose.dose.constants import dose_constants
from planardose.dose.local import joule_per_mbq_h
from planardose.dose.method_choice import common_method, gate_verdict
from planardose.dose.uncertainty import volume_relative_u
from planardose.errors import InputError
from planardose.io.files import sha256_of
from planardose.io.result_table import read_rows
from planardose.library import load_nuclide
from planardose.patient_model import PatientModel
from planardose.sim.organ_photons import OrganPhotons
from planardose.sim.tracer import load_tracer
from planardose.steps import absorbed_dose as absorbed_dose_step
from planardose.steps.absorbed_dose import absorbed_dose
from planardose.steps.fit_kinetics import fit_kinetics
from planardose.steps.report import EARLY_COLUMNS

LU = load_nuclide("177Lu")


def chain(run, patient="P01", **more):
    model = fake.fill_patient(run, patient, **more)
    fit_kinetics(run, patient)
    absorbed_dose(run, patient)
    return model


def table(run, key, patient="P01"):
    return pd.read_csv(run.path(key, patient=patient))


def image(run, key, patient="P01"):
    return nib.load(run.path(key, patient=patient))


def sidecar(run, key):
    path = run.path(key, patient="P01")
    return json.loads(path.with_name(path.name + ".json").read_text())


def rewrite(path, rows):
    """Another table with its hash, as an older version of the step or another config gives."""
    rows.to_csv(path, index=False)
    beside = path.with_name(path.name + ".json")
    beside.write_text(json.dumps(json.loads(beside.read_text()) | {"sha256": sha256_of(path)}))


def without_phases(name):
    """The tracer as the organs of `fake_results` clear: by one exponential each."""
    tracer, none = load_tracer(name), {"uptake_h": 0.0, "fast": (0.0, 1.0)}
    groups = tuple(replace(g, **none) for g in tracer.groups)
    return replace(tracer, groups=groups, lesions=replace(tracer.lesions, **none))


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """No noise: the maps are the truth."""
    run = fake.make_run(
        tmp_path_factory.mktemp("clean"), ["P01"], methods=["conjugate_view", "qplanar", "qplanar_mlem", "unet"]
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("planardose.steps.fit_kinetics.load_tracer", without_phases)
        return run, chain(run, noise=1e-6)


def test_organ_integrals_are_the_closed_form(clean):
    run, model = clean
    kinetics = table(run, "kinetics")
    volumes = dict(zip(model.organs, model.volumes_ml(), strict=True))
    rows = kinetics[kinetics.method == "conjugate_view"].set_index("organ")
    for organ, (_, _, c, t_eff) in fake.ORGANS.items():
        assert rows.tia_mbq_h[organ] == pytest.approx(volumes[organ] * c / 1000 * t_eff / math.log(2), rel=1e-4)


def test_what_is_known_of_the_tracer_enters(clean, tmp_path):
    """Lesions take up, the remainder washes out; the spleen has no early phase with PSMA-617."""
    exact, run = clean[0], fake.make_run(tmp_path, ["P01"], methods=["qplanar"], hours={"t24": 24.0, "t72": 72.0})
    fake.fill_patient(run, "P01", noise=1e-6)
    fit_kinetics(run, "P01")
    found, alone = (
        t[t.method == "qplanar"].fillna({"flags": ""}).set_index("organ")
        for t in (table(run, "kinetics"), table(exact, "kinetics"))
    )
    models = {"lesion_1": "uptake phase", "remainder": "bi-exponential", "spleen": "mono-exponential"}
    assert found.model[list(models)].to_dict() == models
    ratio = found.tia_mbq_h / alone.tia_mbq_h
    assert 0.93 < ratio.lesion_1 < 0.97 and ratio.remainder > 1.05 and ratio.spleen == pytest.approx(1.0, abs=0.01)
    assert [("phase_assumed" in found["flags"][o]) for o in models] == [True, True, False]


def test_map_holds_the_decays_of_the_organ_table(clean):
    run, _ = clean
    kinetics, tia = table(run, "kinetics"), image(run, "tia")
    listed = kinetics[(kinetics.method == "unet") & (kinetics.organ != "outside_ct")].tia_mbq_h.sum()
    ml = abs(np.linalg.det(tia.affine[:3, :3])) / 1000
    assert tia.get_fdata().sum() * ml == pytest.approx(listed, rel=1e-5)


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


def test_sidecars_name_no_path(clean):
    run, _ = clean
    for path in run.results.rglob("*.json"):
        assert "secret_doe" not in path.read_text() and "/tmp" not in path.read_text()


def test_one_fallback_makes_the_whole_patient_fall_back(tmp_path):
    run = fake.make_run(tmp_path, ["P01"])
    chain(run, fallback_at="t72")
    assert sidecar(run, "tia")["method"] == "qplanar_mlem"


def test_cycles_are_fitted_apart_and_their_doses_add(tmp_path):
    hours = {"t24": 24.0, "t72": 72.0}
    one = fake.make_run(tmp_path / "one", ["P01"], hours=hours, methods=["qplanar"])
    two = fake.make_run(tmp_path / "two", ["P01"], hours=hours, cycles=2, methods=["qplanar"])
    for run in (one, two):
        chain(run, noise=1e-6)
    doses = table(two, "organ_doses")
    assert sorted(doses.cycle.unique()) == [1, 2]
    assert image(two, "dose").get_fdata() == pytest.approx(2 * image(one, "dose").get_fdata(), rel=1e-3, abs=1e-9)
    residue = sidecar(two, "kinetics")["residue_bound"]
    assert residue["2"] == pytest.approx(0.013, abs=5e-4)
    assert not table(two, "kinetics")["flags"].str.contains("earlier_cycle").any()


def test_cycles_close_together_are_flagged_in_the_later_one(tmp_path, monkeypatch):
    monkeypatch.setattr(fake, "CYCLE_DAYS", 7)
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0, "t72": 72.0}, methods=["qplanar"], cycles=2)
    fake.fill_patient(run, "P01", noise=1e-6)
    fit_kinetics(run, "P01")
    kinetics = table(run, "kinetics").set_index(["cycle", "organ"])
    slow = [o for o, (_, _, _, t_eff) in fake.ORGANS.items() if t_eff > 40.0]
    assert len(slow) == 2 and all("earlier_cycle" in kinetics["flags"][2, o] for o in slow)
    assert not kinetics.loc[1, "flags"].fillna("").str.contains("earlier_cycle").any()


def test_single_time_point_runs_and_says_so(tmp_path):
    run = fake.make_run(tmp_path, ["P01"], hours={"t72": 72.0}, methods=["qplanar"])
    chain(run)
    assert table(run, "kinetics")["flags"].str.contains("single_point").all()


def test_uncertainties_that_are_not_separated_are_stated(tmp_path):
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0, "t72": 72.0}, methods=["qplanar"])
    fake.fill_patient(run, "P01")
    organs = run.path("organs", patient="P01", timepoint="t24")
    rewrite(organs, pd.read_csv(organs).drop(columns="activity_mbq_u_own"))
    fit_kinetics(run, "P01")
    assert "not separated" in sidecar(run, "kinetics")["calibration"]


def test_results_are_byte_identical(tmp_path):
    runs = [fake.make_run(tmp_path / n, ["P01"], methods=["qplanar"]) for n in ("a", "b")]
    for run in runs:
        chain(run)
    for key in ("kinetics", "organ_doses", "tia", "dose"):
        assert len({r.path(key, patient="P01").read_bytes() for r in runs}) == 1, key


def test_acquisition_before_injection_is_refused(tmp_path):
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0}, methods=["qplanar"])
    fake.fill_patient(run, "P01")
    path = run.path("planar", patient="P01", timepoint="t24")
    from dataclasses import replace
    from datetime import timedelta

    from planardose.io.planar_file import load_pair, save_pair

    pair = load_pair(path)
    save_pair(path, replace(pair, acquired_at=pair.acquired_at - timedelta(hours=30)))
    with pytest.raises(InputError, match=r"P01 t24 acquired_at: acquired 6\.\d+ h before the injection"):
        fit_kinetics(run, "P01")


def gate(chosen, status="ok", passed=True, accepted=None):
    return {"chosen": chosen, "status": status, "accepted": accepted, chosen: {"passed": passed}}


def test_common_method_and_verdict():
    ok, fallen = gate("unet"), gate("qplanar_mlem", "fallback")
    assert common_method({"a": ok, "b": ok}, "P01") == ("unet", "ok")
    assert common_method({"a": ok, "b": fallen}, "P01") == ("qplanar_mlem", "fallback")
    assert common_method({"a": fallen, "b": gate("qplanar", "fallback")}, "P01") == ("qplanar", "fallback")
    with pytest.raises(InputError, match="makes no 3D map"):
        common_method({"a": gate("conjugate_view")}, "P01")
    assert gate_verdict({"a": ok}, "unet") == "passed"
    assert gate_verdict({"a": ok, "b": gate("unet", passed=False)}, "unet") == "failed"
    assert gate_verdict({"a": ok, "b": gate("unet", passed=False, accepted="arms moved")}, "unet") == "accepted"


@pytest.mark.parametrize(
    ("key", "step", "says"),
    [("organs", fit_kinetics, "P01 t24 organs: cut off.*run 'planardose reconstruct' again"),
     ("kinetics", absorbed_dose, "P01 kinetics: cut off.*run 'planardose fit-kinetics' again"),
     ("planar", fit_kinetics, "P01 t24 planar: damaged.*run 'planardose import-planar' again"),
     ("gate", fit_kinetics, "P01 t24 gate: damaged")],
)  # fmt: skip
def test_a_file_that_was_cut_off_is_not_used(tmp_path, key, step, says: str):
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0, "t72": 72.0}, methods=["qplanar", "qplanar_mlem"])
    chain(run)
    path = run.path(key, patient="P01", timepoint="t24")
    whole = path.read_bytes()
    path.write_bytes(whole[: 2 * len(whole) // 3])
    with pytest.raises(InputError, match=says):
        step(run, "P01")


@pytest.mark.parametrize("key", ["organs", "kinetics"])
def test_a_table_that_lost_its_end_is_not_used(tmp_path, key: str):
    """One method and one cycle: no other rows tell that the last one, or the end of its numbers, is missing."""
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0}, methods=["qplanar"])
    chain(run)
    step, path = {"organs": fit_kinetics, "kinetics": absorbed_dose}[key], run.path(key, patient="P01", timepoint="t24")
    whole = path.read_bytes()
    last_row = whole.rstrip(b"\n").rindex(b"\n") + 1
    last_cell = whole.rindex(b",") + 1
    for end in (last_row, last_cell, len(whole) - 3, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(InputError, match=f"{key}: cut off, or changed after it was written.*again$"):
            step(run, "P01")
    path.write_bytes(whole)
    beside = path.with_name(path.name + ".json")
    told = beside.read_text()
    for text in (told[: len(told) // 2], "[]", "{}"):
        beside.write_text(text)
        with pytest.raises(InputError, match=f"{key}: cut off"):
            step(run, "P01")
    beside.write_text(told)
    step(run, "P01")


def test_a_table_that_an_older_version_wrote_is_told(tmp_path):
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0}, methods=["qplanar"])
    chain(run)
    assert "early_mbq" in read_rows(run, "kinetics", "fit-kinetics", EARLY_COLUMNS, patient="P01")
    says = r"^P01 kinetics: no column 'newer'; expected results of this version.*run 'planardose fit-kinetics' again$"
    with pytest.raises(InputError, match=says):
        read_rows(run, "kinetics", "fit-kinetics", ("early_mbq", "newer"), patient="P01")


def test_a_time_point_with_fewer_methods_is_refused(tmp_path):
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0, "t72": 72.0}, methods=["qplanar", "qplanar_mlem"])
    chain(run)
    path = run.path("organs", patient="P01", timepoint="t72")
    organs = pd.read_csv(path)
    rewrite(path, organs[organs.method == "qplanar"])
    with pytest.raises(InputError, match="time points with other rows than the others"):
        fit_kinetics(run, "P01")
