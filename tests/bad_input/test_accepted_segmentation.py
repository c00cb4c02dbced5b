"""Labels under which the CT has other matter: refused, unless the user looked and says why they are right."""

from pathlib import Path

import numpy as np
import pytest
from imaging_scene import CAMERA, PLANTED, ct_volume, planar_pair, write_patient, write_sheet

from planardose.commands.check import check
from planardose.config import parse_config
from planardose.errors import InputError
from planardose.image import Volume
from planardose.io.dicom_nm import write_planar
from planardose.io.nifti import write_volume
from planardose.run import Run
from planardose.sheet import load_cohort
from planardose.steps.import_ct import import_ct
from planardose.steps.segment import segment

REASON = "effusion and lytic bone, outlines looked at"
LUNG, VERTEBRA = 10, 26


def run_with(folder: Path, **reasons: str) -> Run:
    """A patient of two time points whose lung and vertebra lie in soft tissue; time point -> reason to accept them."""
    write_patient(folder)
    write_planar(folder / "t72.dcm", planar_pair(hours=72.0), CAMERA, identity=PLANTED)
    grid = ct_volume().grid
    labels = np.zeros(grid.shape, dtype=np.int16)
    labels[8:13, 10:18, 2:10], labels[22:26, 16:20, 2:10] = LUNG, VERTEBRA
    write_volume(folder / "labels.nii.gz", Volume(labels, grid, "label", "1"), dtype=np.int16)
    rows = [{"segmentation": "labels.nii.gz"} | more for more in ({}, {"timepoint": "t72", "planar": "t72.dcm"})]
    hands = {t: {"accept_segmentation": reason} for t, reason in reasons.items()}
    config = parse_config({"patients": {"P01": hands}, "segmentation": {"backend": "labels"}})
    return Run(config, load_cohort(write_sheet(folder, rows)), folder / "results")


def test_they_are_refused_with_the_key_that_accepts_them(tmp_path):
    run = run_with(tmp_path)
    import_ct(run, "P01")
    with pytest.raises(InputError, match=r"^P01 segmentation: .*lungs 4\d HU .*, skeleton 4\d HU ") as fault:
        segment(run, "P01")
    assert str(fault.value).endswith("set patients.P01.t24.accept_segmentation: 'reason' in the config")
    assert check(run) == [str(fault.value)]


@pytest.mark.parametrize("timepoint", ["t24", "t72"])
def test_a_reason_at_any_time_point_accepts_them_and_what_was_odd_is_told(timepoint, tmp_path, caplog):
    run = run_with(tmp_path, **{timepoint: REASON})
    import_ct(run, "P01")
    segment(run, "P01")
    assert run.path("model", patient="P01").exists()
    assert "skeleton 4" in caplog.text and f"accepted: {REASON}" in caplog.text
    assert check(run) == []
