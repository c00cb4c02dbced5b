"""A job on a cluster finds sheet, results and config without a path in its command line."""

import pytest

from planardose import library
from planardose.errors import InputError
from planardose.workflow import COHORT_VARIABLE, RESULTS_VARIABLE, Plan, config_of_job


@pytest.fixture
def sent(write_sheet, tmp_path, monkeypatch):
    """The plan of a run whose environment a job gets; in the working folder of both."""
    monkeypatch.chdir(tmp_path)
    for variable in (COHORT_VARIABLE, RESULTS_VARIABLE, library.USER_FOLDERS_VARIABLE):
        monkeypatch.setenv(variable, "")  # Plan.load sets them; put back afterwards
    mine = tmp_path / "mine"
    (mine / "tracers").mkdir(parents=True)
    (mine / "tracers/177Lu-PSMA-617.yaml").write_text(library.entry_path("tracers", "177Lu-PSMA-617").read_text() + "#")
    write_sheet(tmp_path, [("P01", "t4"), ("P01", "t24")])
    plan = Plan.load({
        "cohort": "sheet.tsv", "results": "./out/", "library": ["mine"], "train": {"steps": 7, "learning_rate": 1e-3},
        "projection": {"histories": "1.5e+6"}, "patients": {"P01": {"t24": {"shift_mm": [3, -12]}}},
    })  # fmt: skip
    (tmp_path / "out").mkdir()
    plan.write_config()
    return plan


def test_a_job_works_on_what_the_run_was_given(sent):
    job = Plan.load(config_of_job())
    assert job.cohort == sent.cohort and job.results == sent.results == "out"
    for step, timepoint in (("sample_uptake", None), ("project", None), ("train", None), ("register", "t24")):
        assert job.marks.of(step, "P01", timepoint) == sent.marks.of(step, "P01", timepoint), step


@pytest.mark.parametrize("variable", [COHORT_VARIABLE, RESULTS_VARIABLE])
def test_a_job_without_the_environment_is_told_what_to_do(sent, monkeypatch, variable):
    monkeypatch.delenv(variable)
    with pytest.raises(InputError, match=f"{variable}.*--export=ALL"):
        config_of_job()
