"""Marks of table rows: organs that the CT cuts, tiny lesions, weak curves; every mark has a letter and a meaning."""

import re

import fake_results as fake
import numpy as np
import pandas as pd
import pytest
from page_words import page

from planardose.dose.flags import FLAGS
from planardose.image import Grid, Volume
from planardose.io.nifti import read_volume, write_volume
from planardose.organs import label_of_name
from planardose.report.remarks import Remarks
from planardose.report.row_marks import CUT, MARKS, NOT_SEEN, SMALL_LESION, marked, organs_cut
from planardose.steps.absorbed_dose import absorbed_dose
from planardose.steps.fit_kinetics import fit_kinetics
from planardose.steps.report import report


def test_rows_that_the_ct_cuts_and_tiny_lesions_are_marked(cohort):
    """The skeleton of the cohort's CT is drawn into its last slice here, the lesion is 17 mL."""
    labels = read_volume(cohort.path("labels", patient="P01"), "labels", "1", "P01 labels", np.int16)
    assert organs_cut(labels) == set()
    labels.data[10:12, 10, -1] = label_of_name()["skull"]
    data, affine = labels.data.transpose(2, 0, 1), labels.grid.ras_from_voxel[:, [2, 0, 1, 3]]
    turned = Volume(data, Grid(data.shape, affine), "labels", "1")
    assert organs_cut(labels) == organs_cut(turned) == {"skeleton"}
    doses = pd.read_csv(cohort.path("organ_doses", patient="P01")).fillna({"flags": ""})
    kinetics = pd.read_csv(cohort.path("kinetics", patient="P01"))
    found = marked(doses.assign(flags="rising"), {"skeleton"}, kinetics).set_index("organ")["flags"]
    assert set(found["skeleton"]) == {f"rising;{CUT}"} and set(found["lesion_1"]) == {"rising"}
    small = marked(doses.assign(volume_ml=1.9, flags=""), set(), kinetics).set_index("organ")["flags"]
    assert set(small["lesion_1"]) == {SMALL_LESION} and set(small["kidney_left"]) == {""}


def test_what_is_not_distinguished_from_zero_is_marked(cohort):
    doses, kinetics = (pd.read_csv(cohort.path(k, patient="P01")) for k in ("organ_doses", "kinetics"))
    liver = (kinetics.organ == "liver") & (kinetics.method == "unet")
    kinetics.loc[liver, "tia_mbq_h_u"] = 1.01 * kinetics[liver].tia_mbq_h
    found = marked(doses.assign(flags=""), set(), kinetics)
    assert set(map(tuple, found[found["flags"] == NOT_SEEN][["organ", "method"]].values)) == {("liver", "unet")}


def test_an_organ_cut_by_the_ct_is_marked_on_the_first_screen(tmp_path):
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0, "t72": 72.0}, methods=["qplanar"])
    fake.fill_patient(run, "P01")
    path = run.path("labels", patient="P01")
    labels = read_volume(path, "labels", "1", "P01 labels", np.int16)
    labels.data[40, 28, 0] = label_of_name()["liver"]
    write_volume(path, labels, np.int16)
    fit_kinetics(run, "P01")
    absorbed_dose(run, "P01")
    report(run, "P01")
    first = page(run).split('<section id="maps">')[0]
    letter = re.search(rf"<sup>(.)</sup> {MARKS[CUT]}", first)[1]
    assert re.findall(rf"</span>(\w+) <sup>[^<]*{letter}</sup>", first) == ["Liver"]


@pytest.mark.parametrize("flag", ["mostly_extrapolated", "poor_fit", "half_life_assumed", "rising"])
def test_first_screen_marks_the_organs_whose_curve_is_weak(tmp_path, flag: str):
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0, "t72": 72.0}, methods=["qplanar"])
    fake.fill_patient(run, "P01")
    fit_kinetics(run, "P01")
    absorbed_dose(run, "P01")
    table = run.path("organ_doses", patient="P01")
    doses = pd.read_csv(table).fillna({"flags": ""})
    doses.loc[doses.organ == "kidney_left", "flags"] = flag
    doses.loc[doses.organ != "kidney_left", "flags"] = ""
    doses.to_csv(table, index=False)
    run.sidecar(table, "absorbed_dose", "mean absorbed dose per organ", "Gy")
    report(run, "P01")
    first, later = page(run).split('<section id="maps">')
    for part in (first, later.split('<section id="curves">')[0]):
        assert "Kidney, left <sup>a</sup>" in part and f"<sup>a</sup> {FLAGS[flag]}" in part
        assert "Kidney, right <sup>" not in part


def test_every_remark_has_a_letter():
    """All flags of the tables and all marks of the page at once."""
    flags = FLAGS | MARKS
    table = pd.DataFrame({"organ": [f"lesion_{n}" for n in range(len(flags))], "cycle": 1, "flags": list(flags)})
    remarks = Remarks.of(table, flags)
    assert sorted(text for _, text in remarks.meanings(set(flags))) == sorted(flags.values())
    assert all(remarks.beside({x}) for x in flags)
