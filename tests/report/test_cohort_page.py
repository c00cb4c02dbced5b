"""The cohort's page and table, on a small cohort with known numbers."""

import json
import re
import shutil
from html import unescape

import fake_results as fake
import numpy as np
import pandas as pd
import pytest
from page_words import text_of

from planardose.config import Dose
from planardose.report.cohort_page import PatientLine, cohort_html
from planardose.report.summary import DOSE_MODEL
from planardose.run import Run
from planardose.steps.absorbed_dose import absorbed_dose
from planardose.steps.report_cohort import COLUMNS, DAMAGED, UNFINISHED, report_cohort

GATES = ("passed", "accepted", "failed")
MADE = "2026-11-30 02:40 UTC"


def test_cohort_table_is_the_contracts(cohort):
    table = pd.read_csv(cohort.path("cohort_table"))
    assert list(table.columns) == COLUMNS
    assert set(table.patient) == {"P01", "P02", "P03", "P04"}
    assert table.groupby("patient").status.first().to_dict() == {
        "P01": "ok",
        "P02": "fallback",
        "P03": "failed",
        "P04": "failed",
    }
    failed = table[table.status == "failed"].set_index("patient")
    assert len(failed) == 2 and failed.organ.isna().all() and failed.dose_gy.isna().all()
    assert failed.message["P03"].startswith("P03 t24 planar: the posterior view is missing")
    assert failed.message["P03"].endswith("(and 1 more)")
    assert failed.message["P04"] == UNFINISHED.format("import-ct")
    doses = pd.read_csv(cohort.path("organ_doses", patient="P02"))
    ours = table[table.patient == "P02"]
    assert set(ours.method) == {"qplanar_mlem"}
    assert np.array_equal(ours.dose_gy, doses[doses.method == "qplanar_mlem"].dose_gy)


def test_cohort_page_links_reports_and_names_failures(cohort):
    html = cohort.path("cohort_report").read_text()
    assert 'href="P01/report.html"' in html and 'href="P03/report.html"' not in html
    assert "the posterior view is missing" in html and "&lt;both&gt;" in html
    assert 'id="cohort-chart"' in html
    failed = 'Failed, no doses: <a href="#row-P03">P03</a>, <a href="#row-P04">P04</a>.'
    assert failed in html and all(f'<tr id="row-{p}"' in html for p in ("P03", "P04")), "not to be looked for"


@pytest.mark.parametrize("photons", [True, False])
def test_cohort_page_says_what_its_doses_hold(cohort, photons: bool):
    summary = json.loads(cohort.path("summary", patient="P01").read_text()) | {"dose_model": DOSE_MODEL[photons]}
    table = pd.read_csv(cohort.path("cohort_table"))
    words = text_of(cohort_html([PatientLine("P01", "ok", "", summary)], table, MADE))
    assert ("photons by Monte Carlo" in words, "photons not included" in words) == (photons, not photons)


def test_doses_that_failed_the_gate_are_not_in_the_cohorts_distribution(cohort, monkeypatch):
    drawn, chart = [], "planardose.report.cohort_page.cohort_chart"
    monkeypatch.setattr(chart, lambda table, name: drawn.append(table) or "chart")
    table = pd.read_csv(cohort.path("cohort_table"))
    table.loc[table.patient == "P02", "gate"] = "failed"
    html = cohort_html([PatientLine("P03", "failed", "no images", None)], table, MADE)
    assert set(drawn[0].patient) == {"P01"} and "without patients whose gate failed" in html


def test_the_cohort_page_marks_doses_that_are_not_to_be_used(cohort):
    summary = json.loads(cohort.path("summary", patient="P01").read_text())
    lines = [PatientLine(g, "fallback", "", summary | {"gate": g}) for g in GATES]
    html = cohort_html(lines, pd.read_csv(cohort.path("cohort_table")), MADE)
    top, rows = html.split('<section id="patients">')
    assert all(f">{text}</span>" in top for text in ("3 fallback", "1 gate failed", "1 gate accepted by hand"))
    assert f"· {MADE}</small>" in top and f'content:"Cohort of 3, {MADE}, planardose ' in top
    row = {g: re.search(rf'<tr([^>]*)><th[^>]*><a href="{g}/report.html">.*?</tr>', rows, flags=re.S) for g in GATES}
    assert ["gate" in row[g][0].replace(f"{g}/", "") for g in GATES] == [False, True, True]
    assert ["faint" in row[g][1] for g in GATES] == [False, False, True]


def test_doses_of_several_cycles_stand_beside_their_number(cohort):
    """Else 7 Gy after two cycles look like twice the 3.5 Gy of a patient after one."""
    one = json.loads(cohort.path("summary", patient="P01").read_text())
    two = one | {"cycles": {n: one["cycles"]["1"] for n in "12"}}
    lines = [PatientLine("ONE", "ok", "", one), PatientLine("TWO", "ok", "", two)]
    words = " ".join(text_of(cohort_html(lines, pd.read_csv(cohort.path("cohort_table")), MADE)).split())
    assert "177Lu-PSMA-617 7.40 U-Net" in words and "177Lu-PSMA-617 14.8 in 2 cycles U-Net" in words


def test_the_cohorts_chart_is_drawn_once(cohort, tmp_path, monkeypatch):
    """Each patient's summary is tried out on the page; its chart, which takes most of the time, holds no summary."""
    drawn, chart = [], "planardose.report.cohort_page.cohort_chart"
    monkeypatch.setattr(chart, lambda table, name: drawn.append(set(table.patient)) or "chart")
    copy = Run(cohort.config, cohort.cohort, tmp_path / "results")
    shutil.copytree(cohort.results, copy.results)
    report_cohort(copy)
    assert drawn == [{"P01", "P02"}]


def test_cohort_without_any_success(tmp_path):
    run = fake.make_run(tmp_path, ["P01", "P02"])
    report_cohort(run)
    table = pd.read_csv(run.path("cohort_table"))
    assert list(table.status) == ["failed", "failed"]
    assert list(table.message) == [UNFINISHED.format("import-ct")] * 2
    assert "Plotly" not in run.path("cohort_report").read_text()


def test_error_of_a_rerun_overrides_an_older_report(cohort, tmp_path):
    copy = Run(cohort.config, cohort.cohort, tmp_path / "results")
    shutil.copytree(cohort.results, copy.results)
    (copy.results / "P01/errors").mkdir()
    (copy.results / "P01/errors/register_t24.json").write_text(
        json.dumps({"step": "register", "timepoint": "t24", "message": "P01 t24 planar: shows another outline"})
    )
    report_cohort(copy)
    table = pd.read_csv(copy.path("cohort_table"))
    assert list(table[table.patient == "P01"].status) == ["failed"]


@pytest.mark.parametrize("name", ["summary.json", "dose/organ_doses.csv"])
def test_damaged_results_of_one_patient_do_not_hide_the_others(cohort, tmp_path, name: str):
    copy = Run(cohort.config, cohort.cohort, tmp_path / "results")
    shutil.copytree(cohort.results, copy.results)
    path = copy.results / "P01" / name
    path.write_bytes(path.read_bytes()[:40])
    report_cohort(copy)
    table = pd.read_csv(copy.path("cohort_table"))
    assert list(table[table.patient == "P01"].message) == [DAMAGED]
    assert set(table[table.patient == "P02"].status) == {"fallback"}


def test_doses_that_lost_their_last_row_are_not_listed(cohort, tmp_path):
    copy = Run(cohort.config, cohort.cohort, tmp_path / "results")
    shutil.copytree(cohort.results, copy.results)
    path = copy.path("organ_doses", patient="P01")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    report_cohort(copy)
    table = pd.read_csv(copy.path("cohort_table"))
    assert list(table[table.patient == "P01"].message) == [DAMAGED]


def test_doses_of_another_run_than_the_report_are_not_listed(cohort, tmp_path):
    """A dose step repeated by hand with another config: table and page of the cohort told different doses."""
    copy = Run(cohort.config.model_copy(update={"dose": Dose(photons=0)}), cohort.cohort, tmp_path / "results")
    shutil.copytree(cohort.results, copy.results)
    absorbed_dose(copy, "P01")
    report_cohort(copy)
    table = pd.read_csv(copy.path("cohort_table"))
    (message,) = table[table.patient == "P01"].message
    assert message.startswith("P01 summary: not made from P01/dose/organ_doses.csv as it is now")
    assert message.endswith("run 'planardose report' again") and message in text_of(
        unescape(copy.path("cohort_report").read_text())
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.pop("calibrated"), lambda s: s.pop("organs"), lambda s: s.pop("cycles"), lambda s: s.pop("tracer"),
        lambda s: s.update(organs=[{"organ": "liver"}]), lambda s: s.update(cycles={"1": {}}),
        lambda s: s.update(status="done"), lambda s: s.update(organs=None),
    ],
)  # fmt: skip
def test_a_summary_of_another_version_does_not_hide_the_others(cohort, tmp_path, change):
    copy = Run(cohort.config, cohort.cohort, tmp_path / "results")
    shutil.copytree(cohort.results, copy.results)
    path = copy.path("summary", patient="P01")
    summary = json.loads(path.read_text())
    change(summary)
    path.write_text(json.dumps(summary))
    report_cohort(copy)
    table = pd.read_csv(copy.path("cohort_table"))
    assert list(table[table.patient == "P01"].message) == [DAMAGED]
    assert set(table[table.patient == "P02"].status) == {"fallback"}
    assert DAMAGED in copy.path("cohort_report").read_text()
