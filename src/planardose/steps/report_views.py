"""Measured and re-projected views of one time point, for the patient's page."""

import numpy as np

from planardose.io.views_file import load_views
from planardose.patient_model import PatientModel
from planardose.recon.gate import GATE_ERROR
from planardose.recon.qplanar import variance
from planardose.report.images import ViewPair
from planardose.run import Run


def views_of(run: Run, patient: str, timepoint: str, method: str, model: PatientModel) -> ViewPair:
    """Counts of a time point on the model's grid, and what the method's map should have given."""
    path = run.need("views", "reconstruct", patient=patient, timepoint=timepoint)
    measured, expected = load_views(path, method)
    spacing = (float(model.grid.spacing_mm[0]), float(model.grid.spacing_mm[2]))
    return ViewPair(timepoint, measured, expected, np.sqrt(variance(expected, GATE_ERROR)), spacing)
