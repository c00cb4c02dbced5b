"""A method's map of a time point as later steps read it."""

import numpy as np

from planardose.io.nifti import read_volume
from planardose.organs import OUTSIDE_CT
from planardose.patient_model import PatientModel
from planardose.run import Run
from planardose.steps.result_table import read_rows
from planardose.units import BQ_PER_MBQ


def activity_mbq(run: Run, where: dict, model: PatientModel, method: str) -> np.ndarray:
    """(I, J, K) MBq per voxel on the whole grid: the map, and the table's activity out of the CT in the margin."""
    path = run.need("map", "reconstruct", method=method, **where)
    volume = read_volume(
        path, "activity concentration", "Bq/mL", f"{where['patient']} {where['timepoint']} {method} map"
    )
    activity = np.zeros(model.grid.shape)
    activity[..., model.ct_slices] = volume.data / BQ_PER_MBQ * model.grid.voxel_ml
    if OUTSIDE_CT in model.organs:
        table = read_rows(run, "organs", "reconstruct", **where)
        beyond = table[(table.organ == OUTSIDE_CT) & (table.method == method)].activity_mbq.sum()
        share = model.fractions[model.organs.index(OUTSIDE_CT)].astype(np.float64)
        activity += share * (beyond / max(share.sum(), 1e-9))
    return activity
