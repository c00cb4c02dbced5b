"""Measured and re-projected views of one time point, for the patient's page."""

import numpy as np

from planardose.io.views_file import load_views
from planardose.patient_model import PatientModel
from planardose.recon.gate import GATE_ERROR
from planardose.recon.matcher import SEARCH_ERROR
from planardose.recon.qplanar import variance
from planardose.report.images import BeforeAfter, ViewPair
from planardose.run import Run


def views_of(run: Run, patient: str, timepoint: str, method: str, model: PatientModel) -> ViewPair:
    """Counts of a time point on the model's grid, and what the method's map should have given."""
    path = run.need("views", "reconstruct", patient=patient, timepoint=timepoint)
    measured, expected = load_views(path, method)
    spacing = (float(model.grid.spacing_mm[0]), float(model.grid.spacing_mm[2]))
    return ViewPair(timepoint, measured, expected, np.sqrt(variance(expected, GATE_ERROR)), spacing)


def before_after(run: Run, patient: str, timepoint: str, spacing_mm: tuple[float, float]) -> BeforeAfter:
    """What the registration step kept: counts, fit, and their differences in standard deviations."""
    path = run.need("registration_views", "register", patient=patient, timepoint=timepoint)
    with np.load(path, allow_pickle=False) as archive:
        kept = {name: archive[name].astype(np.float64) for name in archive.files}
    deviations = [
        (kept[f"counts_{when}"] - kept[f"expected_{when}"]) / np.sqrt(variance(kept[f"expected_{when}"], SEARCH_ERROR))
        for when in ("before", "after")
    ]
    return BeforeAfter(kept["counts_after"], kept["expected_after"], deviations[0], deviations[1], spacing_mm)
