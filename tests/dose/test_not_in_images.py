"""Organs that the images do not show at some or all time points: left out, not taken for empty."""

import json
import re

import fake_results as fake
import numpy as np
import pandas as pd
import pytest

from planardose.dose.bed import kidney_bed
from planardose.io.files import sha256_of
from planardose.io.nifti import read_volume
from planardose.patient_model import PatientModel
from planardose.report.summary import _organs
from planardose.sidecar import sidecar_of
from planardose.steps.absorbed_dose import absorbed_dose
from planardose.steps.cycle_points import CyclePoints
from planardose.steps.fit_kinetics import fit_kinetics
from planardose.steps.report import _retained, report

HIDDEN, SOMETIMES, CUT = "parotid_gland_left", "kidney_left", "liver"
SHARES = {"t04": {SOMETIMES: 0.02}, "t24": {CUT: 0.43}, "t72": {CUT: 0.5}, "t168": {}}


def table(run, key):
    return pd.read_csv(run.path(key, patient="P01")).fillna({"flags": ""})


def hide(run, timepoint, shares):
    """What the reconstruction writes of organs that the images do not show whole."""
    path = run.path("organs", patient="P01", timepoint=timepoint)
    rows = pd.read_csv(path)
    for organ in (o for o, share in shares.items() if share <= 0.1):
        rows.loc[rows.organ == organ, "activity_mbq"] = 0.0
        rows.loc[rows.organ == organ, ["activity_mbq_u", "activity_mbq_u_own"]] = np.nan
    rows.to_csv(path, index=False)
    told = json.loads(sidecar_of(path).read_text()) | {"share_in_images": shares, "sha256": sha256_of(path)}
    sidecar_of(path).write_text(json.dumps(told))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same patient with images of all of the CT, and of a part."""
    made = []
    for name in ("whole", "part"):
        run = fake.make_run(tmp_path_factory.mktemp(name), ["P01"], dose={"photons": 1e4})
        fake.fill_patient(run, "P01", noise=1e-6)
        if name == "part":
            for timepoint, shares in SHARES.items():
                hide(run, timepoint, shares | {HIDDEN: 0.0})
        for step in (fit_kinetics, absorbed_dose, report):
            step(run, "P01")
        made.append(run)
    return made


def test_points_that_show_nothing_of_an_organ_are_left_out(runs):
    whole, part = (table(r, "kinetics").set_index(["organ", "method"]).sort_index() for r in runs)
    for method in ("qplanar_mlem", "unet"):
        row = part.loc[SOMETIMES, method]
        assert row.points == 3 and "points_not_in_images" in row["flags"].split(";")
        assert row.tia_mbq_h == pytest.approx(whole.loc[SOMETIMES, method].tia_mbq_h, rel=0.01)
    assert not whole["flags"].str.contains("images").any()


def test_an_organ_that_no_image_shows_has_no_dose(runs):
    kinetics, doses = table(runs[1], "kinetics"), table(runs[1], "organ_doses")
    rows = kinetics[kinetics.organ == HIDDEN]
    assert len(rows) and (rows["flags"] == "not_in_images").all() and (rows.points == 0).all()
    assert rows[["a0_mbq", "t_eff_h", "tia_mbq_h", "tia_mbq_h_u"]].isna().all(axis=None)
    assert HIDDEN not in set(doses.organ)
    assert doses.dose_gy.notna().all() and doses.photon_gy.notna().all()
    assert HIDDEN not in {o["organ"] for o in json.loads(runs[1].path("summary", patient="P01").read_text())["organs"]}


def test_map_has_the_decays_of_the_table(runs):
    """Voxels are integrated over the same points as their organ."""
    run = runs[1]
    tia = read_volume(run.path("tia", patient="P01"), "tia", "", "tia").data
    model = PatientModel.load(run.path("model", patient="P01"))
    pure = model.fractions[list(model.organs).index(SOMETIMES)][..., model.ct_slices] > 0.9999
    before = read_volume(runs[0].path("tia", patient="P01"), "tia", "", "tia").data
    assert pure.sum() > 20 and tia[pure] == pytest.approx(before[pure], rel=0.01)


def test_a_cut_organ_is_flagged(runs):
    doses = table(runs[1], "organ_doses").set_index(["organ", "method"])
    assert "cut_by_images" in doses.loc[(CUT, "unet"), "flags"].split(";")
    assert "cut_by_images" not in doses.loc[(SOMETIMES, "unet"), "flags"]


def test_page_tells_it(runs):
    whole, part = (r.path("report", patient="P01").read_text() for r in runs)
    section = part.split('<section id="basis">')[1].split("</dl>")[0]
    assert "<dt>Not in the images</dt><dd>kidney, left at t04; parotid gland, left</dd>" in section
    assert "<dt>Part in the images</dt><dd>liver 43 % to 50 % at t24, t72</dd>" in section
    assert re.search(r"Parotid gland, left <sup>\w</sup></th><td><b>–</b></td><td>–</td>", part)
    assert "not in the images: activity and dose are not known" in part
    assert "in the images</dt>" not in whole and "not in the images" not in whole
    assert "One time point only" not in part  # of an organ, not of the patient


def test_a_dose_of_some_cycles_is_not_the_dose_of_all():
    cells = {"dose_gy": 2.0, "dose_gy_u": 0.2, "flags": ""}
    rows = [{"organ": o, "cycle": c} | cells for o, c in (("kidney_left", 1), ("kidney_left", 2), ("kidney_right", 1))]
    doses = pd.DataFrame(rows)
    kinetics = doses.assign(t_eff_h=40.0, a0_mbq=1.0, early_mbq=0.0, early_t_eff_h=np.nan)
    assert [o["organ"] for o in _organs(doses, 14.0)] == ["kidney_left"]
    assert set(kidney_bed(doses, kinetics)) == {"kidney_left"}


def test_what_a_method_started_from_is_not_found_activity():
    """MLEM leaves its start, an even body, where the images show nothing."""
    table = pd.DataFrame({"organ": [CUT, HIDDEN], "method": "mlem", "activity_mbq": [300.0, 500.0]})
    of_t24 = ("t24",), np.array([24.0]), (table,), ({},), ({HIDDEN: 0.0},), (frozenset({HIDDEN}),), (False,)
    points = CyclePoints(1, 1000.0, *of_t24)
    assert _retained([points], {"method": "mlem", "half_life_h": 24.0}) == {"t24": pytest.approx(0.6)}
