"""Faults of the sheet and the config stop the run before any job, with one clear line."""

import pytest

from planardose.errors import InputError
from planardose.workflow import COHORT_VARIABLE, Plan


def refused(done, folder) -> list[str]:
    """The lines in which planardose says why; nothing must have been written."""
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    assert not (folder / "out").exists()
    return [line for line in done.stdout.splitlines() if line.startswith("planardose: ")]


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"patient": "../P01"}, "row 2, patient"),
        ({"injected_mbq": "-5"}, "P01 t4 injected_mbq"),
        ({"camera": "toy"}, "toy"),
    ],
)
def test_a_bad_sheet(write_sheet, workflow, tmp_path, cells, words):
    run = workflow(tmp_path, write_sheet(tmp_path, [("P01", "t4")], **cells))
    (line,) = refused(run(), tmp_path)
    assert words in line
    assert str(tmp_path) not in line


def test_every_fault_of_a_sheet_is_told_at_once(write_sheet, workflow, tmp_path):
    sheet = write_sheet(tmp_path, [("P01", "t4"), ("P02", "t4")], injected_mbq="7,4")
    first, second = refused(workflow(tmp_path, sheet)(), tmp_path)
    assert "P01 t4 injected_mbq" in first and "P02 t4 injected_mbq" in second


def test_a_results_folder_below_home_as_no_shell_writes_it(write_sheet, tmp_path, monkeypatch):
    """A config file is read by no shell: it would be a folder called '~'."""
    monkeypatch.setenv(COHORT_VARIABLE, "")  # Plan.load sets it; put back afterwards
    sheet = write_sheet(tmp_path, [("P01", "t4")])
    with pytest.raises(InputError, match="config results: '~' at the start"):
        Plan.load({"cohort": str(sheet), "results": "~/out"})


@pytest.mark.parametrize("config", ["sead=5", "train={stepz: 5}", "methods=[magic]"])
def test_a_bad_config(write_sheet, workflow, tmp_path, config):
    run = workflow(tmp_path, write_sheet(tmp_path, [("P01", "t4")]), config=(config,))
    (line,) = refused(run(), tmp_path)
    assert "config " + config.split("=")[0] in line


@pytest.mark.parametrize("replaced", [(), ("--replace-workflow-config",)])
def test_decisions_given_twice_in_a_configfile(write_sheet, workflow, tmp_path, replaced):
    """Snakemake's own reader keeps the second mapping, and a decision made in the first is lost."""
    mine = tmp_path / "mine.yaml"
    mine.write_text("patients:\n  P01: {t4: {flip_posterior: true}}\nseed: 3\npatients:\n  P01: {}\n")
    run = workflow(tmp_path, write_sheet(tmp_path, [("P01", "t4")]), configfile=mine)
    (line,) = refused(run(*replaced), tmp_path)
    assert "config file: key 'patients' stands twice in line 4" in line and str(tmp_path) not in line


@pytest.mark.parametrize("word", ["train={steps: 5, steps: 6}", "patients={'P01': {'t4': {}, 't4': {}}}"])
def test_a_key_twice_in_a_word_of_the_command_line(write_sheet, workflow, tmp_path, word):
    run = workflow(tmp_path, write_sheet(tmp_path, [("P01", "t4")]), config=(word,))
    (line,) = refused(run(), tmp_path)
    key, twice = word.split("=")[0], "steps" if "steps" in word else "t4"
    assert f"config {key}: key '{twice}' stands twice; expected each key once" in line


def test_a_configfile_in_json_indented_with_tabs_is_taken(write_sheet, workflow, tmp_path):
    mine = tmp_path / "mine.json"
    mine.write_text('{\n\t"methods": ["qplanar_mlem"]\n}\n')
    run = workflow(tmp_path, write_sheet(tmp_path, [("P01", "t4")]), configfile=mine)
    assert "train" not in run.jobs()


def test_a_missing_sheet(workflow, tmp_path):
    (line,) = refused(workflow(tmp_path, tmp_path / "nowhere.tsv")(), tmp_path)
    assert "cohort sheet" in line
    assert "nowhere" not in line


def test_from_the_sheet_alone_the_jobs_are_known(write_sheet, workflow, tmp_path):
    """A relative sheet and results folder, with the defaults of the clone: 40 samples in chunks of 20."""
    write_sheet(tmp_path, [("P01", "t4"), ("P01", "t24"), ("P02", "t4")])
    run = workflow(tmp_path, "sheet.tsv", configfile=None)
    assert run.jobs() == {
        "import_ct": 2, "import_planar": 3, "segment": 2, "register": 3, "sample_uptake": 2, "project": 4, "train": 2,
        "reconstruct": 3, "fit_kinetics": 2, "absorbed_dose": 2, "report": 2, "report_cohort": 1, "all": 1,
    }  # fmt: skip
    assert not (tmp_path / "out").exists(), "a dry run writes nothing"


def test_without_the_network_there_is_no_virtual_data(write_sheet, workflow, tmp_path):
    run = workflow(tmp_path, write_sheet(tmp_path, [("P01", "t4")]), config=("methods=[qplanar_mlem]",))
    assert not set(run.jobs()) & {"sample_uptake", "project", "train"}


def test_nested_override_keeps_its_neighbours(write_sheet, workflow, tmp_path):
    """The run itself fails for want of its inputs; the config that its jobs read is written before."""
    sheet = write_sheet(tmp_path, [("P01", "t4")])
    assert workflow(tmp_path, sheet, config=("train={learning_rate: 0.01}",))().returncode == 1
    text = (tmp_path / "out/config.yaml").read_text()
    assert "learning_rate: 0.01" in text
    assert "steps: 6" in text  # of config/test.yaml
    assert "threads: 1" in text  # of the clone's config.yaml
    assert str(tmp_path) not in text
