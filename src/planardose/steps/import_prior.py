"""Step import-prior: a prior PET or SPECT, laid on the planning CT and brought to the reconstruction's grid."""

import json
import logging

import numpy as np

from planardose.cohort import Row
from planardose.image import Volume
from planardose.io.activity_image import read_activity_image
from planardose.io.ct import read_ct
from planardose.io.dicom_tomographic import ARBITRARY
from planardose.io.files import write_text
from planardose.io.nifti import read_volume, write_volume
from planardose.io.same_patient import check_same_patient
from planardose.patient_model import PatientModel
from planardose.recon.prior_align import (
    OrganMatch,
    lattice_by_organs,
    match_organs,
    resampled,
    rigid,
)
from planardose.recon.prior_shapes import Anatomy, PriorImage
from planardose.recon.rigid import register_cts
from planardose.run import Run
from planardose.units import rounded

LEAST_CORRELATION = 0.7  # of both CTs after registration; two CTs of one patient have 0.9 and more
# Of the body in the CT. An image that the organs alone must place needs many of them; where its own CT tells the place,
# one bed of a SPECT (390 mm, a third of a whole-body CT) serves as far as it reaches.
LEAST_COVERED = {"organs": 0.5, "prior_ct": 0.15}
LEAST_EXPLAINED = 0.3  # of the image's variation, by the organs of the CT: right synthetic PETs have 0.66 to 0.79
NOTED_MM = 5.0  # difference between CT and organs that is told: the patient moved between CT and emission
log = logging.getLogger(__name__)


def import_prior(run: Run, patient: str) -> None:
    """Write ``prior/image.nii.gz`` (relative concentration, half the reconstruction's voxel, NaN where the image does
    not reach) and ``prior/registration.json``.

    With `prior_ct` both CTs are registered, then the image is shifted to where the CT's organs explain it best; without
    it, the organs alone decide, turns included.

    Raises
    ------
    InputError
        As `read_activity_image`, `read_ct` and `check_same_patient`; no prior image in the sheet.
    """
    rows = run.cohort.rows_of(patient)
    check_same_patient(run.config, rows, rows)
    row = rows[0]
    found = read_activity_image(row.paths["prior_image"], f"{patient} prior_image")
    model = PatientModel.load(run.need("model", "segment", patient=patient))
    anatomy = Anatomy(model)
    start, correlation, method = _start(run, row, found.volume, anatomy)
    match = match_organs(found.volume, anatomy, start, turning=method == "organs")
    image_from_ct = start @ rigid(match.parameters, np.mean(model.grid.bounds_mm(), axis=0))
    prior = resampled(found.volume, model, image_from_ct)
    covered = float(prior.on_grid((0.0, 0.0, 0.0), model.grid.spacing_mm)[1][anatomy.inside].mean())
    output, told = run.path("prior", patient=patient), run.path("prior_registration", patient=patient)
    unit = found.volume.unit
    write_volume(output, Volume(prior.data, PriorImage.grid_of(model), found.volume.quantity, unit))
    result = {
        "method": method,
        "modality": found.modality,
        "ct_correlation": None if correlation is None else rounded(correlation),
        "moved_by_organs_mm_deg": [rounded(x) for x in match.parameters],
        "image_from_ct": [[rounded(x) for x in line] for line in image_from_ct],
        "explained_before": rounded(match.explained_before),
        "explained": rounded(match.explained),
        "fwhm_mm": match.fwhm_mm,
        "covered": rounded(covered),
        "unusable": _fault(match, covered, method, correlation),
    }
    write_text(told, json.dumps(result, indent=1) + "\n")
    inputs = [run.sheet_input(patient, c) for c in ("prior_image", "prior_ct") if c in row.paths]
    inputs.append(run.path("model", patient=patient))
    run.sidecar(output, "import_prior", "prior image, relative concentration", unit or ARBITRARY, inputs)
    run.sidecar(told, "import_prior", "registration of the prior image", "mm, degrees", inputs)
    if method == "prior_ct" and np.linalg.norm(match.parameters[:3]) > NOTED_MM:
        log.warning("%s prior_image: %.0f mm off its own CT", patient, np.linalg.norm(match.parameters[:3]))
    state = result["unusable"] or "usable"
    log.info("%s prior_image: %s, organs explain %.0f %%, %s", patient, method, 100 * match.explained, state)


def _fault(match: OrganMatch, covered: float, method: str, correlation: float | None) -> str | None:
    """Why the image cannot be used at all; None where the counts may decide."""
    if covered < LEAST_COVERED[method]:
        problem = f"it covers {covered:.0%} of the body in the CT"
        if method == "prior_ct":
            return problem
        advice = "name its own CT in prior_ct" if correlation is None else "prior_ct does not match the CT"
        return f"{problem}, too little to place it by organs alone: {advice}"
    if match.explained < LEAST_EXPLAINED:
        return f"the CT's organs explain {match.explained:.0%} of what it shows"
    return None


def _start(run: Run, row: Row, image: Volume, anatomy: Anatomy) -> tuple[np.ndarray, float | None, str]:
    """Transform to start from, the correlation of both CTs, and ``prior_ct`` or ``organs``."""
    correlation = None
    if "prior_ct" in row.paths:
        where = f"{row.patient} ct"
        ct = read_volume(run.need("ct", "import-ct", patient=row.patient), "CT number", "HU", where)
        match = register_cts(ct, read_ct(row.paths["prior_ct"], f"{row.patient} prior_ct"))
        if match.correlation >= LEAST_CORRELATION:
            return match.moving_from_fixed, match.correlation, "prior_ct"
        correlation = match.correlation
        log.warning("%s prior_ct: correlates %.2f with the CT; not used", row.patient, correlation)
    candidates = (np.eye(4), lattice_by_organs(image, anatomy))  # images of one session may share the CT's frame
    return max(candidates, key=lambda t: _explained(image, anatomy, t)), correlation, "organs"


def _explained(image: Volume, anatomy: Anatomy, image_from_ct: np.ndarray) -> float:
    model = anatomy.model
    values, covered = resampled(image, model, image_from_ct).on_grid((0.0, 0.0, 0.0), model.grid.spacing_mm)
    if covered[anatomy.inside].mean() < LEAST_COVERED["organs"]:
        return -np.inf
    return anatomy.fit(values, covered).explained
