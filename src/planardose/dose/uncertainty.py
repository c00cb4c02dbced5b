"""Standard uncertainty of a dose from those of the time-integrated activity and of the organ's mass.

The segmentation model is that of the EANM guide (Gear et al., Eur J Nucl Med Mol Imaging 2018;45:2456): the diameter d
of the sphere of equal volume has two edges, each known to a voxel (variance a^2 / 12) and to the blur of the image
(w^2 / (8 ln 2)), so u(d)^2 = a^2 / 6 + w^2 / (4 ln 2) and u(V) / V = 3 u(d) / d.
"""

import math

import numpy as np


def volume_relative_u(volume_ml: float, voxel_mm: float, edge_fwhm_mm: float) -> float:
    """Relative standard uncertainty of an organ's volume (and mass).

    Parameters
    ----------
    volume_ml : float
    voxel_mm : float
        Edge of a voxel of the segmented image (cube root of its volume), mm.
    edge_fwhm_mm : float
        Blur of the organ's edge in that image, mm FWHM.
    """
    if volume_ml <= 0:
        return math.nan
    diameter_mm = 2 * (3 * volume_ml * 1000 / (4 * math.pi)) ** (1 / 3)
    u_mm = math.sqrt(voxel_mm**2 / 6 + edge_fwhm_mm**2 / (4 * math.log(2)))
    return min(3 * u_mm / diameter_mm, 1.0)


def dose_u_gy(dose_gy: float, tia_mbq_h_u: float, volume_relative: float, joule_per_kg_mbq_h: float) -> float:
    """Standard uncertainty of a dose in Gy, activity and mass taken as independent.

    Parameters
    ----------
    dose_gy : float
        Gy; 0 for an organ without activity, which keeps the uncertainty of its activity.
    tia_mbq_h_u : float
        Of the time-integrated activity, MBq h; NaN where there is none.
    volume_relative : float
        Relative uncertainty of the volume, as `volume_relative_u`.
    joule_per_kg_mbq_h : float
        Dose per time-integrated activity in this organ, J/kg per MBq h.

    Returns
    -------
    float
        Gy; NaN without an uncertainty of activity or volume.
    """
    if not np.isfinite(tia_mbq_h_u) or not np.isfinite(volume_relative):
        return math.nan
    return math.hypot(tia_mbq_h_u * joule_per_kg_mbq_h, dose_gy * volume_relative)
