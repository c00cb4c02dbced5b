"""A prior image of a synthetic patient: the uptake that a PET before the therapy would show, from the truth's files.

It shares the anatomy and most of the texture with the therapy, not the amounts: each organ and each lesion has its own
factor, as another tracer at another hour would give.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from planardose.image import Grid, Volume
from planardose.organs import LESION_BASE
from planardose.sim.texture import gaussian_field
from planardose.units import FWHM_PER_SIGMA, sphere_radius_mm

ORGAN_SPREAD, LESION_SPREAD = 0.3, 0.4  # standard deviation of the logarithm of each organ's and lesion's factor
OTHER_TEXTURE = 0.15  # coefficient of variation of what the therapy's texture does not share
WRONG_TEXTURE = 0.35  # of an image that shares none
OTHER_LENGTH_MM = 25.0
FALSE_LESIONS = 4
FALSE_ML = (2.0, 12.0)
FALSE_CONTRAST = (8.0, 25.0)  # over the body's mean
VOXEL_MM = 4.0


@dataclass(frozen=True)
class Look:
    """How good a prior image is.

    Parameters
    ----------
    shift_mm : (3,) float
        RAS displacement of the image against the CT.
    fwhm_mm : float
    noise : float
        Relative standard deviation of a voxel of 4 mm in the body's mean uptake, before the image's blur correlates it.
    true : bool
        False: each organ's texture is another one, the lesions are missing, and others stand in wrong places.
    """

    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    fwhm_mm: float = 6.0
    noise: float = 0.5
    true: bool = True


def prior_image(activity: Volume, labels: np.ndarray, look: Look, seed: int) -> Volume:
    """A PET-like image.

    Parameters
    ----------
    activity : Volume
        The therapy's true concentration, Bq/mL, on a RAS-aligned grid.
    labels : (I, J, K) int
        Of the truth: organs, lesions from 1001, 0 for the rest of the body.
    look : Look
    seed : int

    Returns
    -------
    Volume
        Bq/mL on a grid of 4 mm voxels over the same field.
    """
    rng, grid = np.random.default_rng(seed), activity.grid
    body = activity.data > 0
    factors = {}
    for label in np.unique(labels[body]):
        lesion = label > LESION_BASE
        factors[int(label)] = float(np.exp((LESION_SPREAD if lesion else ORGAN_SPREAD) * rng.standard_normal()))
    lookup = np.ones(int(labels.max()) + 1)
    for label, factor in factors.items():
        lookup[label] = factor
    uptake = activity.data
    if not look.true:
        sums, voxels = (np.bincount(labels[body], x) for x in (uptake[body], None))
        uptake = np.where(body, (sums / np.maximum(voxels, 1))[labels], 0.0)
        uptake = _without(uptake, labels > LESION_BASE)
    cv = OTHER_TEXTURE if look.true else WRONG_TEXTURE
    uptake = uptake * lookup[labels] * np.exp(cv * gaussian_field(grid, OTHER_LENGTH_MM, seed + 1))
    if not look.true:
        _add_false(uptake, body, grid, rng)
    return _seen(Volume(uptake, grid, activity.quantity, activity.unit), body, look, rng)


def _without(uptake: np.ndarray, lesions: np.ndarray) -> np.ndarray:
    """Uptake with the lesions filled from their surroundings."""
    nearest = ndimage.distance_transform_edt(lesions | (uptake <= 0), return_distances=False, return_indices=True)
    return np.where(lesions, uptake[tuple(nearest)], uptake)


def _add_false(uptake: np.ndarray, body: np.ndarray, grid: Grid, rng: np.random.Generator) -> None:
    mean, places = float(uptake[body].mean()), np.argwhere(body)
    axes = [grid.axis_mm(a) for a in range(3)]
    for _ in range(FALSE_LESIONS):
        centre = [axes[a][n] for a, n in enumerate(places[rng.integers(len(places))])]
        radius = sphere_radius_mm(float(np.exp(rng.uniform(*np.log(FALSE_ML)))))
        square = [(axes[a] - centre[a]) ** 2 for a in range(3)]
        ball = (square[0][:, None, None] + square[1][:, None] + square[2] <= radius**2) & body
        uptake[ball] += mean * rng.uniform(*FALSE_CONTRAST)


def _seen(uptake: Volume, body: np.ndarray, look: Look, rng: np.random.Generator) -> Volume:
    """Displaced, blurred, noisy, on the scanner's grid."""
    low, high = uptake.grid.bounds_mm()
    grid = Grid.covering(low, high, VOXEL_MM)
    sigma = look.fwhm_mm / FWHM_PER_SIGMA
    points = [
        (grid.axis_mm(a) - look.shift_mm[a] - uptake.grid.axis_mm(a)[0]) / uptake.grid.spacing_mm[a] for a in range(3)
    ]
    smooth = ndimage.gaussian_filter(uptake.data, sigma / uptake.grid.spacing_mm)
    image = ndimage.map_coordinates(smooth, np.meshgrid(*points, indexing="ij"), order=1, mode="nearest")
    mean = float(uptake.data[body].mean())
    noise = look.noise * np.sqrt(np.maximum(image, 0.02 * mean) * mean) * rng.standard_normal(grid.shape)
    image = np.maximum(image + ndimage.gaussian_filter(noise, sigma / VOXEL_MM), 0.0)
    return Volume(image.astype(np.float32), grid, uptake.quantity, uptake.unit)
