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
