"""What register and reconstruct share: one acquisition with its model, camera and projector."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from planardose.frames import PlanarPose
from planardose.heads import face_positions_mm
from planardose.image import Grid
from planardose.io.planar_file import load_pair
from planardose.library import load_camera, load_nuclide
from planardose.patient_model import PatientModel
from planardose.physics.sensitivity import air_sensitivity_cps_per_mbq
from planardose.planar import PlanarPair, rebin
from planardose.recon.acquired import Acquired, acquired_from, within_field, without_dead_time
from planardose.recon.camera_views import CameraViews, Responses
from planardose.recon.matcher import WHOLE
from planardose.recon.motion import brought_back, movable, moved_responses
from planardose.recon.placement import Placement, middle_of
from planardose.recon.qplanar import fit_concentrations, model_errors
from planardose.recon.tissues import Tissues, tissues_of
from planardose.recon.uncertainty import calibration_relative_u
from planardose.run import Run

if TYPE_CHECKING:
    from planardose.recon.angles import AngledProjector


@dataclass(frozen=True)
class Setting:
    """One time point: patient model, planar pair, projector; `more` sees all views where there are others too.

    `for_networks` is the projector on the networks' device. Everything else stays on the CPU, so that the classical
    methods give the same bytes on every machine of a cluster. `calibration_u` is the scale's relative uncertainty.
    """

    model: PatientModel
    pair: PlanarPair
    projector: CameraViews
    for_networks: CameraViews
    nuclide_name: str
    where: str
    calibrated: bool
    calibration_u: float
    more: "AngledProjector | None" = None

    @cached_property
    def responses(self) -> Responses:
        """Of every organ of the model to the opposed pair, computed once."""
        return self.projector.organ_responses(self.model.fractions)

    @cached_property
    def tissues(self) -> Tissues:
        """The model with its remainder split by tissue, and what that does to `responses`."""
        return tissues_of(self.projector, self.model, self.responses)

    @cached_property
    def of_body(self) -> np.ndarray:
        """(2, I, K) bool: cells with body in sight."""
        return self.projector.of_body(self.model)

    def acquired(self, pose: PlanarPose) -> Acquired:
        """Counts on the model's grid at a rigid pose."""
        return self.acquired_at(Placement(pose))

    def acquired_at(self, placement: Placement) -> Acquired:
        """Counts on the model's grid at a placement, organs that moved brought back to their place in the CT."""
        grid, nuclide = self.model.grid, load_nuclide(self.nuclide_name)
        step = tuple(float(s) for s in grid.spacing_mm[[0, 2]])
        counts, windows, exposure_s = self.pair.rebinned(grid, placement.pose), self.pair.windows, self.pair.exposure_s
        if any(placement.head):
            counts[1] = self.pair.rebinned(grid, placement.poses(middle_of(grid))[1])[1]
        acquired = acquired_from(counts, windows, exposure_s, nuclide, step, f"{self.where} planar")
        # what the images do not show was not measured as zero
        acquired = replace(acquired, of_body=self.of_body & self.shown_at(placement))
        if not placement.organs:
            return acquired
        total = self.responses.total * exposure_s
        moved = moved_responses(total, movable(self.model), placement.organs, grid.spacing_mm)
        none, errors = np.zeros_like(acquired.counts), model_errors(self.model)
        fit = fit_concentrations(acquired.counts, moved, none, errors, acquired.of_body)
        return replace(acquired, counts=brought_back(acquired.counts, fit.concentrations, total, moved))

    def shown_at(self, placement: Placement) -> np.ndarray:
        """(2, I, K) bool: cells that lie wholly in each image."""
        grid, pixel_mm = self.model.grid, self.pair.pixel_mm
        ones = np.ones((1, *self.pair.counts.shape[:1:-1]))
        cell = float(np.prod(grid.spacing_mm[[0, 2]]) / np.prod(pixel_mm))
        return np.stack([rebin(ones, pixel_mm, grid, p)[0] > WHOLE * cell for p in placement.poses(middle_of(grid))])

    def photopeak_on(self, grid: Grid, pose: PlanarPose) -> np.ndarray:
        """Photopeak counts (2, I, K) on any RAS-aligned grid at a pose."""
        one = replace(self.pair, counts=self.pair.counts[:, [self.peak]], windows=(self.pair.windows[self.peak],))
        return one.rebinned(grid, pose)[:, 0]

    @property
    def peak(self) -> int:
        """Index of the photopeak window."""
        return load_nuclide(self.nuclide_name).peak_index(self.pair.windows)

    def photopeak(self) -> np.ndarray:
        """Photopeak counts (2, U, V) in the order of `PlanarPair.ras`."""
        return self.pair.ras()[:, self.peak]


def load_setting(
    run: Run, patient: str, timepoint: str, kind: type[CameraViews] = CameraViews, device: str = "cpu"
) -> Setting:
    """Read the model and the imported planar pair, and set up the projector with the sheet's camera and calibration.

    `kind` is `Projector` for who needs more of it than the organs' responses: that takes torch, and has a `device`.

    Raises
    ------
    InputError
        If the model or the imported pair is missing, or the CT holds no body.
    """
    row = run.cohort.row(patient, timepoint)
    model = PatientModel.load(run.need("model", "segment", patient=patient))
    pair = load_pair(run.need("planar", "import-planar", patient=patient, timepoint=timepoint))
    camera, nuclide = load_camera(row.camera), load_nuclide(row.nuclide)
    # sensitivity and scatter are those of the window that was acquired, whatever the catalogue's is
    peak = nuclide.peak_index(pair.windows)
    nuclide = replace(nuclide, photopeak=pair.windows[peak])
    pair = within_field(without_dead_time(pair, camera, nuclide), camera)
    faces = face_positions_mm(model, pair.detector_distance_mm, f"{row.where} planar")
    calibration, scale, head = row.calibration_cps_per_mbq, 1.0, run.config.projection
    if calibration is not None:
        # what the calibration measured, in air and without the couch
        scale = calibration / air_sensitivity_cps_per_mbq(camera, nuclide, nuclide.photopeak, head.penetration)
    views = model, camera, nuclide, faces, scale, head.penetration, head.couch
    projector = kind(*views)
    for_networks = projector if device == "cpu" else kind(*views, device=device)
    more = None
    if pair.more is not None and kind is not CameraViews:
        from planardose.recon.all_views import all_heads  # torch again
        from planardose.recon.angles import AngledProjector

        heads = all_heads(model, pair.more, faces, camera.couch_mm if head.couch else 0.0)
        more = AngledProjector(model, camera, nuclide, heads, scale, head.penetration)
    u = calibration_relative_u(calibration, row.calibration_cps_per_mbq_u)
    return Setting(model, pair, projector, for_networks, row.nuclide, row.where, calibration is not None, u, more)
