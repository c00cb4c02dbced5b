"""Scores of a map against the truth on the same grid."""

import numpy as np
from scipy import ndimage

SSIM_WINDOW = 7  # voxels, uniform
SSIM_K = (0.01, 0.03)  # Wang et al. 2004
SSIM_SETTINGS = f"uniform {SSIM_WINDOW}-voxel window, range max(truth), map's box"


def ssim(estimate: np.ndarray, truth: np.ndarray) -> float:
    """Mean structural similarity of two maps (I, J, K), settings as `SSIM_SETTINGS`.

    Windows that stick out of the box are left out.
    """
    value_range = float(truth.max())
    c1, c2 = ((k * value_range) ** 2 for k in SSIM_K)
    n = SSIM_WINDOW**3
    mean_e, mean_t = (ndimage.uniform_filter(x, SSIM_WINDOW) for x in (estimate, truth))
    unbiased = n / (n - 1)
    var_e, var_t, cov = (
        unbiased * (ndimage.uniform_filter(product, SSIM_WINDOW) - means)
        for product, means in (
            (estimate * estimate, mean_e * mean_e), (truth * truth, mean_t * mean_t),
            (estimate * truth, mean_e * mean_t),
        )
    )  # fmt: skip
    index = (2 * mean_e * mean_t + c1) * (2 * cov + c2) / ((mean_e**2 + mean_t**2 + c1) * (var_e + var_t + c2))
    edge = SSIM_WINDOW // 2
    inner = tuple(slice(edge, s - edge) if s > 2 * edge else slice(None) for s in index.shape)
    return float(index[inner].mean())


def map_scores(estimate: np.ndarray, truth: np.ndarray, body: np.ndarray) -> dict[str, float]:
    """MAE and NRMSE over the voxels of `body`, both over the mean truth there, and SSIM in the whole box (I, J, K)."""
    error, mean = (estimate - truth)[body], float(truth[body].mean())
    return {
        "mae": float(np.abs(error).mean()) / mean,
        "nrmse": float(np.sqrt((error**2).mean())) / mean,
        "ssim": ssim(estimate, truth),
    }
