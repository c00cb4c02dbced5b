"""What an image's blur carries out of organs and into them: activities that, blurred, fill the outlines as observed.

The geometric transfer matrix of Rousset et al. (J Nucl Med 1998;39:904), with masks that hold fractions of
voxels: each organ evenly filled, what it leaves in every outline computed, and the system solved with no activity below
zero.
"""

from dataclasses import dataclass, field

import numpy as np

from planardose.patient_model import PatientModel
from planardose.recon.emission import OnGrid, smoothed
from planardose.recon.qplanar import nonnegative_solution

RIDGE = 1e-6  # of the matrix's diagonal: organs of a voxel side by side are nearly one


@dataclass(frozen=True)
class Recovered:
    """Organs in an image's field, each (O,) float64; 0 for an organ beyond it.

    Parameters
    ----------
    mbq : array
        Activity in the part of each organ that lies in the field, without the blur, MBq.
    mbq_ml : array
        Its concentration there, MBq/mL.
    spilt_mbq : array
        What the blur moved out of the outline and into it, added in quadrature, over the share that stays inside: the
        size of the correction, MBq.
    lacking_mbq : array
        Of an organ recovered as empty, how far below zero it would have to be: what the blur of the others, as
        recovered, brings into its outline beyond what the image holds there, over the share that stays inside, MBq. 0
        for all others.
    share : array
        Share of each organ's volume that lies in the field.
    """

    mbq: np.ndarray = field(repr=False)
    mbq_ml: np.ndarray = field(repr=False)
    spilt_mbq: np.ndarray = field(repr=False)
    lacking_mbq: np.ndarray = field(repr=False)
    share: np.ndarray = field(repr=False)


def recovered(found: OnGrid, model: PatientModel, fwhm_mm: float, mbq: np.ndarray) -> Recovered:
    """Activities of the organs in an image of known resolution.

    Parameters
    ----------
    found : OnGrid
        Image on ``model.grid``; its field is what counts here.
    model : PatientModel
    fwhm_mm : float
        Of the image's resolution, a Gaussian.
    mbq : (I, J, K) float
        The image, MBq per voxel.
    """
    field_of = found.covered
    inside = [f.astype(np.float64) * field_of for f in model.fractions]
    voxels = np.array([f.sum() for f in inside])
    seen = np.flatnonzero(voxels > 0)
    masks = np.stack([inside[n][field_of] for n in seen])
    blurred = np.stack([smoothed(inside[n], fwhm_mm, model.grid)[field_of] for n in seen])
    transfer = masks @ blurred.T
    transfer = 0.5 * (transfer + transfer.T)  # symmetric but for rounding
    normal = transfer.copy()
    normal[np.diag_indices_from(normal)] *= 1 + RIDGE
    observed = masks @ mbq[field_of]
    per_voxel = nonnegative_solution(normal, observed)
    stays = np.diag(transfer) / voxels[seen]
    out = (1 - stays) * per_voxel * voxels[seen]
    into = transfer @ per_voxel - np.diag(transfer) * per_voxel
    lacking = np.where(per_voxel > 0, 0.0, np.maximum(into - observed, 0.0))
    columns = np.zeros((5, len(model.organs)))
    columns[:3, seen] = per_voxel * voxels[seen], per_voxel / model.grid.voxel_ml, np.hypot(out, into) / stays
    columns[3, seen] = lacking / stays
    whole = model.volumes_ml() / model.grid.voxel_ml
    columns[4] = np.divide(voxels, whole, out=np.zeros(len(voxels)), where=whole > 0)
    return Recovered(*columns)
