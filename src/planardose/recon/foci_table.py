"""The table of the foci that the counts of a time point show and no outline tells of."""

import numpy as np

from planardose.patient_model import PatientModel
from planardose.recon.foci import Foci
from planardose.recon.uncertainty import foci_u

COLUMNS = "focus,organ,x_mm,y_mm,z_mm,x_mm_u,y_mm_u,z_mm_u,activity_mbq,activity_mbq_u,contrast"


def foci_lines(foci: Foci, model: PatientModel, mbq: np.ndarray, calibration_u: float) -> list[str]:
    """Lines of a table of F foci, brightest first: the organ in whose row each is counted, its place (RAS) and activity
    with standard uncertainties, and its concentration over that of what lies around it.

    Parameters
    ----------
    foci : Foci
    model : PatientModel
    mbq : (F,) float
        As the fit of all sources has it.
    calibration_u : float
        Relative.
    """
    by_counts = np.array([f.mbq_u for f in foci.found])
    u = foci_u(mbq, by_counts, calibration_u)
    lines = [COLUMNS]
    hosts = foci.hosts(model)
    # the fit of all sources, and of further views, may order them otherwise than their search did
    for number, n in enumerate(np.argsort(-mbq, kind="stable"), start=1):
        focus = foci.found[n]
        values = [*focus.centre_mm(model.grid), *focus.u_mm, mbq[n], u[n], foci.contrasts[n]]
        lines.append(",".join([str(number), model.organs[hosts[n]], *(f"{v:.8g}" for v in values)]))
    return lines
