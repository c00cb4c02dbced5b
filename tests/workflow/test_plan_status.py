"""`planardose plan` counts the jobs that Snakemake would run; `planardose status` tells which of them are done."""

import errno
import fcntl
import json
import os
import re
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from planardose.cli import STEPS, app
from planardose.commands.plan import plan
from planardose.commands.status import status
from planardose.config import parse_config
from planardose.errors import InputError
from planardose.io.files import write_text
from planardose.jobs import OUTPUT, jobs_of
from planardose.marks import Marks
from planardose.paths import STEP_VERSIONS
from planardose.run import Run
from planardose.sheet import load_cohort
from planardose.sidecar import sidecar_of

ROWS = [("P01", "t4"), ("P01", "t24"), ("P02", "t24")]
EVERYTHING = {"methods": ["unet", "diffusion"], "train": {"steps": 4}, "reinforce": {"steps": 2}}


def run_of(sheet, folder, **config):
    return Run(parse_config(config), load_cohort(sheet), folder / "results")


@pytest.mark.parametrize("config", [{}, {"methods": ["qplanar_mlem"]}, EVERYTHING, {"methods": ["diffusion"]}])
def test_the_plan_counts_the_jobs_that_snakemake_counts(write_sheet, workflow, tmp_path, config):
    sheet = write_sheet(tmp_path, ROWS)
    words = tuple(f"{k}={json.dumps(v)}" for k, v in config.items())
    theirs = workflow(tmp_path, sheet, configfile=None, config=words).jobs()
    theirs = {step.replace("_", "-"): n for step, n in theirs.items() if step != "all"}
    line = next(x for x in plan(run_of(sheet, tmp_path, **config)) if x.startswith("jobs:"))
    ours = {step: int(n) for step, n in re.findall(r"([a-z-]+) (\d+)", line.split("(")[1])}
    assert ours == theirs and f"jobs: {sum(theirs.values())} " in line


@pytest.mark.parametrize("config", [{}, {"methods": ["qplanar_mlem", "diffusion"]}])
def test_a_time_point_with_a_spect_alone_has_a_step_of_its_own(write_sheet, workflow, tmp_path, config):
    """Patient by patient: the other one's time point of the same name has planar images."""
    sheet = write_sheet(tmp_path, [*ROWS, ("P02", "t4")])
    header, *lines = [line.split("\t") for line in sheet.read_text().splitlines()]
    cells = [dict(zip(header, line, strict=True)) | {"spect": "", "spect_at": ""} for line in lines]
    for row in cells:
        if (row["patient"], row["timepoint"]) in (("P01", "t24"), ("P02", "t4")):
            row |= {"planar": "", "spect": "in/spect.nii.gz", "spect_at": "2026-01-06T09:00:00"}
    sheet.write_text("\n".join("\t".join(r) for r in (cells[0], *(c.values() for c in cells))) + "\n")
    words = tuple(f"{k}={json.dumps(v)}" for k, v in config.items())
    theirs = workflow(tmp_path, sheet, configfile=None, config=words).jobs()
    theirs = {step.replace("_", "-"): n for step, n in theirs.items() if step != "all"}
    line = next(x for x in plan(run_of(sheet, tmp_path, **config)) if x.startswith("jobs:"))
    ours = {step: int(n) for step, n in re.findall(r"([a-z-]+) (\d+)", line.split("(")[1])}
    assert ours == theirs
    assert [theirs[s] for s in ("spect-activity", "import-planar", "register", "reconstruct")] == [2, 2, 2, 2]


def test_the_plan_tells_what_stands_in_the_sheet(write_sheet, tmp_path):
    sheet = write_sheet(tmp_path, ROWS)
    lines = plan(run_of(sheet, tmp_path, patients={"P02": {"t24": {"flip_posterior": True}}}))
    first, second = (next(x for x in lines if x.startswith(p)) for p in ("P01", "P02"))
    assert "t4, t24" in first and "label map" in first and "not calibrated" in first and first.endswith(" 15")
    assert "decisions by hand" in second and "decisions" not in first
    assert not (tmp_path / "results").exists()


def test_the_status_tells_what_is_done_next_failed_and_finished(write_sheet, tmp_path):
    run = run_of(write_sheet(tmp_path, ROWS), tmp_path, methods=["qplanar_mlem"])
    assert status(run) == ["no results folder: nothing has run yet, or --results names another"]
    run.results.mkdir()
    assert [x.split()[:5] for x in status(run)[1:3]] == [
        ["P01", "0", "of", "11", "waiting"], ["P02", "0", "of", "8", "waiting"]
    ]  # fmt: skip
    for job in jobs_of(run.config, run.cohort, "P01"):
        job.output(run.results).parent.mkdir(parents=True, exist_ok=True)
        job.output(run.results).write_text(json.dumps({"status": "fallback"}))
    for job in jobs_of(run.config, run.cohort, "P02")[:3]:
        job.output(run.results).parent.mkdir(parents=True, exist_ok=True)
        job.output(run.results).write_text("")
    lines = status(run)
    assert re.match(r"P01 +11 of 11 +fallback +P01/report.html", lines[1])
    assert re.match(r"P02 +3 of 8 +started +next: register t24", lines[2])
    assert "patients: 2 (fallback 1, started 1)" in lines
    note = run.results / "P02/errors/register_t24.json"
    note.parent.mkdir()
    note.write_text(json.dumps({"message": "P02 t24 planar: no peak"}))
    with (run.results / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        lines = status(run)
    assert re.match(r"P02 +3 of 8 +failed +P02 t24 planar: no peak", lines[2])
    assert "a run is working in the results folder now" in lines
    assert "a run is working in the results folder now" not in status(run)


def test_the_status_tells_results_of_another_sheet_or_version(write_sheet, tmp_path, monkeypatch):
    """A row removed, a time point renamed, a dose corrected: a report that is still there is not this sheet's."""
    run = run_of(write_sheet(tmp_path, ROWS), tmp_path, methods=["qplanar_mlem"])
    marks = Marks(run.config, run.cohort)
    for job in (job for patient in ("P01", "P02") for job in jobs_of(run.config, run.cohort, patient)):
        output = job.output(run.results)
        write_text(output, json.dumps({"status": "ok"}))
        settings = marks.settings(job.step, job.patient, job.timepoint)
        write_text(sidecar_of(output), json.dumps({"settings": settings}))

    def told(rows=ROWS, **cells):
        sheet = write_sheet(tmp_path, rows, **cells)
        return status(run_of(sheet, tmp_path, methods=["qplanar_mlem"]))

    assert [x.split()[4] for x in told()[1:3]] == ["ok", "ok"] and not any("not in the sheet" in x for x in told())
    corrected = told(injected_mbq="3700")
    assert re.match(r"P01 +11 of 11 +outdated +import-planar t4 is of another sheet, .* run again; ", corrected[1])
    assert corrected[1].endswith("with '--forcerun import_planar'")
    assert "patients: 2 (outdated 2)" in corrected
    fewer = told(ROWS[:1])
    assert re.match(r"P01 +8 of 8 +outdated +fit-kinetics is of another sheet", fewer[1])
    assert "also there, but not in the sheet: P01 t24, P02 t24" in fewer
    monkeypatch.setitem(STEP_VERSIONS, "absorbed_dose", 99)
    assert re.match(r"P02 +8 of 8 +outdated +absorbed-dose is of", told()[2])


def test_a_step_repeated_by_hand_leaves_what_was_made_of_it_outdated(write_sheet, tmp_path):
    """With the same settings, of images that came again say."""
    run = run_of(write_sheet(tmp_path, ROWS), tmp_path, methods=["qplanar_mlem"])
    marks, before = Marks(run.config, run.cohort), None
    for job in jobs_of(run.config, run.cohort, "P01"):
        write_text(job.output(run.results), json.dumps({"status": "ok"}))
        made_from = [before] if before else []
        job_run = replace(run, settings=marks.settings(job.step, "P01", job.timepoint))
        job_run.sidecar(before := job.output(run.results), job.step, "", "", made_from)
    assert status(run)[1].split()[4] == "ok"
    kinetics = run.path("kinetics", patient="P01")
    write_text(kinetics, "others")
    replace(run, settings=marks.settings("fit_kinetics", "P01")).sidecar(kinetics, "fit_kinetics", "")
    assert re.match(
        r"P01 +11 of 11 +outdated +absorbed-dose was made from another P01/dose/kinetics.csv: run again", status(run)[1]
    )


def test_a_step_refuses_what_was_made_with_other_settings(write_sheet, tmp_path):
    """Else a report tells the config that it was called with, photons say, of doses that were made without."""
    sheet = write_sheet(tmp_path, ROWS)
    other = run_of(sheet, tmp_path, dose={"photons": 0})
    for key, step in (("tia", "fit_kinetics"), ("dose", "absorbed_dose")):
        path = other.path(key, patient="P01")
        write_text(path, key)
        other = replace(other, settings=Marks(other.config, other.cohort).settings(step, "P01"))
        other.sidecar(path, step, "")
    run = run_of(sheet, tmp_path)
    report = replace(run, settings=Marks(run.config, run.cohort).settings("report", "P01"))
    assert report.need("tia", "fit-kinetics", patient="P01").exists(), "it does not depend on what differs"
    with pytest.raises(InputError, match=r"P01 dose: made with other settings.*run 'planardose absorbed-dose' again"):
        report.need("dose", "absorbed-dose", patient="P01")
    assert other.need("dose", "absorbed-dose", patient="P01").exists()


def test_a_run_is_told_on_nfs_too(write_sheet, tmp_path, monkeypatch):
    """NFS turns flock into byte-range locks, and those need a file that is open for writing to be exclusive."""
    run = run_of(write_sheet(tmp_path, ROWS), tmp_path)
    run.results.mkdir()
    lock, flock = run.results / ".lock", fcntl.flock
    lock.touch()

    def as_nfs_does(file, how):
        if how & fcntl.LOCK_EX and not file.writable():
            raise OSError(errno.EBADF, "Bad file descriptor")
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", as_nfs_does)
    told = "a run is working in the results folder now"
    assert told not in status(run)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert told in status(run)


def test_status_reads_results_that_only_another_user_can_write(write_sheet, tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    options = ["--cohort", str(write_sheet(tmp_path, ROWS)), "--results", str(tmp_path / "results")]
    monkeypatch.setattr(os, "access", lambda path, how: how == os.R_OK)
    told = CliRunner().invoke(app, ["status", *options])
    assert told.exit_code == 0 and "patients: 2 (waiting 2)" in told.output
    assert CliRunner().invoke(app, ["plan", *options]).exit_code == 2, "a run would write there"


def test_every_step_of_a_patient_has_an_output():
    assert set(OUTPUT) == set(STEPS)
