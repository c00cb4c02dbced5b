"""Planted failures: what can go wrong between the camera, the sheet and the chain, put into right acquisitions.

Each function takes a right planar pair and gives back a wrong one that still passes for an acquisition of the patient.
"""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
from scipy.ndimage import gaussian_filter

from planardose.demo import images as demo_images
from planardose.demo.patient import NUCLIDE, draw_patient, truth_of
from planardose.frames import PlanarPose
from planardose.library import load_nuclide
from planardose.patient_model import PatientModel
from planardose.planar import PlanarPair

SOURCE_FWHM_MM = 15.0  # of a syringe or a contamination as the camera sees it
SOURCE_SHARE = (0.01, 0.05)  # of the view's counts in the CT's range
SOURCE_GAP_MM = (25.0, 80.0)  # from the body's edge
WRONG_NUCLIDES = ("131I", "111In", "123I")
SCATTER_HISTORIES = 2e5


def views_swapped(pair: PlanarPair) -> PlanarPair:
    """The anterior head's frames as the posterior's and the other way round."""
    return replace(pair, counts=pair.counts[::-1].copy())


def posterior_mirrored(pair: PlanarPair) -> PlanarPair:
    """The posterior view as seen from the front."""
    counts = pair.counts.copy()
    counts[1] = counts[1, :, :, ::-1]
    return replace(pair, counts=counts)


def with_source_beside(pair: PlanarPair, model: PatientModel, pose: PlanarPose, rng: np.random.Generator) -> PlanarPair:
    """A hot spot beside the body (syringe, urine bag, contamination), within the CT's range, in all windows.

    `pose` says where the model lies in the images.
    """
    body = (model.fractions.sum(axis=(0, 2)) > 0)[:, model.ct_slices]
    k = int(rng.integers(body.shape[1] // 8, 7 * body.shape[1] // 8))
    x, side = model.grid.axis_mm(0)[np.flatnonzero(body[:, k])[[0, -1]]], int(rng.integers(2))
    at_x = x[side] + (-1, 1)[side] * rng.uniform(*SOURCE_GAP_MM)
    at_z = model.grid.axis_mm(2)[model.ct_slices.start + k]
    share = np.exp(rng.uniform(*np.log(SOURCE_SHARE)))
    u, v = pixel_of(pair, pose, at_x, at_z)
    ras = pair.ras().astype(np.float64)
    for view in range(2):
        spot = np.zeros(ras.shape[2:])
        spot[np.clip(u, 0, spot.shape[0] - 1), np.clip(v, 0, spot.shape[1] - 1)] = 1.0
        spot = gaussian_filter(spot, SOURCE_FWHM_MM / 2.355 / np.array(pair.pixel_mm[::-1]))
        for window in range(ras.shape[1]):  # unscattered photons prevail in air
            part = share if window == 0 else 0.05 * share
            ras[view, window] += rng.poisson(spot / spot.sum() * part * ras[view, 0].sum())
    return replace(pair, counts=PlanarPair.counts_from_ras(ras).astype(np.float32))


def pixel_of(pair: PlanarPair, pose: PlanarPose, x_mm: float, z_mm: float) -> tuple[int, int]:
    """(u, v) of the pixel of `PlanarPair.ras` at a place (RAS x, z) of the model."""
    shape = pair.counts.shape[:1:-1]  # columns, rows
    angle = np.deg2rad(-pose.rotation_deg)
    dx, dz = x_mm - pose.x_mm, z_mm - pose.z_mm
    local = np.cos(angle) * dx - np.sin(angle) * dz, np.sin(angle) * dx + np.cos(angle) * dz
    return tuple(round(p / s + (n - 1) / 2) for p, s, n in zip(local, pair.pixel_mm[::-1], shape, strict=True))


def of_wrong_nuclide(pair: PlanarPair, seed: int, number: int, timepoint: str, name: str) -> PlanarPair:
    """The same patient, places and windows with the photons of another nuclide, with about as many counts.

    The activity is scaled so that a wrong nuclide does not show by its number of counts.
    """
    own = load_nuclide(NUCLIDE)
    other = replace(load_nuclide(name), photopeak=own.photopeak, scatter_windows=own.scatter_windows)
    truth = truth_of(draw_patient(seed, number))
    patient = truth.patient
    acquisition = next(a for a in patient.acquisitions if a.name == timepoint)
    body = truth.anatomy.sampled.body
    occupied = np.flatnonzero(body.any(axis=(0, 2)))
    axis_mm = float(patient.grid.axis_mm(1)[occupied[[0, -1]]].mean())
    volumes = dict(zip(truth.anatomy.classes, truth.volume_ml.tolist(), strict=True))
    # the camera is set for its own nuclide
    camera, dead_time = demo_images.true_camera(seed), demo_images.dead_time

    def of_own_windows(*arguments):
        with patch.object(demo_images, "load_nuclide", load_nuclide):
            return dead_time(*arguments)

    with (
        patch.object(demo_images, "load_nuclide", lambda _: other),
        patch.object(demo_images, "dead_time", of_own_windows),
    ):
        wrong = demo_images.planar_pair(
            patient, volumes, axis_mm, acquisition, camera, seed, 5.0, SCATTER_HISTORIES
        )
    scale = pair.counts[:, 0].sum() / max(wrong.counts[:, 0].sum(), 1.0)
    rng = np.random.default_rng([seed, number])
    drawn = rng.binomial(wrong.counts.astype(np.int64), scale) if scale < 1 else rng.poisson(wrong.counts * scale)
    return replace(pair, counts=drawn.astype(np.float32))
