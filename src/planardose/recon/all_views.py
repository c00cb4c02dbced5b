"""An opposed pair together with oblique or lateral views of the same acquisition, for QPlanar and MLEM.

The registration of the pair places the images along x and z. Views from aside also need where the camera's centre of
rotation lies along y, which the pair cannot see: it is found by the organ-wise likelihood of all views.
"""

from dataclasses import dataclass

import numpy as np

from planardose.errors import InputError
from planardose.frames import PlanarPose
from planardose.heads import DEFAULT_GAP_MM, Head, body_extent_ap_mm
from planardose.image import Grid
from planardose.patient_model import PatientModel
from planardose.planar import MoreViews, rebin
from planardose.recon.acquired import Acquired
from planardose.recon.angles import AngledProjector
from planardose.recon.matcher import WHOLE
from planardose.recon.qplanar import fit_concentrations, model_errors

# Of the search for the centre of rotation, about the body's axis: the table's height is free.
REACH_MM, STEP_MM = 102.0, 6.0


@dataclass(frozen=True)
class AllViews:
    """Counts of every view on the columns of `projector`, and RAS y of the centre of rotation."""

    projector: AngledProjector
    acquired: Acquired
    centre_y_mm: float


def axis_mm(model: PatientModel) -> tuple[float, float]:
    """RAS (x, y) of the middle of the body."""
    body = np.flatnonzero(model.body.any(axis=(1, 2)))[[0, -1]]
    return float(model.grid.axis_mm(0)[body].mean()), 0.5 * sum(body_extent_ap_mm(model))


def all_heads(model: PatientModel, more: MoreViews, faces_mm: tuple[float, float], couch_mm: float) -> tuple[Head, ...]:
    """The pair's heads and the further ones, whose distances count from the body's axis.

    Where none are given, or one lies within the body, a face clears the body's farthest point in its direction.
    """
    centre = np.array(axis_mm(model))
    i, j = np.nonzero(model.body[:, :, model.ct_slices].any(axis=2))
    points = np.stack([model.grid.axis_mm(0)[i], model.grid.axis_mm(1)[j]], axis=1)
    heads = [Head(0.0, float(faces_mm[0])), Head(180.0, -float(faces_mm[1]), aluminium_mm=couch_mm)]
    for n, angle in enumerate(more.angles_deg):
        normal = Head(angle, 0.0).normal[:2]
        surface = float((points @ normal).max()) + 0.5 * float(model.grid.spacing_mm[0])
        given = surface + DEFAULT_GAP_MM[0]
        if more.distance_mm is not None:
            given = max(float(centre @ normal) + more.distance_mm[n], surface)
        behind = couch_mm if normal[1] < -0.5 else 0.0  # from below the couch is in the way
        heads.append(Head(float(angle), given, aluminium_mm=behind))
    return tuple(heads)


def collected(setting, pose: PlanarPose, centre_y_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """(V, U, K) photopeak counts of all views on the projector's columns, and bool: cells that lie in the images."""
    projector, pair, model = setting.more, setting.pair, setting.model
    c, z = projector.columns, model.grid.axis_mm(2)
    step = float(model.grid.spacing_mm[2])
    target = Grid.axis_aligned(
        (c.count, 1, z.size), (c.width_mm, c.width_mm, step), (c.first_mm + 0.5 * c.width_mm, 0.0, z[0])
    )
    images, peak = list(setting.photopeak()), setting.peak
    poses = [pose, pose]
    for n, head in enumerate(projector.heads[2:]):
        images.append(pair.more.along(n, head.tangent)[peak])
        across, depth = float(head.tangent[0]), float(head.tangent[1])
        poses.append(PlanarPose(across * pose.x_mm + depth * centre_y_mm, pose.z_mm, across * pose.rotation_deg))
    both = [np.stack([x, np.ones(x.shape)]) for x in images]
    laid = np.array([rebin(b, pair.pixel_mm, target, p) for b, p in zip(both, poses, strict=True)])
    return laid[:, 0], laid[:, 1] > WHOLE * c.width_mm * step / float(np.prod(pair.pixel_mm))


def with_all_views(setting, pose: PlanarPose) -> AllViews:
    """Lay all views on the model and find the centre of rotation.

    Parameters
    ----------
    setting : recon.setting.Setting
        With `more`.
    pose : PlanarPose
        Of the pair.

    Raises
    ------
    InputError
        If the views fit best where the search ends: their centre of rotation is not known.
    """
    projector, model, exposure = setting.more, setting.model, setting.pair.exposure_s
    total = projector.organ_responses(model.fractions).total * exposure
    errors, of_body = model_errors(model), projector.of_body(model)

    def misfit(y: float) -> float:
        counts, shown = collected(setting, pose, y)
        return fit_concentrations(counts, total, np.zeros_like(counts), errors, of_body & shown).misfit

    places = axis_mm(model)[1] + np.arange(-REACH_MM, REACH_MM + STEP_MM, STEP_MM)
    values = np.array([misfit(float(y)) for y in places])
    best = int(values.argmin())
    if best in (0, places.size - 1):
        raise InputError(
            f"{setting.where} planar",
            f"the views beside the pair fit best with a centre of rotation {REACH_MM:g} mm off the body's axis",
            "a centre of rotation nearer to it",
            "check their angles, and that they and the pair are of one acquisition; or leave them out",
        )
    a, b, c = values[best - 1 : best + 2]
    curvature = a - 2 * b + c
    centre = float(places[best] + (0.5 * STEP_MM * (a - c) / curvature if curvature > 0 else 0.0))
    counts, shown = collected(setting, pose, centre)
    return AllViews(projector, Acquired(counts, None, float(exposure), of_body & shown), centre)
