"""Conjugate view by the book (MIRD pamphlet 16, Siegel et al., J Nucl Med 40, 37S, 1999), organ by organ.

A = sqrt(N_ant N_post / exp(-mu t)) f / C with f = (mu d / 2) / sinh(mu d / 2) for an organ of thickness d in a body of
thickness t. Triple-energy-window scatter is subtracted first, so mu is that of narrow beams; attenuation is taken from
the CT. Background comes from the rim around the organ, reduced by the organ's share of the body's thickness: taken off
each view, it is the pamphlet's factor sqrt((1 - (1 - d/t) N_adj/N_ant) (1 - (1 - d/t) N_adj/N_post)). Regions that
overlap are counted in both organs, as the method does. Three things are not the book's: the trapezoid of the energy
windows overestimates the scatter of 177Lu and is scaled by what the Monte Carlo says (`recon.acquired`); of the whole
body, taken pixel by pixel, the geometric mean is the arithmetic one times what their ratio is in smoothed images
(`geometric_means`); and counts are made whole (`all_counts`): C is for all counts in air, but the camera's blur, far
wider where they came through lead, puts some of an organ's outside its region, and of those some in the rim.
"""

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter

from planardose.organs import OUTSIDE_CT, REMAINDER
from planardose.patient_model import PatientModel
from planardose.recon.acquired import Acquired
from planardose.recon.gate import ct_slices

EDGE = 0.25  # of the organ's largest thickness: the outline of its region
RIM = 2  # cells of background around a region
RATIO_MM = 20.0  # standard deviation of the smoothing that tells the ratio of both views
WIDESPREAD = (REMAINDER, OUTSIDE_CT)


def source_factor(mu_d: float) -> float:
    """Self-attenuation of an evenly filled source of optical thickness `mu_d`."""
    return 1.0 if mu_d < 1e-6 else float(mu_d / 2 / np.sinh(mu_d / 2))


def conjugate_activity(ant: float, post: float, mu_t: float, mu_d: float, cps_per_mbq: float) -> float:
    """Activity of a source from the geometric mean of both views.

    Parameters
    ----------
    ant, post : float
        Net rates of the anterior and the posterior view, cps, scatter and background taken off.
    mu_t, mu_d : float
        Optical thickness of the body, and of the source in it (dimensionless).
    cps_per_mbq : float
        Sensitivity of one head in air.

    Returns
    -------
    float
        MBq; 0 when either rate is not positive.
    """
    if ant <= 0 or post <= 0:
        return 0.0
    return float(np.sqrt(ant * post * np.exp(mu_t)) * source_factor(mu_d) / cps_per_mbq)


def all_counts(
    region: np.ndarray, rim: np.ndarray, own_region: np.ndarray, own_rim: np.ndarray, share: float
) -> np.ndarray:
    """What an organ leaves in the whole of a view, from its region and the rim around it.

    The body goes on in the organ's place, and the organ has an excess over it, which alone is blurred: region =
    own_region excess + background, rim = own_rim excess + background, all = excess + share background. Without blur it
    is the book's region - (1 - share) rim. No background is below zero: all <= region / own_region.

    Parameters
    ----------
    region, rim : (2,) float
        Net rates per view of the region, and of as many cells of the rim.
    own_region, own_rim : (2,) float
        The same of the organ alone, as parts of all that it leaves: 1 and 0 without blur.
    share : float
        Of the body's thickness that is the organ's, in the region.

    Returns
    -------
    (2,) float64
        Where the rim holds as much of the organ's own as the region, an excess cannot be told and is taken for none.
    """
    excess = np.divide(region - rim, own_region - own_rim, out=np.zeros(len(region)), where=own_region > own_rim)
    most = np.divide(region, own_region, out=np.zeros(len(region)), where=own_region > 0)
    return np.minimum(excess + share * (rim - own_rim * excess), most)


def geometric_means(net: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
    """Geometric mean of both views per pixel, linear in the noise: the root of few counts is too small on average.

    Parameters
    ----------
    net : (2, I, K) float
        Net rates; noise below zero counts as such.
    spacing_mm : (3,) float
        Of the grid.

    Returns
    -------
    (I, K) float64
        sqrt(a p) written as (a + p) / 2 times 2 sqrt(a p) / (a + p), the second from smoothed views.
    """
    sigma = RATIO_MM / spacing_mm[[0, 2]]
    a, p = (np.maximum(gaussian_filter(view, sigma, mode="nearest"), 0.0) for view in net)
    both = a + p
    return 0.5 * net.sum(axis=0) * np.divide(2.0 * np.sqrt(a * p), both, out=np.zeros(both.shape), where=both > 0)


def conjugate_view(
    model: PatientModel, acquired: Acquired, mu: np.ndarray, cps_per_mbq: float, own: np.ndarray, totals: np.ndarray
) -> np.ndarray:
    """Activity of each organ.

    Parameters
    ----------
    model : PatientModel
    acquired : Acquired
    mu : (I, J, K) float
        1/mm at the imaged line.
    cps_per_mbq : float
        In air, one head.
    own : (O, 2, I, K) float
        Net rates that each organ alone should leave, evenly filled, cps per MBq/mL: what `acquired` keeps of them.
    totals : (O, 2) float
        Primary rates that it should leave in all of each view, beyond the grid too (`CameraViews.primary_totals`).

    Returns
    -------
    (O,) float64
        MBq. `remainder` is the whole body's conjugate view, its counts made whole as those of an evenly filled one,
        less the organs, not below 0.
    """
    step = float(model.grid.spacing_mm[1])
    net = (acquired.counts - acquired.scatter) / acquired.exposure_s
    optical = mu.sum(axis=1) * step
    thickness = model.fractions.sum(axis=2, dtype=np.float64) * step  # (O, I, K)
    body = thickness.sum(axis=0)
    out = np.zeros(len(model.organs))
    organs = [o for o, name in enumerate(model.organs) if name not in WIDESPREAD and thickness[o].max() > 0]
    regions = {o: thickness[o] > EDGE * thickness[o].max() for o in organs}
    for o, region in regions.items():
        rim = binary_dilation(region, iterations=RIM) & ~region & (body > 0)
        share = float(thickness[o][region].mean() / body[region].mean())
        cells = region.sum() / max(rim.sum(), 1)
        measured, alone = (
            (views[:, region].sum(axis=1), views[:, rim].sum(axis=1) * cells)
            for views in (net, own[o] / totals[o][:, None, None])
        )
        rates = all_counts(*measured, *alone, share)
        mu_d = float((mu * model.fractions[o]).sum(axis=1)[region].mean() * step)
        transmission = float(np.average(np.exp(-optical[region]), weights=thickness[o][region]))
        out[o] = conjugate_activity(*rates, -np.log(transmission), mu_d, cps_per_mbq)
    inside = (body > 0) & ct_slices(model)
    of_ct = [o for o, name in enumerate(model.organs) if name != OUTSIDE_CT]
    shown = own[of_ct].sum(axis=0)[:, inside].sum(axis=1) / totals[of_ct].sum(axis=0)
    means = geometric_means(net, model.grid.spacing_mm) * np.exp(0.5 * optical)
    factors = np.array([source_factor(x) for x in optical[inside]])
    whole = float((means[inside] * factors).sum() / cps_per_mbq / np.sqrt(shown.prod()))
    out[model.organs.index(REMAINDER)] = max(whole - out.sum(), 0.0)
    return out
