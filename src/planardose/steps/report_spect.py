"""What the patient's page shows of the comparisons with a SPECT."""

from datetime import datetime

import numpy as np

from planardose.image import Volume
from planardose.io.nifti import read_volume
from planardose.io.result_table import read_rows
from planardose.patient_model import PatientModel
from planardose.recon.emission import smoothed
from planardose.report.images import display_grid, resampled, spect_figure
from planardose.report.patient_page import TimePointInput
from planardose.report.spect_section import SpectSection
from planardose.report.text import hours as hours_text
from planardose.report.text import organ_name, percent
from planardose.run import Run
from planardose.steps.cycle_points import CyclePoints, made_by

KBQ_PER_BQ = 1e-3


def spect_sections(run: Run, patient: str, model: PatientModel, ct: Volume, method: str) -> tuple[SpectSection, ...]:
    """One section per time point with a planar pair and a SPECT, in the sheet's order."""
    rows = [r for r in run.cohort.rows_of(patient) if r.is_compared]
    return tuple(_section(run, patient, r.timepoint, model, ct, method) for r in rows)


def spect_point(run: Run, patient: str, points: CyclePoints, n: int) -> TimePointInput:
    """A time point whose activity is a SPECT's, with the facts that it has."""
    name, where = points.names[n], {"patient": patient, "timepoint": points.names[n]}
    told, row = run.told("organs", made_by(run.cohort.row(**where)), **where), run.cohort.row(**where)
    place, at = told["registration"], datetime.fromisoformat(told["at"])
    matched = place if isinstance(place, str) else f"by its CT, correlation {place['ct_correlation']:.3f}"
    facts = (
        ("After injection", hours_text(points.hours[n])),
        ("SPECT of", f"{at:%Y-%m-%d %H:%M}"),
        ("SPECT's calibration", _calibration(row.spect_bqml_per_count, told["spect_calibration_relative_u"])),
        ("SPECT's resolution", f"{told['fwhm_mm']:.0f} mm, {told['fwhm_source']}"),
        ("SPECT's place", matched),
        ("Not whole in its field", ", ".join(organ_name(o).lower() for o in told["share_in_field"]) or "no organ"),
    )
    gate = run.content("gate", made_by(row), **where)
    return TimePointInput(name, points.cycle, float(points.hours[n]), facts, gate, None, None)


def _calibration(bqml_per_count: float | None, u: float) -> str:
    """Where the SPECT's Bq/mL come from, and the uncertainty that is assumed of them."""
    source = "Bq/mL of its file" if bqml_per_count is None else f"{bqml_per_count:.4g} Bq/mL of a count, by the sheet"
    return f"{source}; ± {percent(u)} (assumed)"


def _section(run: Run, patient: str, timepoint: str, model: PatientModel, ct: Volume, method: str) -> SpectSection:
    keys = {"patient": patient, "timepoint": timepoint}
    rows = read_rows(run, "spect", "compare-spect", **keys)
    facts = run.told("spect", "compare-spect", **keys)
    spect = _read(run, "spect_map", "compare-spect", keys)
    ours = _read(run, "map", "reconstruct", keys | {"method": method})
    seen = np.any(spect.data > 0, axis=(0, 1))
    blurred = smoothed(ours.data, facts["fwhm_mm"], model.ct_grid) * seen
    grid = display_grid(model.ct_grid)
    shown = [
        resampled(Volume(data * KBQ_PER_BQ, model.ct_grid, "activity concentration", "kBq/mL"), grid, 0.0)
        for data in (spect.data, blurred)
    ]
    return SpectSection(timepoint, rows, facts, spect_figure(resampled(ct, grid, -1000.0), *shown))


def _read(run: Run, key: str, step: str, keys: dict) -> Volume:
    where = f"{keys['patient']} {keys['timepoint']} {key}"
    return read_volume(run.need(key, step, **keys), "activity concentration", "Bq/mL", where)
