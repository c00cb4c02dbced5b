"""The sidecar of an output as later steps read it."""

import pytest

from planardose.cohort import Cohort
from planardose.config import Config
from planardose.errors import InputError
from planardose.run import Run


@pytest.fixture
def run(tmp_path) -> Run:
    run = Run(Config(), Cohort(()), tmp_path)
    output = run.path("dose", patient="P01")
    output.parent.mkdir(parents=True)
    output.write_bytes(b"a map")
    run.sidecar(output, "absorbed_dose", "absorbed dose", "Gy", energy=2.5)
    return run


def test_it_tells_what_was_written(run):
    told = run.told("dose", "absorbed-dose", patient="P01")
    assert (told["energy"], told["unit"], told["inputs"]) == (2.5, "Gy", [])


@pytest.mark.parametrize("text", [None, "", '{"energy": 2.', "[2.5]", "{}"])
def test_one_that_is_missing_or_cut_off_names_the_step_to_run(run, text):
    beside = run.path("dose", patient="P01").with_name("dose_gy.nii.gz.json")
    beside.unlink() if text is None else beside.write_text(text)
    with pytest.raises(InputError, match=r"^P01 dose sidecar: damaged; .*run 'planardose absorbed-dose' again$"):
        run.told("dose", "absorbed-dose", patient="P01")


def test_an_entry_that_an_older_step_did_not_write_names_the_step_to_run(run):
    says = r"no entry 'notes'; expected results of this version of planardose; run 'planardose absorbed-dose' again$"
    with pytest.raises(InputError, match="^P01 dose sidecar: " + says):
        run.told("dose", "absorbed-dose", patient="P01")["notes"]
    path = run.path("gate", patient="P01", timepoint="t24")
    path.parent.mkdir(parents=True)
    path.write_text('{"status": "ok"}')
    gate = run.content("gate", "reconstruct", patient="P01", timepoint="t24")
    assert gate["status"] == "ok" and gate.get("accepted") is None
    with pytest.raises(InputError, match=r"^P01 t24 gate: no entry 'chosen'; .*run 'planardose reconstruct' again$"):
        gate["chosen"]
