"""Rows on the camera as a whole: from an activity before two heads to counts in their pixels."""

import numpy as np

from planardose.frames import PlanarPose
from planardose.physics.sensitivity import air_sensitivity_cps_per_mbq
from planardose.sim.acquire import acquire
from planardose.validation.check import Effort, Measured
from planardose.validation.cube import cube_analog, cube_scatter
from planardose.validation.scenes import (
    Scene,
    liver_in_torso,
    lutetium,
    melp,
    one_line,
    point_in_box,
    simulate,
    soft_tissue_per_mm,
    totals,
)

MATRIX = (40, 36)  # rows, columns
PIXEL_MM = (4.0, 6.0)  # row, column
POSE = PlanarPose(20.0, 655.0)  # not in the middle of the box


def expected_primaries(scene: Scene, index: tuple[int, int, int]) -> np.ndarray:
    """(2,) cps of unscattered 208 keV photons of 1 MBq in a voxel: air times exp(-mu d), averaged over its depth."""
    mu = soft_tissue_per_mm()
    low, high = scene.grid.bounds_mm()
    y, half = scene.grid.axis_mm(1)[index[1]], scene.grid.spacing_mm[1] / 2
    own = np.sinh(mu * half) / (mu * half)
    air = air_sensitivity_cps_per_mbq(melp(), one_line(), lutetium().photopeak, penetration=False)
    return air * own * np.exp(-mu * np.array([high[1] - y, y - low[1]]))


def primaries(scene: Scene, effort: Effort) -> np.ndarray:
    """(2,) cps of unscattered 208 keV photons in each whole view."""
    return simulate(scene, effort, 1e3, one_line(), batches=1).primary[:, 0].sum(axis=(1, 2))


def primary(view: int, effort: Effort) -> Measured:
    """Unscattered counts of one view, cps/MBq, against air times exp(-mu d)."""
    index = (8, 2, 6)
    scene = point_in_box(index)
    return Measured(float(primaries(scene, effort)[view]), reference=float(expected_primaries(scene, index)[view]))


def view_ratio(effort: Effort) -> Measured:
    """Anterior over posterior primaries of a point against exp(mu (d_p - d_a))."""
    index = (8, 2, 6)
    scene = point_in_box(index)
    anterior, posterior = primaries(scene, effort)
    mu = soft_tissue_per_mm()
    low, high = scene.grid.bounds_mm()
    y = scene.grid.axis_mm(1)[index[1]]
    return Measured(float(anterior / posterior), reference=float(np.exp(mu * ((y - low[1]) - (high[1] - y)))))


def geometric_mean(effort: Effort) -> Measured:
    """Geometric mean of both views' primaries of a point 3 voxels behind the middle, over that of one 3 before it."""
    means = [np.sqrt(primaries(point_in_box((8, j, 6)), effort).prod()) for j in (1, 7)]
    return Measured(float(means[0] / means[1]))


def counts_in_air(effort: Effort) -> Measured:
    """Simulated photopeak counts of all lines in air, mean of both heads, against the closed form's sensitivity."""
    rate = simulate(point_in_box(soft_tissue=False), effort, 1e3, batches=1).rate
    expected = air_sensitivity_cps_per_mbq(melp(), lutetium(), lutetium().photopeak, penetration=False)
    return Measured(float(rate[:, 0].sum() / 2), reference=expected)


def pixel_of_a_voxel(view: int, effort: Effort) -> Measured:
    """Distance (mm) between where a voxel off the centre is seen and where it must be, on pixels of unequal sides.

    As the camera sees it: row 0 at the head; columns run to the patient's left in the anterior view, to the right in
    the posterior one.
    """
    index = (12, 3, 5)
    scene = point_in_box(index, soft_tissue=False)
    rate = simulate(scene, effort, 1e3, batches=1).rate
    image = acquire(rate, scene.grid, PIXEL_MM, MATRIX, POSE, 1.0, None)[view, 0].astype(float)
    rows, columns = (np.arange(n) for n in image.shape)
    seen = np.array([(image.sum(axis=1) * rows).sum(), (image.sum(axis=0) * columns).sum()]) / image.sum()
    right = scene.grid.axis_mm(0)[index[0]] - POSE.x_mm
    up = scene.grid.axis_mm(2)[index[2]] - POSE.z_mm
    mirror = (-1.0, 1.0)[view]
    predicted = [(MATRIX[0] - 1) / 2 - up / PIXEL_MM[0], (MATRIX[1] - 1) / 2 + mirror * right / PIXEL_MM[1]]
    return Measured(float(np.linalg.norm((seen - predicted) * PIXEL_MM)))


def liver_scatter(effort: Effort) -> Measured:
    """Scatter over primary of an evenly active liver in a torso, all lines of 177Lu, both views together."""
    return totals(liver_in_torso(), effort, 4e5, penetration=True, couch_mm=melp().couch_mm).scatter_to_primary()


ROWS = {
    "primary_anterior": lambda effort: primary(0, effort),
    "primary_posterior": lambda effort: primary(1, effort),
    "view_ratio": view_ratio,
    "geometric_mean": geometric_mean,
    "counts_in_air": counts_in_air,
    "pixel_anterior": lambda effort: pixel_of_a_voxel(0, effort),
    "pixel_posterior": lambda effort: pixel_of_a_voxel(1, effort),
    "cube_scatter": cube_scatter,
    "cube_analog": cube_analog,
    "liver_scatter": liver_scatter,
}
