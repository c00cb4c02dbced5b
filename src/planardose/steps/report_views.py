"""Measured and re-projected views of one time point, for the patient's page."""

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from planardose.frames import PlanarPose
from planardose.heads import face_positions_mm
from planardose.io.nifti import read_volume
from planardose.io.planar_file import load_pair
from planardose.library import load_camera, load_nuclide
from planardose.organs import OUTSIDE_CT
from planardose.patient_model import PatientModel
from planardose.physics.sensitivity import air_sensitivity_cps_per_mbq
from planardose.planar import PlanarPair
from planardose.recon.acquired import acquired_from
from planardose.recon.projector import Projector
from planardose.recon.qplanar import model_errors, variance
from planardose.report.images import ViewPair
from planardose.run import Run
from planardose.units import BQ_PER_MBQ


@dataclass(frozen=True)
class TimePointViews:
    """The acquisition, its photopeak counts (2, I, K) on the model's grid, and both sides of the comparison."""

    pair: PlanarPair
    measured: np.ndarray
    shown: ViewPair


def views_of(run: Run, patient: str, timepoint: str, model: PatientModel, method: str) -> TimePointViews:
    """Counts of a time point and what the method's map should have given: primaries and scatter."""
    row, where = run.cohort.row(patient, timepoint), {"patient": patient, "timepoint": timepoint}
    pair = load_pair(run.need("planar", "import-planar", **where))
    found = json.loads(run.need("registration", "register", **where).read_text())
    pose = PlanarPose(found["x_mm"], found["z_mm"], found["rotation_deg"])
    camera, nuclide = load_camera(row.camera), load_nuclide(row.nuclide)
    spacing = (float(model.grid.spacing_mm[0]), float(model.grid.spacing_mm[2]))
    rebinned = pair.rebinned(model.grid, pose)
    acquired = acquired_from(rebinned, pair.windows, pair.exposure_s, nuclide, spacing, row.where)
    faces = face_positions_mm(model, pair.detector_distance_mm, f"{row.where} planar")
    calibration = row.calibration_cps_per_mbq
    scale = calibration / air_sensitivity_cps_per_mbq(camera, nuclide, nuclide.photopeak) if calibration else 1.0
    projector, activity = Projector(model, camera, nuclide, faces, scale), _activity_mbq(run, where, model, method)
    with torch.no_grad():
        primary = projector.forward(projector.tensor(activity)).numpy().astype(np.float64)
    expected = (primary + projector.scatter(activity)) * pair.exposure_s
    sigma = np.sqrt(variance(expected, model_errors(model)))
    return TimePointViews(pair, acquired.counts, ViewPair(timepoint, acquired.counts, expected, sigma, spacing))


def _activity_mbq(run: Run, where: dict, model: PatientModel, method: str) -> np.ndarray:
    """(I, J, K) MBq per voxel on the whole grid: the map, and the table's activity out of the CT in the margin."""
    path = run.need("map", "reconstruct", method=method, **where)
    volume = read_volume(
        path, "activity concentration", "Bq/mL", f"{where['patient']} {where['timepoint']} {method} map"
    )
    activity = np.zeros(model.grid.shape)
    activity[..., model.ct_slices] = volume.data / BQ_PER_MBQ * model.grid.voxel_ml
    if OUTSIDE_CT in model.organs:
        table = pd.read_csv(run.path("organs", **where))
        beyond = table[(table.organ == OUTSIDE_CT) & (table.method == method)].activity_mbq.sum()
        share = model.fractions[model.organs.index(OUTSIDE_CT)].astype(np.float64)
        activity += share * (beyond / max(share.sum(), 1e-9))
    return activity
