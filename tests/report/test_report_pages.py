"""A patient's page as a whole: sections, pictures, tables, provenance, printing, privacy, and its summary file."""

import json
import re
import shutil
from dataclasses import replace
from datetime import datetime, timedelta

import fake_results as fake
import numpy as np
import pandas as pd
import pytest
from page_words import page, text_of

from planardose.io.planar_file import load_pair, save_pair
from planardose.io.views_file import load_views, save_views
from planardose.planar import MoreViews
from planardose.report.patient_page import _provenance
from planardose.report.text import interval, number, with_u
from planardose.run import Run
from planardose.steps.report import report
from planardose.steps.report_point import _found, _moves
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


def test_rows_of_tables_are_named_for_screen_readers(cohort):
    for html in (page(cohort), cohort.path("cohort_report").read_text()):
        for body in re.findall(r"<tbody>(.*?)</tbody>", html, flags=re.S):
            rows = re.findall(r"<tr[^>]*>\s*<(\w+)( scope=\"row\")?", body)
            messages = body.count('<tr class="faint why"><td></td>')  # the second line of a patient
            assert rows and sum(row == ("th", ' scope="row"') for row in rows) == len(rows) - messages


def test_doses_on_the_page_are_those_of_the_table(cohort):
    doses = pd.read_csv(cohort.path("organ_doses", patient="P01"))
    words = text_of(page(cohort))
    for d in doses.itertuples():
        assert with_u(d.dose_gy, d.dose_gy_u) in words, (d.organ, d.method)
        if d.method == "unet":
            assert interval(d.dose_gy_low, d.dose_gy_high, d.dose_gy_u) in words, d.organ


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


def test_provenance_has_versions_hashes_and_seed(cohort):
    words = text_of(page(cohort))
    summary = json.loads(cohort.path("summary", patient="P01").read_text())
    for part in (summary["hashes"]["model"], summary["planardose"], str(summary["seed"]), "histories", "torch"):
        assert part in words
    assert "decay of 177Lu" in words and "LNHB evaluation" in words
    told = dict(_provenance(summary | {"network": "zero output"}))
    assert told["network"] == "zero output" and "network" not in dict(_provenance(summary))


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
