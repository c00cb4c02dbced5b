"""Step `spect-activity`: the activity of a time point that has a SPECT and no planar images.

Inside an organ's outline a SPECT has lost what blur carries out of it, which the planar methods have not: organs are
recovered from the blur (`planardose.recon.blur_recovery`), so that one curve can go through both. Every method of the
config gets the same rows and map. What the SPECT's field does not hold whole has no uncertainty, and no part in the
kinetics.
"""

import json
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import yaml

from planardose.cohort import Row
from planardose.errors import InputError
from planardose.image import Volume
from planardose.io.files import atomic, write_text
from planardose.io.nifti import write_volume
from planardose.io.same_patient import check_same_patient
from planardose.library import DATA
from planardose.patient_model import PatientModel
from planardose.recon.blur_recovery import Recovered, recovered
from planardose.recon.emission import OnGrid
from planardose.recon.organ_table import COLUMNS, organ_lines
from planardose.recon.organ_totals import in_ct, split_map, with_totals
from planardose.recon.uncertainty import CALIBRATED, Uncertainty, factors
from planardose.run import Run
from planardose.steps.spect_on_grid import WHOLE, resolution, spect_on_grid
from planardose.units import BQ_PER_MBQ, rounded

QUANTITY = "activity concentration at mid-time of the SPECT"
NOTE = "from SPECT"


@dataclass(frozen=True)
class Found:
    """A SPECT on the model's grid, (I, J, K) MBq per voxel, its organs, and facts for the sidecar."""

    image: np.ndarray = field(repr=False)
    organs: Recovered
    facts: dict


@dataclass(frozen=True)
class SpillError:
    """What blur moved between organs: relative standard uncertainty, and the part of its variance that is shared."""

    spill: float
    shared: float


@cache
def spill_error() -> SpillError:
    """The numbers of ``data/spect.yaml``."""
    read = yaml.safe_load((DATA / "spect.yaml").read_text())
    return SpillError(read["spill"], read["shared"])


def spect_activity(run: Run, patient: str, timepoint: str) -> None:
    """Write `organs`, `gate` and the map of every method.

    Raises
    ------
    InputError
        As `read_spect`, `placed` and `check_same_patient`; planar images in the row; an earlier output is missing; the
        SPECT does not cover the body.
    """
    keys, row = {"patient": patient, "timepoint": timepoint}, run.cohort.row(patient, timepoint)
    if not row.from_spect:
        raise InputError(
            f"{row.where} spect",
            "the row has planar images too: the activity of this time point is theirs",
            "an empty cell in planar",
            "run 'planardose compare-spect' for it",
        )
    check_same_patient(run.config, run.cohort.rows_of(patient), (row,))
    model = PatientModel.load(run.need("model", "segment", patient=patient))
    found = activity_of(run, row, model)
    activity = _recovered_map(found.image, model, found.organs)
    columns = ["spect", *(["spect_ct"] if "spect_ct" in row.paths else [])]
    sources = [run.path("model", patient=patient), *(run.sheet_input(patient, c, timepoint) for c in columns)]
    _write_maps(run, keys, model, activity, sources)
    _write_organs(run, keys, model, activity, found.organs, sources, found.facts)
    _write_gate(run, keys, sources)


def activity_of(run: Run, row: Row, model: PatientModel) -> Found:
    """Read, place and resample a row's SPECT, and recover its organs.

    Raises
    ------
    InputError
        As `spect_activity`.
    """
    spect = spect_on_grid(run, row, model.grid)
    found = spect.found
    of_ct = OnGrid(in_ct(model, found.per_ml), in_ct(model, found.covered))
    resolved = resolution(run, row, of_ct, model)
    image = found.per_ml * (model.grid.voxel_ml / BQ_PER_MBQ)
    facts = {"at": spect.at.isoformat(), "registration": spect.registration, **resolved}
    return Found(image, recovered(found, model, resolved["fwhm_mm"], image), facts)


def _recovered_map(image: np.ndarray, model: PatientModel, organs: Recovered) -> np.ndarray:
    """The image (I, J, K) MBq per voxel with the organs' recovered totals; none is left out of the body."""
    inside = np.where(model.fractions.any(axis=0), np.maximum(image, 0.0), 0.0)
    return with_totals(inside, model, lambda m: split_map(m, model, organs.mbq_ml), organs.mbq)


def spect_uncertainty(rows: np.ndarray, organs: Recovered) -> Uncertainty:
    """Of the rows (O,) MBq: the SPECT's calibration and its blur, with what an empty organ lacks.

    The calibration and most of the blur's error (outlines, resolution) are the same for all of a patient's SPECTs; the
    rest is this time point's own. NaN for an organ that the field does not hold whole.
    """
    spill = spill_error()
    blur = (spill.spill * organs.spilt_mbq) ** 2
    own = (1.0 - spill.shared) * blur + organs.lacking_mbq**2
    total = (CALIBRATED * rows) ** 2 + spill.shared * blur + own
    there = (organs.share >= WHOLE) & (total > 0)
    return Uncertainty(*(np.where(there, np.sqrt(x), np.nan) for x in (total, own)))


def _write_maps(run: Run, keys: dict, model: PatientModel, activity: np.ndarray, sources: list) -> None:
    bq_ml = in_ct(model, activity) * (BQ_PER_MBQ / model.grid.voxel_ml)
    for method in run.config.methods_with_map:
        path = run.path("map", method=method, **keys)
        write_volume(path, Volume(bq_ml, model.ct_grid, QUANTITY, "Bq/mL"))
        run.sidecar(path, "spect_activity", QUANTITY, "Bq/mL", sources, method=method, note=NOTE)


def _write_organs(
    run: Run, keys: dict, model: PatientModel, activity: np.ndarray, organs: Recovered, sources: list, facts: dict
) -> None:
    rows = split_map(activity, model, organs.mbq_ml)
    u, lines = spect_uncertainty(rows, organs), [COLUMNS]
    for method in run.config.methods:
        lines += organ_lines(model, method, rows, u if method in factors() else None)
    path = run.path("organs", **keys)
    with atomic(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n")
    told = list(zip(model.organs, organs.share.tolist(), organs.mbq_ml, strict=True))
    run.sidecar(
        path,
        "spect_activity",
        "organ activity at mid-time",
        "MBq",
        sources,
        note=NOTE,
        spect_calibration_relative_u=CALIBRATED,
        spill_relative_u=spill_error().spill,
        spill_shared=spill_error().shared,
        share_in_field={o: rounded(share) for o, share, _ in told if share < WHOLE},
        split_by_mbq_ml={o: rounded(c) for o, _, c in told},
        **facts,
    )


def _write_gate(run: Run, keys: dict, sources: list) -> None:
    """Nothing to re-project: every method passes, with a note."""
    verdicts = {m: {"passed": True, "note": NOTE} for m in run.config.methods_with_map}
    chosen = {"chosen": run.config.map_method, "status": "ok", "accepted": None, "note": NOTE}
    path = run.path("gate", **keys)
    write_text(path, json.dumps(verdicts | chosen, indent=1) + "\n")
    run.sidecar(path, "spect_activity", "no gate: the activity is the SPECT's", "1", sources)
