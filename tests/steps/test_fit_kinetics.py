"""fit-kinetics on a results folder with known truth: integrals, maps, cycles, what is stated and refused."""

import math
from dataclasses import replace
from datetime import timedelta

import fake_results as fake
import numpy as np
import pandas as pd
import pytest
from dose_run import chain, image, rewrite, sidecar, table

from planardose.errors import InputError
from planardose.io.planar_file import load_pair, save_pair
from planardose.steps.fit_kinetics import fit_kinetics


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
    told = sidecar(run, "kinetics")["residue_share"]
    flags = kinetics["flags"].fillna("")
    assert {(x["cycle"], x["organ"]) for x in told} == set(flags.index[flags.str.contains("earlier_cycle")])
    for x in told:  # what was planted is the same in both cycles: the second integral is the first's
        assert 0.02 < x["share"] == pytest.approx(2 ** (-7 * 24 / kinetics.t_eff_h[1, x["organ"]]), rel=0.2)


def test_single_time_point_runs_and_says_so(tmp_path):
    run = fake.make_run(tmp_path, ["P01"], hours={"t72": 72.0}, methods=["qplanar"])
    chain(run)
    assert table(run, "kinetics")["flags"].str.contains("single_point").all()


def test_a_table_that_does_not_tell_what_its_time_points_share_is_refused(tmp_path):
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0, "t72": 72.0}, methods=["qplanar"])
    fake.fill_patient(run, "P01")
    organs = run.path("organs", patient="P01", timepoint="t24")
    rewrite(organs, pd.read_csv(organs).drop(columns="activity_mbq_u_own"))
    with pytest.raises(InputError, match=r"P01 t24 organs: no column 'activity_mbq_u_own'; .*'planardose reconstruct'"):
        fit_kinetics(run, "P01")


def test_acquisition_before_injection_is_refused(tmp_path):
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0}, methods=["qplanar"])
    fake.fill_patient(run, "P01")
    path = run.path("planar", patient="P01", timepoint="t24")
    pair = load_pair(path)
    save_pair(path, replace(pair, acquired_at=pair.acquired_at - timedelta(hours=30)))
    with pytest.raises(InputError, match=r"P01 t24 acquired_at: acquired 6\.\d+ h before the injection"):
        fit_kinetics(run, "P01")
