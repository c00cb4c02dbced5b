"""Is it the same body? How much larger or smaller the planar images' patient is than the CT's, along and across.

A registration finds the best pose of any images on any anatomy; images of another patient then still fit badly in a way
that a change of size mends. The size is fitted together with the pose: pixels `across` and `along` times as large.
"""

from dataclasses import dataclass

import numpy as np

from planardose.frames import PlanarPose
from planardose.patient_model import PatientModel
from planardose.recon.gauss_newton import CONVERGED, LARGEST_STEP, PROBE, Steps, gauss_newton
from planardose.recon.matcher import Images, Matcher, coarser
from planardose.recon.placement import about, middle_of

SIZE_PROBE, SIZE_STEP, SIZE_CONVERGED, SIZE_BOUND = 0.01, 0.05, 0.002, 0.25  # of the logarithm of a size


@dataclass(frozen=True)
class Size:
    """Factors by which the images must grow, across (x) and along (z) the body, to fit the CT best: 1 is equal size.

    `across_u`, `along_u`: their standard uncertainties, from the fit's residuals. Few counts tell little of a size.
    """

    across: float
    along: float
    across_u: float = 0.0
    along_u: float = 0.0


def fitted_size(model: PatientModel, responses: np.ndarray, images: Images, pose: PlanarPose) -> Size:
    """Size of the best fit near a registered pose.

    Parameters
    ----------
    model, responses, images
        As `planardose.recon.register.register`.
    pose : PlanarPose
        What it found.
    """
    images = coarser(images, float(model.grid.spacing_mm[0]))
    matcher, centre = Matcher(model, responses, images), middle_of(model.grid)
    size = np.ones(2)

    def placed(move: np.ndarray) -> tuple[Matcher, PlanarPose]:
        return matcher.stretched(*np.exp(move[3:])), about(pose, centre, move[:3])

    def both(first: np.ndarray, second: float) -> np.ndarray:
        return np.concatenate([first, second * size])

    steps = Steps(
        both(PROBE, SIZE_PROBE),
        both(2 * LARGEST_STEP, SIZE_STEP),
        both(CONVERGED, SIZE_CONVERGED),
        both(np.full(3, -np.inf), -SIZE_BOUND),
        both(np.full(3, np.inf), SIZE_BOUND),
    )
    move, normal, square = gauss_newton(placed, steps)
    errors = np.sqrt(np.diag(np.linalg.inv(normal + 1e-12 * np.eye(len(move)))) * square.mean())[3:]
    size = np.exp(move[3:])
    return Size(*(float(x) for x in (*size, *(size * errors))))
