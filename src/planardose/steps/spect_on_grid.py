"""A row's SPECT on a grid of its patient's model, and its resolution: where every step that takes one begins."""

from dataclasses import dataclass
from datetime import datetime

from planardose.cohort import Row
from planardose.errors import InputError
from planardose.image import Grid
from planardose.io.nifti import read_volume
from planardose.patient_model import PatientModel
from planardose.recon.emission import OnGrid, estimated_fwhm_mm, on_grid
from planardose.recon.rigid import Rigid
from planardose.recon.spect_input import placed, read_spect
from planardose.run import Run
from planardose.units import rounded

WHOLE = 0.95  # of an organ's volume must lie in the SPECT's field: the organ is seen whole
LEAST_COVERED = 0.05  # of the body: a SPECT that shows less lies elsewhere


@dataclass(frozen=True)
class SpectOnGrid:
    """A SPECT as acquired `at` a time, and where it lies, for a sidecar."""

    found: OnGrid
    at: datetime
    registration: dict | str


def spect_on_grid(run: Run, row: Row, grid: Grid) -> SpectOnGrid:
    """Read and place the SPECT of a row, and resample it onto `grid`, in the frame of the patient's CT.

    Raises
    ------
    InputError
        As `read_spect` and `placed`; no imported CT.
    """
    ct = read_volume(run.need("ct", "import-ct", patient=row.patient), "CT", "HU", f"{row.patient} ct")
    spect, rigid = read_spect(row), placed(row, ct)
    found = on_grid(spect.volume, grid, None if rigid is None else rigid.moving_from_fixed)
    return SpectOnGrid(found, spect.at, _told(rigid))


def covered_body_share(found: OnGrid, model: PatientModel) -> float:
    """Which share of the body on the CT's grid the SPECT covers, 0 to 1."""
    body = model.body[..., model.ct_slices]
    return float((found.covered & body).sum() / max(body.sum(), 1))


def resolution(run: Run, row: Row, found: OnGrid, model: PatientModel) -> dict[str, float | str]:
    """`fwhm_mm` of a SPECT on the CT's grid, and its `fwhm_source`: the config, or the CT's organs.

    Raises
    ------
    InputError
        A SPECT that misses the body, or that holds no activity in it.
    """
    share = covered_body_share(found, model)
    if share < LEAST_COVERED or found.per_ml[found.covered & model.body[..., model.ct_slices]].sum() <= 0:
        raise InputError(
            f"{row.where} spect",
            f"covers {100 * share:.1f} % of the CT's body",
            f"at least {100 * LEAST_COVERED:g} %, with activity in it",
            "give spect_ct, the CT that was taken with it",
        )
    stated = run.config.spect.fwhm_mm
    if stated is not None:
        return {"fwhm_mm": stated, "fwhm_source": "stated in the config"}
    return {"fwhm_mm": estimated_fwhm_mm(found, model), "fwhm_source": "estimated from the CT's organs"}


def _told(rigid: Rigid | None) -> dict | str:
    if rigid is None:
        return "none: taken to lie in the frame of ct"
    return {
        "spect_from_ct": [[rounded(x) for x in line] for line in rigid.moving_from_fixed.tolist()],
        "angle_deg": rounded(rigid.angle_deg), "ct_correlation": rounded(rigid.correlation),
        "overlap": rounded(rigid.overlap),
    }  # fmt: skip
