"""What the first screen of a patient's page says: who, what, how much, and what is not to be used."""

import json
import re
from dataclasses import replace
from datetime import timedelta

import fake_results as fake
import pandas as pd
import pytest
from page_words import page, text_of

from planardose.cohort import Row
from planardose.report.first_screen import first_notes
from planardose.report.text import organ_name
from planardose.steps.absorbed_dose import absorbed_dose
from planardose.steps.fit_kinetics import fit_kinetics
from planardose.steps.report import _administered, report
from planardose.steps.report_point import scale_text


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


def test_dose_per_administered_activity_says_what_its_uncertainty_lacks(cohort):
    first, later = page(cohort).split('<section id="maps">')
    for part in (first, later.split('<section id="curves">')[0]):
        assert "uncertainty of the administered activity is not in Gy/GBq" in part


def test_what_the_syringe_kept_is_told():
    row = Row("P01", "t24", "177Lu", "177Lu-PSMA-617", "siemens_symbia_melp", 7400.0, fake.INJECTED, {})
    assert _administered(row).endswith("(nothing told to be left in the syringe)")
    text = _administered(replace(row, residual_mbq=50.0)).translate({0x202F: " ", 0xA0: " "})
    assert text == "7 350 MBq on 2026-03-02 09:00 (7 400 MBq less 50.00 MBq left in the syringe)"


def test_an_injection_in_summer_says_that_it_is_told_on_the_first_ones_clock():
    """All times of a patient are on the clock of the first injection: 09:00 in summer is told as 08:00."""
    row = Row("P01", "t24", "177Lu", "177Lu-PSMA-617", "siemens_symbia_melp", 7400.0, fake.INJECTED, {})
    text = _administered(replace(row, utc_offset=timedelta(hours=1))).translate({0x202F: " ", 0xA0: " "})
    assert "7 400 MBq on 2026-03-02 09:00 (+01:00 from UTC) (nothing" in text


def test_how_much_of_an_integral_the_cycle_before_left_is_told(tmp_path, monkeypatch):
    """Of a lesion of 130 h 26 % after 12 days, which the page told as more than 2 %."""
    monkeypatch.setattr(fake, "CYCLE_DAYS", 7)
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0, "t72": 72.0}, methods=["qplanar"], cycles=2)
    fake.fill_patient(run, "P01", noise=1e-6)
    for step in (fit_kinetics, absorbed_dose, report):
        step(run, "P01")
    told = run.told("kinetics", "fit-kinetics", patient="P01")["residue_share"]
    most = max(told, key=lambda x: x["share"])
    words = f"at most {100 * most['share']:.0f} % in cycle 2 ({organ_name(most['organ']).lower()})"
    assert f"counted in both cycles, {words}" in " ".join(text_of(page(run)).split())


def test_a_calibration_says_whose_uncertainty_it_has():
    scale = {"measured_cps_per_mbq": 9.3, "computed_cps_per_mbq": 11.8, "measured_cps_per_mbq_u": None}
    assert scale_text(scale).endswith("; ± 5 % (assumed)")
    assert scale_text(scale | {"measured_cps_per_mbq_u": 0.279}).endswith("; ± 3 %")


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
