"""The organ table of a time point: one line per organ and method."""

import numpy as np

from planardose.organs import OUTSIDE_CT
from planardose.patient_model import PatientModel
from planardose.recon.uncertainty import Uncertainty

COLUMNS = "organ,method,volume_ml,activity_mbq,activity_mbq_u,activity_mbq_u_own"


def organ_lines(model: PatientModel, method: str, rows: np.ndarray, u: Uncertainty | None = None) -> list[str]:
    """Lines of a method with the organs' activities (O,) MBq; uncertainties that are NaN or None leave cells empty."""
    shown = [o for o, organ in enumerate(model.organs) if organ != OUTSIDE_CT or method != "conjugate_view"]
    columns = [rows, *(np.full((2, len(rows)), np.nan) if u is None else (u.total_mbq, u.own_mbq))]
    volumes = model.volumes_ml()

    def told(o: int) -> str:
        values = ("" if np.isnan(c[o]) else f"{c[o]:.8g}" for c in columns)
        return ",".join([model.organs[o], method, f"{volumes[o]:.8g}", *values])

    return [told(o) for o in shown]
