"""Whether a pair's views are exchanged, mirrored or upside down; asked where the counts fit the CT oddly badly."""

import numpy as np

from planardose.errors import InputError
from planardose.patient_model import PatientModel
from planardose.recon.matcher import Images
from planardose.recon.register import register

SUSPICIOUS_MISFIT = 0.12  # the views may lie otherwise: right pairs have 0.02 to 0.14 (`benchmarks/wrong_pairs`)
BY_KEY = "patients.<id>.<timepoint>.{} in the config puts them right"
BY_HAND = "export the images as the camera saw them, or give patients.<id>.<timepoint>.shift_mm if they are right"
CLEARLY_BETTER = 0.75  # of the misfit: another arrangement of the views below it is the right one


def check_arrangement(
    model: PatientModel,
    responses: np.ndarray,
    images: Images,
    max_shift_mm: float,
    max_rotation_deg: float,
    misfit: float,
    where: str,
) -> None:
    """Refuse views that would explain the counts clearly better with the heads exchanged, one or both mirrored, or both
    upside down.

    Takes four more searches, so it is asked only of a misfit above `SUSPICIOUS_MISFIT`.

    Parameters
    ----------
    model, responses, images, max_shift_mm, max_rotation_deg
        As for `register`.
    misfit : float
        Of the images as they are, at the pose that was found.
    where : str
        Sheet row, for errors.

    Raises
    ------
    InputError
        Naming what puts the views right.
    """
    if misfit <= SUSPICIOUS_MISFIT:
        return
    anterior, posterior = images.counts
    upside_down = [view[::-1, ::-1] for view in images.counts]
    arrangements = {
        "with the two heads exchanged": (BY_KEY.format("head_order"), [posterior[::-1], anterior[::-1]]),
        "with the posterior view mirrored": (BY_KEY.format("flip_posterior"), [anterior, posterior[::-1]]),
        "with both views mirrored": (BY_HAND, [anterior[::-1], posterior[::-1]]),
        "with both views turned upside down": (BY_KEY.format("upside_down"), upside_down),
    }
    rivals = []
    for name, (do, counts) in arrangements.items():
        rival = Images(np.stack(counts), images.pixel_mm)
        rivals.append((register(model, responses, rival, max_shift_mm, max_rotation_deg).misfit_after, name, do))
    other, name, do = min(rivals)
    if other < CLEARLY_BETTER * misfit:
        raise InputError(
            f"{where} planar",
            f"{100 * misfit:.0f} % of its counts do not fit this patient's CT, {100 * other:.0f} % {name}",
            "the anterior and the posterior view as the camera sees them",
            f"look at the images; {do}",
        )
