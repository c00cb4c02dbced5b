"""What a head records: counts in a window, and their image, per photon that leaves a point toward it.

The one place that puts collimator and crystal together. The Monte Carlo (`sim`) and the analytic projector (`recon`)
both ask here.
"""

import numpy as np
from scipy.special import ndtr

from planardose.library import Camera
from planardose.physics.collimator import (
    geometric_efficiency,
    hexagon_autocorrelation,
    intrinsic_fwhm_mm,
    magnification,
)
from planardose.physics.detector import detection_efficiency
from planardose.physics.penetration import lead_counts, lead_image
from planardose.planar import EnergyWindow
from planardose.units import FWHM_PER_SIGMA

STENCIL = 24  # samples per hole width
OUTSIDE = 1e-3  # share of the geometric counts that may fall outside a kernel
REACH = 1.16  # half extent of the hexagon's autocorrelation, hole widths (2 / sqrt 3)


def _stencil(hole_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (N,) in mm at the collimator's face, and normalised weights (N, N), of the hexagon's autocorrelation."""
    n = int(np.ceil(REACH * STENCIL))
    offset = np.arange(-n, n + 1) / STENCIL * hole_mm
    weight = hexagon_autocorrelation(offset[:, None], offset[None, :], hole_mm)
    return offset, weight / weight.sum()


def _pixel_weights(offset_mm: np.ndarray, pixel_mm: float, sigma_mm: float, reach: int) -> np.ndarray:
    """(N, 2 reach + 1): shares per pixel of a source uniform in the middle one, displaced by offsets and blurred."""
    u = offset_mm[:, None] - pixel_mm * np.arange(-reach, reach + 1)

    def ramp(t):  # second integral of the Gaussian
        return t * ndtr(t / sigma_mm) + sigma_mm * np.exp(-0.5 * (t / sigma_mm) ** 2) / np.sqrt(2 * np.pi)

    return (ramp(u + pixel_mm) - 2 * ramp(u) + ramp(u - pixel_mm)) / pixel_mm


def point_kernel(camera: Camera, distance_mm: float, energy_kev: float, pixel_mm: tuple[float, float]) -> np.ndarray:
    """Geometric response of the pixels around a source spread uniformly over one pixel.

    Parameters
    ----------
    camera : Camera
    distance_mm : float
        From the collimator's face.
    energy_kev : float
        Energy deposited, for the intrinsic resolution.
    pixel_mm : (x, z) float

    Returns
    -------
    (2 a + 1, 2 b + 1) float64
        Shares along x and z, source pixel in the middle, summing to 1.
    """
    offset, weight = _stencil(camera.hole_mm)
    offset = offset * magnification(camera, distance_mm)
    sigma = intrinsic_fwhm_mm(camera, energy_kev) / FWHM_PER_SIGMA
    reach = [int(np.ceil((offset[-1] + 5 * sigma) / p)) + 1 for p in pixel_mm]
    along = [_pixel_weights(offset, p, sigma, r) for p, r in zip(pixel_mm, reach, strict=True)]
    return along[0].T @ weight @ along[1]


def head_efficiency(
    camera: Camera, window: EnergyWindow, energy_kev: float | np.ndarray, penetration: bool = True
) -> float | np.ndarray:
    """Counts in a window per photon emitted isotropically by a source in air, all pixels of one head together.

    The same at every distance, as long as the field of view holds the penetrating tail. With penetration the tables
    that the energies need are traced on first use (about 2 s each on one core) and kept, see `collimator_table`.

    Parameters
    ----------
    camera : Camera
    window : EnergyWindow
    energy_kev : float or array
        Of the photon as it leaves the source or patient, keV.
    penetration : bool
        False: only photons that touch no lead. True: also unscattered photons through lead, photons that scattered in
        lead, and lead's K X rays, each with its own energy and its oblique path in the crystal.

    Returns
    -------
    float or array of the shape of `energy_kev`
    """
    open_holes = geometric_efficiency(camera) * detection_efficiency(camera, window, energy_kev)
    if not penetration:
        return open_holes
    met_lead = lead_counts(camera, window, np.ravel(energy_kev))
    added = (met_lead.through + met_lead.scattered).reshape(np.shape(energy_kev))
    return open_holes + (float(added) if np.ndim(energy_kev) == 0 else added)


def head_kernel(
    camera: Camera,
    window: EnergyWindow,
    energy_kev: float,
    distance_mm: float,
    pixel_mm: tuple[float, float],
    penetration: bool = True,
) -> np.ndarray:
    """Counts in a window per photon emitted isotropically, in the pixels around a source spread over one pixel.

    Parameters
    ----------
    camera : Camera
    window : EnergyWindow
    energy_kev : float
        Of the photon as it leaves the source or patient, keV. The intrinsic blur is that of the deposited energy: this
        energy if the window holds it, else the nearest edge of the window.
    distance_mm : float
        From the collimator's face, not negative.
    pixel_mm : (x, z) float
    penetration : bool
        False: only photons that touch no lead.

    Returns
    -------
    (2 a + 1, 2 b + 1) float64
        Along x and z, source pixel in the middle. The sum is `head_efficiency`, less what falls outside: at most
        `OUTSIDE` of it, or more at high energies where that would be wider than the camera's field.
    """
    deposited_kev = float(np.clip(energy_kev, window.low_kev, window.high_kev))
    core = point_kernel(camera, distance_mm, deposited_kev, pixel_mm)
    core *= head_efficiency(camera, window, energy_kev, penetration=False)
    lead = lead_image(camera, window, energy_kev, distance_mm) if penetration else None
    if lead is None:
        return core
    widest = min(lead.radius(OUTSIDE * core.sum()) * lead.reach_mm, max(camera.field_mm))
    sigma = intrinsic_fwhm_mm(camera, deposited_kev) / FWHM_PER_SIGMA
    # points of the lead part: compared with five times as many, the kernel is within 0.1 % of its peak
    step = min(0.5 * min(pixel_mm), 0.125 * camera.hole_mm * magnification(camera, distance_mm))
    count = int(np.ceil(widest / step))
    offset = step * np.arange(-count, count + 1)
    reach = [int(np.ceil((offset[-1] + 5 * sigma) / p)) + 1 for p in pixel_mm]
    reach = [max(r, n // 2) for r, n in zip(reach, core.shape, strict=True)]
    along = [_pixel_weights(offset, p, sigma, r) for p, r in zip(pixel_mm, reach, strict=True)]
    image = along[0].T @ lead.sampled(offset, widest / lead.reach_mm) @ along[1]
    margin = [(n - m) // 2 for n, m in zip(image.shape, core.shape, strict=True)]
    return np.maximum(image + np.pad(core, [(m, m) for m in margin]), 0.0)  # rounding may go below 0
