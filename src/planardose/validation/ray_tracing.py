"""Independent code: straight rays through voxels in numpy, plane by plane, without the transport's tracking."""

import numpy as np


def optical_depth(
    mu_per_mm: np.ndarray, spacing_mm: np.ndarray, start: np.ndarray, direction: np.ndarray
) -> np.ndarray:
    """Integral of mu from points to the edge of the grid.

    Parameters
    ----------
    mu_per_mm : (I, J, K) array
    spacing_mm : (3,)
    start : (N, 3)
        Points inside the grid, mm from its lowest corner.
    direction : (N, 3)
        Unit vectors.

    Returns
    -------
    (N,)
        Exact: between two crossings of voxel faces a ray lies in one voxel (Siddon, Med. Phys. 12, 252, 1985).
    """
    size = np.array(mu_per_mm.shape) * spacing_mm
    with np.errstate(divide="ignore"):
        inverse = 1.0 / direction
    leave = np.where(direction > 0, (size - start) * inverse, np.where(direction < 0, -start * inverse, np.inf))
    last = leave.min(axis=1, keepdims=True)
    crossings = [np.zeros_like(last), last]
    for axis, count in enumerate(mu_per_mm.shape):
        faces = np.arange(count + 1) * spacing_mm[axis]
        with np.errstate(invalid="ignore"):
            at = (faces - start[:, axis : axis + 1]) * inverse[:, axis : axis + 1]
        crossings.append(np.clip(np.nan_to_num(at, nan=0.0, posinf=np.inf), 0.0, last))
    t = np.sort(np.concatenate(crossings, axis=1), axis=1)
    middle = 0.5 * (t[:, 1:] + t[:, :-1])
    points = start[:, None, :] + middle[..., None] * direction[:, None, :]
    index = np.clip((points / spacing_mm).astype(int), 0, np.array(mu_per_mm.shape) - 1)
    return (mu_per_mm[tuple(np.moveaxis(index, -1, 0))] * np.diff(t, axis=1)).sum(axis=1)


def uncollided_share(
    mu_per_mm: np.ndarray, activity: np.ndarray, spacing_mm: np.ndarray, rays: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Share of photons that leave without a collision, from random points and directions; and its standard error."""
    voxels = rng.choice(activity.size, size=rays, p=activity.ravel() / activity.sum())
    start = (np.stack(np.unravel_index(voxels, activity.shape), axis=1) + rng.random((rays, 3))) * spacing_mm
    up, azimuth = rng.uniform(-1, 1, rays), rng.uniform(0, 2 * np.pi, rays)
    flat = np.sqrt(1 - up**2)
    direction = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), up], axis=1)
    through = np.exp(-np.concatenate([
        optical_depth(mu_per_mm, spacing_mm, start[n : n + 20_000], direction[n : n + 20_000])
        for n in range(0, rays, 20_000)
    ]))  # fmt: skip
    return float(through.mean()), float(through.std() / np.sqrt(rays))
