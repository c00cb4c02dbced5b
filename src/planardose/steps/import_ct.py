"""Step import-ct: the CT of the sheet becomes ``anatomy/ct.nii.gz``, int16 HU on the CT's own grid."""

import logging

import numpy as np

from planardose.io.ct import clip_hu, read_ct
from planardose.io.nifti import write_volume
from planardose.io.same_patient import check_same_patient
from planardose.run import Run

log = logging.getLogger(__name__)


def import_ct(run: Run, patient: str) -> None:
    """Read, check and clip a patient's CT.

    Raises
    ------
    InputError
        As `planardose.io.ct.read_ct`, and `check_same_patient` for the planar images of every row: before time is spent
        on a patient that cannot be finished.
    """
    where, rows = f"{patient} ct", run.cohort.rows_of(patient)
    volume, clipped = clip_hu(read_ct(rows[0].paths["ct"], where))
    check_same_patient(run.config, rows, rows)
    beyond = clipped["voxels_below"] + clipped["voxels_above"]
    if beyond:
        log.info("%s: %d of %d voxels clipped to %d..%d HU", where, beyond, clipped["voxels"], *clipped["hu_range"])
    output = run.path("ct", patient=patient)
    write_volume(output, volume, dtype=np.int16)
    inputs = [run.sheet_input(patient, "ct")]
    run.sidecar(output, "import_ct", volume.quantity, volume.unit, inputs, clipped=clipped)
