"""Measured and re-projected views of one time point, for the patient's page."""

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from planardose.frames import PlanarPose
from planardose.io.nifti import read_volume
from planardose.organs import OUTSIDE_CT
from planardose.patient_model import PatientModel
from planardose.planar import PlanarPair
from planardose.recon.gate import GATE_ERROR
from planardose.recon.qplanar import variance
from planardose.recon.setting import load_setting
from planardose.report.images import ViewPair
from planardose.run import Run
from planardose.units import BQ_PER_MBQ


@dataclass(frozen=True)
class TimePointViews:
    """The acquisition, its photopeak counts (2, I, K) on the model's grid, and both sides of the comparison."""

    pair: PlanarPair
    measured: np.ndarray
    shown: ViewPair


def views_of(run: Run, patient: str, timepoint: str, method: str) -> TimePointViews:
    """Counts of a time point and what the method's map should have given: primaries and scatter."""
    where = {"patient": patient, "timepoint": timepoint}
    setting = load_setting(run, patient, timepoint)
    found = json.loads(run.need("registration", "register", **where).read_text())
    acquired = setting.acquired(PlanarPose(found["x_mm"], found["z_mm"], found["rotation_deg"]))
    projector, activity = setting.projector, activity_mbq(run, where, setting.model, method)
    with torch.no_grad():
        primary = projector.forward(projector.tensor(activity)).numpy().astype(np.float64)
    expected = (primary + projector.scatter(activity)) * acquired.exposure_s
    sigma = np.sqrt(variance(expected, GATE_ERROR))
    spacing = (float(setting.model.grid.spacing_mm[0]), float(setting.model.grid.spacing_mm[2]))
    return TimePointViews(setting.pair, acquired.counts, ViewPair(timepoint, acquired.counts, expected, sigma, spacing))


def activity_mbq(run: Run, where: dict, model: PatientModel, method: str) -> np.ndarray:
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
