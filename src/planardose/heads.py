"""Where the two collimator faces stand relative to the patient."""

import numpy as np

from planardose.errors import InputError
from planardose.patient_model import PatientModel

DEFAULT_GAP_MM = (20.0, 60.0)  # body surface to face, anterior and posterior (the couch lies behind the patient)


def body_extent_ap_mm(model: PatientModel) -> tuple[float, float]:
    """RAS y (mm) of the body's most posterior and most anterior surface inside the CT."""
    occupied = np.flatnonzero(model.body[:, :, model.ct_slices].any(axis=(0, 2)))
    if occupied.size == 0:
        raise InputError("patient model", "no body in the CT", "soft tissue above -500 HU")
    y, half = model.grid.axis_mm(1), model.grid.spacing_mm[1] / 2
    return float(y[occupied[0]] - half), float(y[occupied[-1]] + half)


def face_positions_mm(
    model: PatientModel, distance_mm: tuple[float, float] | None, where: str = "planar"
) -> tuple[float, float]:
    """RAS y (mm) of the (anterior, posterior) collimator face.

    Parameters
    ----------
    model : PatientModel
    distance_mm : (anterior, posterior) or None
        Distance of each face from the body's axis (the middle of its AP extent), mm. None: `DEFAULT_GAP_MM` from
        the surface.
    where : str
        For the error.

    Raises
    ------
    InputError
        If a face would lie inside the body.
    """
    back, front = body_extent_ap_mm(model)
    if distance_mm is None:
        return front + DEFAULT_GAP_MM[0], back - DEFAULT_GAP_MM[1]
    axis, half = 0.5 * (front + back), 0.5 * (front - back)
    tolerance = model.grid.spacing_mm[1]
    for view, distance in zip(("anterior", "posterior"), distance_mm, strict=True):
        if distance < half - tolerance:
            raise InputError(
                f"{where} detector_distance_mm",
                f"{view} {distance:g} mm puts the collimator inside the body",
                f"at least {half:.0f} mm from the body's axis to the collimator face",
            )
    return axis + max(distance_mm[0], half), axis - max(distance_mm[1], half)
