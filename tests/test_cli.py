"""The command line: exit codes, one clear line, notes for the cohort page, examples in every help."""

import errno
import json
import logging
import re
import subprocess
import sys
import types

import pytest
import torch
import typer
from typer.testing import CliRunner

import planardose
from planardose.cli import STEPS, app
from planardose.errors import InputError

COLUMNS = ("patient", "timepoint", "ct", "planar", "nuclide", "tracer", "camera", "injected_mbq", "injected_at")
COMMANDS = {
    "import-ct",
    "import-planar",
    "segment",
    "import-prior",
    "sample-uptake",
    "project",
    "train",
    "train-diffusion",
    "reinforce",
    "register",
    "reconstruct",
    "compare-spect",
    "spect-activity",
    "fit-kinetics",
    "absorbed-dose",
    "report",
    "report-cohort",
    "make-demo",
    "check",
    "plan",
    "status",
    "benchmark",
    "list",
    "calibrate",
    "evaluate",
    "export-dicom",
    "doctor",
    "verify",
    "validate-physics",
}


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Call a step on a sheet of one patient whose inputs lie below a folder with a name in it."""
    values = (
        "P01",
        "t4",
        "SECRET/ct",
        "SECRET/t4.dcm",
        "177Lu",
        "177Lu-PSMA-617",
        "siemens_symbia_melp",
        "7400",
        "2026-01-05T09:00:00",
    )
    (tmp_path / "sheet.tsv").write_text("\t".join(COLUMNS) + "\n" + "\t".join(values) + "\n")
    monkeypatch.setenv("PLANARDOSE_COHORT", str(tmp_path / "sheet.tsv"))

    def run(*words):
        return CliRunner().invoke(app, [*words, "--results", str(tmp_path / "out")])

    return run


def fake_step(monkeypatch, name, function, room="steps"):
    module = types.ModuleType(f"planardose.{room}.{name}")
    setattr(module, name, function)
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_the_commands_of_this_version_and_no_others():
    assert set(typer.main.get_command(app).commands) == COMMANDS


def test_the_help_tells_every_command_in_full_and_what_a_user_starts_with_first(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, ["--help"]).output
    assert re.findall(r"^  ([a-z][a-z-]+)  ", shown, flags=re.M)[0] == "check"
    assert sorted(re.findall(r"^  ([a-z][a-z-]+)  ", shown, flags=re.M)) == sorted(COMMANDS)
    assert "..." not in shown.split("Your cohort:")[1]
    steps = [re.search(rf"^  {name.replace('_', '-')} ", shown, flags=re.M).start() for name in STEPS]
    assert steps == sorted(steps)


def test_version():
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.output) == (0, f"planardose {planardose.__version__}\n")


def test_as_a_module():
    done = subprocess.run([sys.executable, "-m", "planardose", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"planardose {planardose.__version__}\n")


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_help_has_an_example(command):
    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert re.search(rf"Example:\s+planardose {command}\b", shown.output)


def test_bad_input_is_exit_2_and_one_line_that_the_cohort_page_can_read(call, tmp_path):
    done = call("import-ct", "--patient", "P01")
    assert done.exit_code == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("planardose: P01 ct: ")
    assert "SECRET" not in line
    note = json.loads((tmp_path / "out/P01/errors/import_ct.json").read_text())
    assert note == {"step": "import_ct", "timepoint": None, "message": line.removeprefix("planardose: ")}


@pytest.mark.parametrize(
    ("remark", "last"),
    [(None, "every input is readable and plausible"), ("odd", "every input is readable; mind the warnings above: 1")],
)
def test_check_does_not_call_plausible_what_it_warned_of(call, monkeypatch, remark, last):
    def fake(run):
        if remark:
            logging.getLogger("planardose.commands.check").warning(remark)
        return []

    fake_step(monkeypatch, "check", fake, "commands")
    done = call("check")
    assert (done.exit_code, done.stdout.strip()) == (0, last)


@pytest.mark.parametrize(
    "words",
    [
        ("make-demo", "{file}"),
        ("make-demo", "{file}/x"),
        ("project", "--activity", "act.nii.gz", "--ct", "ct", "--seconds-per-row", "145", "--out", "{file}/x.dcm"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_any_work(tmp_path, words):
    (tmp_path / "file").touch()
    done = CliRunner().invoke(app, [w.format(file=tmp_path / "file") for w in words])
    assert done.exit_code == 2
    (line,) = done.stderr.strip().splitlines()
    assert "not a folder that can be written; expected a writable folder" in line and str(tmp_path) not in line


@pytest.mark.parametrize("words", [("project", "--chunk", "99"), ("train-diffusion",)])
def test_a_job_that_is_none_of_the_runs_makes_no_patient_fail(call, tmp_path, monkeypatch, words):
    def fake(*_):
        raise InputError("P01 chunk 99", "not there")

    fake_step(monkeypatch, words[0].replace("-", "_"), fake)
    done = call(*words, "--patient", "P01")
    assert done.exit_code == 2 and "P01 chunk 99" in done.stderr
    assert not (tmp_path / "out/P01/errors").exists()


def test_success_removes_the_note(call, tmp_path, monkeypatch):
    note = tmp_path / "out/P01/errors/register_t4.json"
    note.parent.mkdir(parents=True)
    note.write_text("{}")
    seen = []
    fake_step(monkeypatch, "register", lambda run, patient, timepoint: seen.append((patient, timepoint)))
    assert call("register", "--patient", "P01", "--timepoint", "t4").exit_code == 0
    assert seen == [("P01", "t4")]
    assert not note.exists()


def test_an_internal_fault_is_exit_1_without_traceback_or_path(call, tmp_path, monkeypatch):
    def broken(run, patient):
        raise ValueError(f"cannot read {tmp_path}/SECRET/ct of shape (3, 4)")

    fake_step(monkeypatch, "segment", broken)
    done = call("segment", "--patient", "P01")
    assert done.exit_code == 1
    assert "internal fault in segment: ValueError" in done.stderr
    assert "--debug" in done.stderr
    assert "Traceback" not in done.stderr
    assert "SECRET" not in done.stderr + (tmp_path / "out/P01/errors/segment.json").read_text()


def test_a_step_by_hand_takes_the_config_that_its_run_wrote(call, tmp_path, monkeypatch):
    grids = []
    fake_step(monkeypatch, "train", lambda run, patient: grids.append(run.config.grid_mm))
    other = tmp_path / "other.yaml"
    other.write_text("grid_mm: 6\n")
    call("train", "--patient", "P01")
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "out/config.yaml").write_text("grid_mm: 8\n")
    call("train", "--patient", "P01")
    call("train", "--patient", "P01", "--config", str(other))
    assert grids == [10.0, 8.0, 6.0]


@pytest.mark.parametrize("command", ["project", "train", "evaluate", "status"])
def test_help_says_which_config_holds(command):
    told = " ".join(CliRunner().invoke(app, [command, "--help"]).stdout.replace("│", " ").split())
    assert "the config.yaml that the run wrote to --results" in told


def test_a_fault_of_the_config_in_the_results_says_where_it_is(call, tmp_path):
    """The user gave none: an older version's, or one with decisions for a patient that has left the sheet."""
    (tmp_path / "out").mkdir(exist_ok=True)
    for text in ("old_key: 3\n", "patients: {P99: {t24: {upside_down: true}}}\n"):
        (tmp_path / "out/config.yaml").write_text(text)
        done = call("train", "--patient", "P01")
        assert done.exit_code == 2
        assert re.match(r"planardose: config \S+(key|t24) of config\.yaml in the results: ", done.stderr)
        (tmp_path / "other.yaml").write_text(text)
        done = call("train", "--patient", "P01", "--config", str(tmp_path / "other.yaml"))
        assert done.exit_code == 2 and "in the results" not in done.stderr


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line_with_what_to_do(call, monkeypatch, number):
    def full(run, patient):
        raise OSError(number, "No space left on device", "/data/SECRET/x")

    fake_step(monkeypatch, "train", full)
    done = call("train", "--patient", "P01")
    assert done.exit_code == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("planardose: train: no space left on the disk") and "free some and run again" in line
    assert "SECRET" not in line


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_another_users_file_is_one_line_with_what_to_do(call, monkeypatch, number):
    def theirs(run, patient):
        raise OSError(number, "Permission denied", "/data/SECRET/x")

    fake_step(monkeypatch, "segment", theirs)
    done = call("segment", "--patient", "P01")
    assert done.exit_code == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("planardose: segment: a file or folder may not be") and "ask their owner" in line
    assert "SECRET" not in line


def test_a_reader_that_has_had_enough_is_no_fault():
    command = [sys.executable, "-c", "from planardose.cli import main; main()", "list", "schema"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as done:
        done.stdout.close()  # as 'head' does
        assert "internal fault" not in done.stderr.read()


def test_a_full_gpu_is_one_line_with_what_to_do(call, monkeypatch, tmp_path):
    def full(run, patient):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    fake_step(monkeypatch, "train", full)
    done = call("train", "--patient", "P01")
    assert done.exit_code == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("planardose: train: the GPU has too little free memory") and "train.batch: 1" in line
    assert "train.batch: 1" in (tmp_path / "out/P01/errors/train.json").read_text()


def test_debug_shows_the_traceback(call, monkeypatch):
    def broken(run, patient):
        raise InputError("P01 ct", "bad", "good")

    fake_step(monkeypatch, "import_ct", broken)
    done = call("import-ct", "--patient", "P01", "--debug")
    assert done.exit_code == 2
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("import-ct",),
        ("register", "--patient", "P01"),
        ("project", "--patient", "P01", "--chunk", "-1"),
        ("import-ct", "--patient", "P99"),
        ("register", "--patient", "P01", "--timepoint", "t99"),
    ],
)
def test_wrong_usage_is_exit_2(call, words):
    assert call(*words).exit_code == 2


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("P99: {t4: {flip_posterior: true}}", "config patients.P99.t4: not in the cohort sheet; expected one of P01"),
        ("P01: {t99: {flip_posterior: true}}", "config patients.P01.t99: not in the cohort sheet; expected one of t4"),
    ],
)
@pytest.mark.parametrize("words", [("check",), ("import-ct", "--patient", "P01"), ("report-cohort",)])
def test_decisions_for_unknown_rows_are_refused_by_every_command(call, tmp_path, words, rows, says):
    (tmp_path / "mine.yaml").write_text(f"patients:\n  {rows}\n")
    done = call(*words, "--config", str(tmp_path / "mine.yaml"))
    assert done.exit_code == 2
    assert done.stderr.strip().splitlines() == [f"planardose: {says}; correct the key"]


def test_calibrate_prints_no_more_digits_than_a_sheet_needs(monkeypatch):
    found = {"anterior": {"cps_per_mbq": 11.327367115937506}, "camera": None}
    fake_step(monkeypatch, "calibrate", lambda *given: found, "commands")
    words = ("calibrate", "--planar", "x.dcm", "--activity-mbq", "50", "--at", "2026-01-12T09:00")
    assert json.loads(CliRunner().invoke(app, words).stdout) == {"anterior": {"cps_per_mbq": 11.3274}, "camera": None}


@pytest.mark.parametrize("time", ["yesterday", "2026-03-02", "02.03.2026 09:00"])
def test_calibrate_wants_a_time_of_day(tmp_path, time):
    words = ("calibrate", "--planar", str(tmp_path / "x.dcm"), "--activity-mbq", "500", "--at", time)
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "calibrate --at" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("what", ["nuclides", "cameras", "tracers", "methods", "organs", "config", "schema"])
def test_list(what):
    shown = CliRunner().invoke(app, ["list", what])
    assert shown.exit_code == 0
    assert len(shown.output.splitlines()) >= 1


def test_list_of_nothing_known():
    shown = CliRunner().invoke(app, ["list", "sausages"])
    assert shown.exit_code == 2
    assert "'sausages'" in shown.stderr


def test_every_step_of_the_command_line_is_a_rule():
    from planardose.paths import STEP_VERSIONS

    assert set(STEPS) | {"report_cohort"} == set(STEP_VERSIONS)
