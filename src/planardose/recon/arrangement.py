"""Whether a pair's views are exchanged, mirrored or upside down; asked where the counts fit the CT oddly badly."""

import numpy as np

from planardose.cohort import key_by_hand
from planardose.errors import InputError
from planardose.patient_model import PatientModel
from planardose.recon.matcher import Images
from planardose.recon.register import register

SUSPICIOUS_MISFIT = 0.12  # the views may lie otherwise: right pairs have 0.02 to 0.14 (`benchmarks/wrong_pairs`)
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
    key, right = key_by_hand(where), "in the config puts them right"
    as_seen = f"export the images as the camera saw them, or give {key}.shift_mm if they are right"
    upside_down = [view[::-1, ::-1] for view in images.counts]
    arrangements = {
        "with the two heads exchanged": (f"{key}.head_order {right}", [posterior[::-1], anterior[::-1]]),
        "with the posterior view mirrored": (f"{key}.flip_posterior {right}", [anterior, posterior[::-1]]),
        "with both views mirrored": (as_seen, [anterior[::-1], posterior[::-1]]),
        "with both views turned upside down": (f"{key}.upside_down {right}", upside_down),
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
