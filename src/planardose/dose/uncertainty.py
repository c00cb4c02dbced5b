"""Standard uncertainty of a dose from those of the time-integrated activity and of the organ's mass.

The segmentation model is that of the EANM guide (Gear et al., Eur J Nucl Med Mol Imaging 2018;45:2456): the diameter d
of the sphere of equal volume has two edges, each known to a voxel (variance a^2 / 12) and to the blur of the image
(w^2 / (8 ln 2)), so u(d)^2 = a^2 / 6 + w^2 / (4 ln 2) and u(V) / V = 3 u(d) / d.
"""

import math

from planardose.dose.constants import TWO_SIDED_95, dose_constants
from planardose.image import Grid
from planardose.organs import is_lesion
from planardose.units import sphere_radius_mm


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
    u_mm = math.sqrt(voxel_mm**2 / 6 + edge_fwhm_mm**2 / (4 * math.log(2)))
    return min(3 * u_mm / (2 * sphere_radius_mm(volume_ml)), 1.0)


def mass_relative_u(organ: str, volume_ml: float, labels: Grid, lesion_edge_fwhm_mm: float) -> float:
    """`volume_relative_u` of an organ or lesion on the grid of its label map.

    `lesion_edge_fwhm_mm` is the config's; the blur of an organ's edge on the CT is that of ``data/dosimetry.yaml``.
    """
    edge_mm = lesion_edge_fwhm_mm if is_lesion(organ) else dose_constants().edge_fwhm_mm
    return volume_relative_u(volume_ml, labels.cube_mm, edge_mm)


def dose_u_gy(own_gy: float, neighbours_gy: float, mass_gy: float, statistics_gy: float) -> float:
    """Uncertainty of an organ's dose in Gy; NaN without one of its activity.

    Parameters
    ----------
    own_gy, neighbours_gy : float
        By the time-integrated activity of the organ, and by those of all others through their photons. They share
        calibration and anatomy, and are added as fully correlated.
    mass_gy : float
        By the organ's mass, taken as independent of the activities.
    statistics_gy : float
        Of the Monte Carlo.
    """
    return math.sqrt((own_gy + neighbours_gy) ** 2 + mass_gy**2 + statistics_gy**2)


def side_of_95_gy(own_gy: float, *others_gy: float) -> float:
    """Distance in Gy of a dose from that end of its 95 % interval at which the organ's own activity would put it.

    `own_gy` is the dose by the distance of the time-integrated activity from that end of its own interval, `others_gy`
    the standard uncertainties of `dose_u_gy`. So the mean of the dose's sides is that of a normal distribution where
    the activity's are alike.
    """
    return TWO_SIDED_95 * dose_u_gy(own_gy / TWO_SIDED_95, *others_gy)
