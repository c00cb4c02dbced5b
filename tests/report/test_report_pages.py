"""The pages and the cohort table, on a small cohort with known numbers."""

import json
import re
import shutil
from dataclasses import replace
from datetime import datetime, timedelta

import fake_results as fake
import numpy as np
import pandas as pd
import pytest

from planardose.cohort import Row
from planardose.dose.flags import FLAGS
from planardose.image import Grid, Volume
from planardose.io.nifti import read_volume, write_volume
from planardose.io.planar_file import load_pair, save_pair
from planardose.io.views_file import load_views, save_views
from planardose.learn import diffusion_infer
from planardose.organs import label_of_name
from planardose.planar import MoreViews
from planardose.recon.projector import Projector
from planardose.recon.setting import load_setting
from planardose.report.first_screen import first_notes
from planardose.report.limits import limits
from planardose.report.patient_page import _provenance
from planardose.report.remarks import Remarks
from planardose.report.row_marks import CUT, MARKS, NOT_SEEN, SMALL_LESION, marked, organs_cut
from planardose.report.text import number, with_u
from planardose.run import Run
from planardose.steps.absorbed_dose import absorbed_dose
from planardose.steps.estimates import Estimates
from planardose.steps.fit_kinetics import fit_kinetics
from planardose.steps.report import _administered, report
from planardose.steps.report_point import _found, _moves, scale_text
from planardose.steps.report_views import views_of

# as the contract's checker looks for it
EXTERNAL = re.compile(r"""<(?:script|img|link|iframe)[^>]+(?:src|href)=["'](?!data:|#)([^"']+)""")
REASON = "arms moved <between> the views"
SECTIONS = (
    "summary",
    "basis",
    "outlines",
    "maps",
    "doses",
    "curves",
    "organs",
    "inputs",
    "views",
    "gate",
    "training",
    "limits",
    "provenance",
    "review",
)


def page(run, patient="P01"):
    return run.path("report", patient=patient).read_text()


def text_of(html):
    """Words of a page without scripts, styles and tags."""
    return re.sub(r"<[^>]+>", " ", re.sub(r"<(script|style)>.*?</\1>", "", html, flags=re.S))


def test_pages_are_self_contained_and_small(cohort):
    for path in (
        cohort.path("report", patient="P01"),
        cohort.path("report", patient="P02"),
        cohort.path("cohort_report"),
    ):
        assert EXTERNAL.findall(path.read_text()) == []
        assert path.stat().st_size < 6.5e6


def test_page_has_every_section_and_picture(cohort):
    html = page(cohort)
    for name in SECTIONS:
        assert f'<section id="{name}">' in html
    pictures = re.findall(r'<img alt="[^"]+" src="data:image/png;base64,([^"]+)"', html)
    # outlines, activity, dose, registration and views of two time points, training
    assert len(pictures) == 3 + 2 * 2 + 1
    assert all(len(p) > 5000 for p in pictures)
    assert "Plotly.newPlot" in html and 'id="curves-chart-0"' in html


def test_registration_is_shown_with_its_misfits_and_moves(cohort):
    words = text_of(page(cohort))
    assert "14.2 % → 3.1 % (refused above 30 %); 1.2 %" in words.replace("\u202f", " ")
    assert "none clearly" in words and "as the anterior" in words
    moves, u = {"liver": [0.4, -6.2], "spleen": [0.1, 2.0]}, {"liver": [1.0, 1.5], "spleen": [1.0, 3.0]}
    assert _moves({"organs_mm": moves, "organs_u_mm": u}) == "liver 0 / -6 mm"
    moves["liver"][0] = -0.4
    assert _moves({"organs_mm": moves, "organs_u_mm": u}) == "liver 0 / -6 mm"
    pose = {"method": "search", "shift_from_outline_mm": [-0.3, -7.2], "uncertainty_mm": 1.0}
    assert _found(pose) == "by search, ± 1.0 mm; 0, -7 mm from outline"


def test_first_screen_says_what_matters(cohort):
    first = text_of(page(cohort).split('<section id="maps">')[0])
    patient = ("P01", "177Lu", "159.528 h", "177Lu-PSMA-617", "7 400 MBq", "2026-03-02 09:00")
    times = ("nothing told to be left in the syringe", "t24 at 24.0 h, t168 at 168 h after it")
    result = ("U-Net, organ totals by QPlanar", "gate passed", "not calibrated on", "Kidney, left", "Lesion 1")
    scale = ("none; computed for the camera type", "cps/MBq; ± 30 %", "validated in silico only")
    lacks = ("Without a dose: red marrow", "given of: submandibular gland, left; submandibular gland, right.")
    for words in (*patient, *times, *result, *scale, *lacks):
        assert words in first.translate({0x202F: " ", 0xA0: " "}), words


def test_first_screen_has_the_kidneys_bed(cohort):
    first = " ".join(text_of(page(cohort).split('<section id="basis">')[0]).split())
    found = re.search(r"BED of the kidneys left (\S+) ± \S+, right \S+ ± \S+ Gy \(α/β 2.5 Gy, repair", first)
    doses = pd.read_csv(cohort.path("organ_doses", patient="P01")).set_index(["organ", "method"])
    assert float(found[1]) > doses.dose_gy["kidney_left", "unet"]


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


def test_page_has_its_date_and_a_place_to_sign(cohort):
    html = page(cohort)
    (made,) = set(re.findall(r"report of (\d{4}-\d\d-\d\d \d\d:\d\d)", html))
    written = datetime.fromtimestamp(cohort.path("report", patient="P01").stat().st_mtime)
    assert abs(written - datetime.fromisoformat(made)) < timedelta(minutes=3)
    sections = re.findall(r'<section id="(\w+)">', html)
    assert sections[-1] == "review"
    assert re.findall(r"<span>(\w+)</span>", html.split('id="review"')[1]) == ["Name", "Signature", "Date"]


def test_every_printed_sheet_names_patient_date_and_its_number(cohort):
    text = cohort.path("report", patient="P01").read_text()
    made = re.search(r"report of ([^<]+)</small>", text)[1]
    assert f'@bottom-left{{content:"P01, report of {made}, planardose ' in text
    assert '@bottom-right{content:"page " counter(page) " of " counter(pages)}' in text


def test_dose_per_administered_activity_says_what_its_uncertainty_lacks(cohort):
    first, later = page(cohort).split('<section id="maps">')
    for part in (first, later.split('<section id="curves">')[0]):
        assert "uncertainty of the administered activity is not in Gy/GBq" in part


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


def test_counts_of_an_acquisition_are_those_recorded(cohort, tmp_path):
    """Not those that the reconstruction used: without dead time, and on its grid."""
    copy = Run(cohort.config, cohort.cohort, tmp_path / "results")
    shutil.copytree(cohort.results, copy.results)
    for timepoint in ("t24", "t168"):
        path = copy.path("views", patient="P01", timepoint=timepoint)
        measured, expected = load_views(path, "unet")
        save_views(path, 1.5 * measured, {"unet": expected})
    path = copy.path("planar", patient="P01", timepoint="t24")
    pair = load_pair(path)
    save_pair(path, replace(pair, more=MoreViews((45.0, 225.0), pair.counts)))
    report(copy, "P01")
    counts = " / ".join(number(float(x.sum(dtype=float))) for x in pair.counts[:, 0])
    words = text_of(page(copy))
    assert counts in words and re.search(r"Oblique views\s+45°, 225°\s+–", words)


def test_what_the_syringe_kept_is_told():
    row = Row("P01", "t24", "177Lu", "177Lu-PSMA-617", "siemens_symbia_melp", 7400.0, fake.INJECTED, {})
    assert _administered(row).endswith("(nothing told to be left in the syringe)")
    text = _administered(replace(row, residual_mbq=50.0)).translate({0x202F: " ", 0xA0: " "})
    assert text == "7 350 MBq on 2026-03-02 09:00 (7 400 MBq less 50.00 MBq left in the syringe)"


def test_a_calibration_says_whose_uncertainty_it_has():
    scale = {"measured_cps_per_mbq": 9.3, "computed_cps_per_mbq": 11.8, "measured_cps_per_mbq_u": None}
    assert scale_text(scale).endswith("; ± 5 % (assumed)")
    assert scale_text(scale | {"measured_cps_per_mbq_u": 0.279}).endswith("; ± 3 %")


def test_rows_of_tables_are_named_for_screen_readers(cohort):
    for html in (page(cohort), cohort.path("cohort_report").read_text()):
        for body in re.findall(r"<tbody>(.*?)</tbody>", html, flags=re.S):
            rows = re.findall(r"<tr[^>]*>\s*<(\w+)( scope=\"row\")?", body)
            messages = body.count('<tr class="faint"><td></td>')  # the second line of a patient
            assert rows and sum(row == ("th", ' scope="row"') for row in rows) == len(rows) - messages


def test_doses_on_the_page_are_those_of_the_table(cohort):
    doses = pd.read_csv(cohort.path("organ_doses", patient="P01"))
    words = text_of(page(cohort))
    for d in doses.itertuples():
        assert with_u(d.dose_gy, d.dose_gy_u) in words, (d.organ, d.method)


def test_organ_activities_stand_with_their_uncertainty(cohort):
    table = pd.read_csv(cohort.path("organs", patient="P01", timepoint="t24"))
    words = text_of(page(cohort))
    for r in table.itertuples():
        assert with_u(r.activity_mbq, r.activity_mbq_u) in words, (r.organ, r.method)


def test_fallback_and_hand_decisions_are_shown(cohort):
    html = page(cohort, "P02")
    words = text_of(html)
    assert "fallback: QPlanar + MLEM" in words and "failed its re-projection gate at t168" in words
    assert "arms moved &lt;between&gt; the views" in html and "<between>" not in html
    assert "registration set by hand" in words
    assert "t24: label map accepted" in words and "“effusion, outlines looked at”" in words


def test_wrong_inputs_are_said_on_the_first_screen_and_no_dose_is_to_be_used(tmp_path):
    """Another patient's images, say: no method makes up for that, the fallback's gate fails too."""
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0, "t72": 72.0}, methods=["qplanar_mlem", "unet"])
    fake.fill_patient(run, "P01")
    path = run.path("gate", patient="P01", timepoint="t72")
    gate = json.loads(path.read_text())
    gate["inputs"] |= {"score": 17.25, "worst": "shift_z_posterior_mm", "passed": False}
    for method in ("qplanar_mlem", "unet"):
        gate[method]["passed"] = False
    path.write_text(json.dumps(gate | {"chosen": "qplanar_mlem", "status": "fallback"}))
    fit_kinetics(run, "P01")
    absorbed_dose(run, "P01")
    report(run, "P01")
    summary = json.loads(run.path("summary", patient="P01").read_text())
    assert (summary["method"], summary["status"], summary["gate"]) == ("qplanar_mlem", "fallback", "failed")
    told = "images, CT and position do not belong together at t72 (position of a view)"
    assert told in summary["message"] and "do not use these doses" in summary["message"]
    first = text_of(page(run).split('<section id="maps">')[0])
    assert told[1:] in first and "gate failed" in first
    assert "17.2 (limit 6" in text_of(page(run))


def test_summary_names_the_choice(cohort):
    good, fallen = (json.loads(cohort.path("summary", patient=p).read_text()) for p in ("P01", "P02"))
    assert (good["method"], good["status"], good["gate"], good["calibrated"]) == ("unet", "ok", "passed", False)
    assert (fallen["method"], fallen["status"], fallen["gate"]) == ("qplanar_mlem", "fallback", "passed")
    assert "t168" in fallen["message"] and "t24" not in fallen["message"]
    assert "cohort" not in good["config"] and "patients" not in good["config"] and good["by_hand"] == {}
    assert fallen["by_hand"]["t24"]["accept_gate"] == REASON
    doses = pd.read_csv(cohort.path("organ_doses", patient="P01"))
    used = doses[doses.method == "unet"].set_index("organ").dose_gy
    assert {o["organ"]: o["dose_gy"] for o in good["organs"]} == pytest.approx(used.to_dict(), rel=1e-5)


def test_scale_of_a_calibrated_camera(tmp_path):
    """Measured and computed sensitivity with their ratio; 9.3 is plausible and not warned of."""
    run = fake.make_run(tmp_path, ["P01"], calibrated=True, hours={"t24": 24.0}, methods=["qplanar"])
    fake.fill_patient(run, "P01")
    fit_kinetics(run, "P01")
    absorbed_dose(run, "P01")
    report(run, "P01")
    (scale,) = json.loads(run.path("summary", patient="P01").read_text())["scale"].values()
    assert scale["measured_cps_per_mbq"] == 9.3 and scale["plausible"] is True
    assert scale["ratio"] == pytest.approx(9.3 / scale["computed_cps_per_mbq"], rel=1e-3)
    words = text_of(page(run))
    assert f"9.3 measured, {scale['computed_cps_per_mbq']:.3g} computed cps/MBq: ratio {scale['ratio']:.2f}" in words
    assert "far from the sensitivity computed" not in words


def test_scale_out_of_range_is_the_readers_business(cohort):
    summary = json.loads(cohort.path("summary", patient="P01").read_text())
    assert {s["ratio"] for s in summary["scale"].values()} == {None}
    assert not [n for n in first_notes(summary, {}) if "far from" in n["text"]]
    summary["scale"]["t24"] |= {"ratio": 1.8, "plausible": False}
    (note,) = [n for n in first_notes(summary, {}) if "far from" in n["text"]]
    assert note["kind"] == "warn" and "measured / computed 1.80 at t24" in note["text"]


def test_a_body_that_gains_activity_is_told(cohort):
    """As with the images of two time points exchanged; between cycles the activity may rise."""
    summary = json.loads(cohort.path("summary", patient="P01").read_text())
    summary["cycles"] = {"1": {"timepoints": ["t4", "t24", "t96"]}, "2": {"timepoints": ["u24"]}}

    def told(**retained: float) -> list[str]:
        return [n["text"] for n in first_notes(summary, retained) if "no body gains" in n["text"]]

    assert not told(t4=0.5, t24=0.3, t96=0.32, u24=0.6) and not told(t4=0.2, u24=0.6)
    (note,) = told(t4=0.5, t24=0.1, t96=0.3)
    assert "(30 % at t96 after 10 % at t24 of the administered, decay-corrected)" in note
    (note,) = told(t4=0.2, t96=0.3)  # t24 by SPECT alone
    assert "30 % at t96 after 20 % at t4" in note


def test_limits_are_stated(cohort):
    words = text_of(page(cohort))
    for part in ("not measured by SPECT", "mono-exponential", "followed by Monte Carlo", "not that of the wall"):
        assert part in words


@pytest.mark.parametrize(
    ("nuclide", "percent", "says", "on_top"),
    [("177Lu", {"kidneys": 1.1, "liver": 4.1}, "add 1.1 % to a kidney's self-dose, 4.1 % to the liver's", False),
     ("131I", {"kidneys": 16, "liver": 35}, "for 131I they would add 16 %", True),
     ("131I", None, "a decay of 131I sets 380.8 keV free as photons and 191 keV as electrons", True)],
)  # fmt: skip
def test_what_is_missing_without_photons_is_that_of_the_nuclide(cohort, nuclide, percent, says: str, on_top: bool):
    summary = json.loads(cohort.path("summary", patient="P01").read_text())
    assert "photons_missing_percent" not in summary
    assert not any("not included" in line for line in limits(summary, ""))
    summary["config"]["dose"]["photons"] = 0
    summary |= {"nuclide": nuclide, "photons_missing_percent": percent}
    assert any(says in line for line in limits(summary, ""))
    assert any(says in n["text"] and n["kind"] == "bad" for n in first_notes(summary, {})) == on_top


def test_what_blurred_photons_lack_is_told_with_what_it_was_measured_for(cohort):
    """The figure is that of one nuclide and voxel, and the page may be another's."""
    (line,) = [x for x in limits(json.loads(cohort.path("summary", patient="P01").read_text()), "") if "20 to 40" in x]
    assert "measured, with 177Lu in voxels of 10 mm" in line


def test_dead_time_is_told_as_it_was_corrected(cohort):
    summary = json.loads(cohort.path("summary", patient="P01").read_text())
    assert summary["dead_time_corrected"] is True
    assert any(line.startswith("Dead time is corrected") for line in limits(summary, ""))
    told = {"timepoint": "t4", "rate_cps": 60_000.0, "lost": 0.43, "assumed_us": 5.0}
    summary |= {"dead_time_corrected": False, "dead_time_not_corrected": told}
    assert any("60\u202f000 counts/s at t4, one of 5 μs would take 43 %" in x for x in limits(summary, ""))
    assert [n["kind"] for n in first_notes(summary, {}) if "early points out" in n["text"]] == ["warn"]
    summary["dead_time_not_corrected"] = told | {"lost": 0.02}
    assert not any("Dead time" in n["text"] for n in first_notes(summary, {}))


def test_provenance_has_versions_hashes_and_seed(cohort):
    words = text_of(page(cohort))
    summary = json.loads(cohort.path("summary", patient="P01").read_text())
    for part in (summary["hashes"]["model"], summary["planardose"], str(summary["seed"]), "histories", "torch"):
        assert part in words
    assert "decay of 177Lu" in words and "LNHB evaluation" in words
    told = dict(_provenance(summary | {"network": "zero output"}))
    assert told["network"] == "zero output" and "network" not in dict(_provenance(summary))


def test_reprojection_of_a_true_map_explains_the_counts(tmp_path):
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0}, methods=["qplanar"])
    model = fake.fill_patient(run, "P01", noise=1e-6)
    registered = json.loads(run.path("registration", patient="P01", timepoint="t24").read_text())
    registered |= {"posterior_head": [0.0, 0.0, 0.0], "organs_mm": {}}  # as the views were made
    estimates = Estimates(run, "P01", "t24", load_setting(run, "P01", "t24", Projector), registered)
    true = np.tensordot(fake.concentrations(24.0, 1.0), model.fractions, axes=1) * model.grid.voxel_ml
    measured, expected = estimates.measured.counts, estimates.expected(true)
    assert expected.shape == (2, model.grid.shape[0], model.grid.shape[2])
    assert expected.sum() == pytest.approx(measured.sum(), rel=0.01)
    inside = expected > 20
    chi2 = (measured - expected)[inside] ** 2 / expected[inside]
    assert chi2.mean() == pytest.approx(1.0, abs=0.1)
    liver_side = measured[0, model.grid.axis_mm(0) > 20].sum()
    assert liver_side > 1.2 * measured[0, model.grid.axis_mm(0) < -20].sum()


def test_the_mean_of_draws_has_the_likelihoods_organ_totals(tmp_path, monkeypatch):
    """Draws with twice the activity in the lower half of the body; their spread goes down with them."""
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0}, methods=["diffusion"])
    model = fake.fill_patient(run, "P01")
    registered = json.loads(run.path("registration", patient="P01", timepoint="t24").read_text())
    estimates = Estimates(run, "P01", "t24", load_setting(run, "P01", "t24", Projector), registered)
    base = estimates.map("qplanar")
    drawn = base * np.where(model.grid.axis_mm(2) < 0, 2.0, 1.0)
    maps = np.stack([0.9 * drawn, 1.1 * drawn]).astype(np.float32)
    monkeypatch.setattr(diffusion_infer, "diffusion_draws", lambda *_: diffusion_infer.Draws(maps, 3.0))
    found = estimates.map("diffusion")
    rows, wanted = (estimates.fitted.rows(m, estimates.fit) for m in (found, estimates.map("qplanar_mlem")))
    seen = wanted > 0.01 * wanted.sum()
    assert rows[seen] == pytest.approx(wanted[seen], rel=0.02)
    assert estimates.map_u["diffusion"] == pytest.approx(0.3 * found, rel=1e-4, abs=1e-9)


def test_views_of_the_page_are_those_of_the_reconstruction(tmp_path):
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0}, methods=["qplanar"])
    model = fake.fill_patient(run, "P01")
    views = views_of(run, "P01", "t24", "qplanar", model)
    measured, expected = load_views(run.path("views", patient="P01", timepoint="t24"), "qplanar")
    np.testing.assert_array_equal(views.measured, measured)
    np.testing.assert_array_equal(views.expected, expected)
    assert (views.sigma**2 >= views.expected).all()


def test_no_output_holds_a_planted_name(cohort):
    for path in (p for p in cohort.results.rglob("*") if p.is_file()):
        content = path.read_bytes().lower()
        assert b"jane_roe" not in content and b"secret_doe" not in content, path.name
