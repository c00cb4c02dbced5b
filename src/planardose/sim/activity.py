"""The activity map of one row of the sample table: a pure function of the row and the patient model."""

from collections.abc import Mapping

import numpy as np

from planardose.image import Grid
from planardose.organs import OUTSIDE_CT, REMAINDER
from planardose.patient_model import MATERIALS, PatientModel
from planardose.sim.texture import cortex_weight, gaussian_field
from planardose.sim.uptake import CONCENTRATION, FOCUS, PRIOR_WEIGHT, Sphere, read_spheres
from planardose.units import MBQ_PER_KBQ

ADIPOSE = MATERIALS.index("adipose")
PARTS = 4  # per axis: sub-points of a voxel for the volume of a sphere in it


def sphere_fraction(grid: Grid, sphere: Sphere) -> tuple[tuple[slice, slice, slice], np.ndarray]:
    """Share of each voxel inside a sphere: the box of voxels it touches (slices) and (i, j, k) float64 fractions."""
    centre, spacing = np.asarray(sphere.centre_mm), grid.spacing_mm
    index = (centre - grid.ras_from_voxel[:3, 3]) / spacing
    low = np.maximum(np.floor(index - sphere.radius_mm / spacing + 0.5).astype(int), 0)
    high = np.minimum(np.floor(index + sphere.radius_mm / spacing + 0.5).astype(int) + 1, grid.shape)
    box = tuple(slice(a, max(a, b)) for a, b in zip(low, high, strict=True))
    sub = (np.arange(PARTS) + 0.5) / PARTS - 0.5
    points = [(np.arange(s.start, s.stop)[:, None] + sub).ravel() for s in box]
    square = [((p - index[a]) * spacing[a]) ** 2 for a, p in enumerate(points)]
    inside = (square[0][:, None, None] + square[1][:, None] + square[2]) <= sphere.radius_mm**2
    n = [s.stop - s.start for s in box]
    return box, inside.reshape(n[0], PARTS, n[1], PARTS, n[2], PARTS).mean(axis=(1, 3, 5))


def activity_map(
    model: PatientModel, row: Mapping, ratio: np.ndarray | None = None, foci: np.ndarray | None = None
) -> np.ndarray:
    """Activity (I, J, K) float64 in MBq per voxel of the model's grid.

    Every organ holds its concentration times its volume, whatever the texture; hidden lesions raise the concentration
    inside their sphere to their own (where it is higher), within the body.

    Parameters
    ----------
    model : PatientModel
    row : mapping
        A row of `planardose.sim.uptake.draw_samples`, of which it uses texture_seed, texture_cv, texture_mm,
        medulla, fat, ``c_<organ>`` and lesions; with a prior image also prior_weight and ``f_<n>``.
    ratio, foci : (I, J, K), (F, I, J, K) or None
        A prior image's texture over evenly filled organs, and its hot regions, 1 at their peak.
    """
    grid = model.grid
    cv = float(row["texture_cv"])
    field = gaussian_field(grid, float(row["texture_mm"]), int(row["texture_seed"]))
    texture = np.exp(np.sqrt(np.log1p(cv**2)) * field)
    if ratio is not None:
        texture *= 1.0 + float(row[PRIOR_WEIGHT]) * (ratio - 1.0)
    kbq_ml = np.zeros(grid.shape)
    fat_share = model.partial_density[ADIPOSE] / np.maximum(model.density, 1e-6)
    for organ, fraction in zip(model.organs, model.fractions, strict=True):
        weight = fraction * texture
        if organ.startswith("kidney"):
            weight *= cortex_weight(fraction, grid, float(row["medulla"]))
        elif organ in (REMAINDER, OUTSIDE_CT):
            weight *= 1.0 - (1.0 - float(row["fat"])) * fat_share
        total = weight.sum(dtype=np.float64)
        if total > 0:
            kbq_ml += weight * (float(row[CONCENTRATION + organ]) * fraction.sum(dtype=np.float64) / total)
    inside = np.where([o == OUTSIDE_CT for o in model.organs], 0.0, 1.0)
    body = np.tensordot(inside, model.fractions, axes=1)
    for n, focus in enumerate(() if foci is None else foci, start=1):
        kbq_ml += float(row[f"{FOCUS}{n}"]) * focus * body
    for sphere in read_spheres(row["lesions"]):
        box, share = sphere_fraction(grid, sphere)
        # the share of the voxel in the sphere changes from what it holds now to the lesion's concentration
        kbq_ml[box] += np.maximum(sphere.kbq_ml * body[box] - kbq_ml[box], 0.0) * share
    return kbq_ml * (MBQ_PER_KBQ * grid.voxel_ml)
