"""Step `compare-spect`: every map of a time point beside the patient's SPECT, and what that SPECT explains itself.

The SPECT is brought to the planning CT and to the middle of the planar acquisition; our maps are blurred to its
resolution. Physical decay only: what the body cleared in between counts as a difference.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from planardose.image import Volume, box_of
from planardose.io.files import atomic
from planardose.io.nifti import read_volume, write_volume
from planardose.io.result_table import read_rows
from planardose.io.same_patient import check_same_patient
from planardose.library import load_nuclide
from planardose.organs import OUTSIDE_CT
from planardose.patient_model import PatientModel
from planardose.recon.emission import OnGrid, smoothed
from planardose.recon.gate import deviance
from planardose.recon.placement import Placement
from planardose.recon.scores import SSIM_K, SSIM_WINDOW, map_scores
from planardose.recon.setting import Setting, load_setting
from planardose.run import Run
from planardose.steps.spect_on_grid import WHOLE, covered_body_share, resolution, spect_on_grid
from planardose.units import BQ_PER_MBQ, hours_between, rounded

SPECT, UNIFORM, ALL_ZERO = "spect", "uniform", "all_zero"
COLUMNS = ("method", "measure", "organ", "value", "spect", "relative_error")
LEAST_ML = 2.0  # smaller organs say more about blur than about activity
SEEN = 0.99  # of a slice's body must lie in the field for its counts to judge the SPECT
EDGE_MM = 40.0  # slices so near to the field's ends are left out: activity beyond shines in
SETTINGS = (
    f"uniform {SSIM_WINDOW}-voxel window, K {SSIM_K[0]:g} and {SSIM_K[1]:g}, range max(SPECT), box of its field"
)


@dataclass(frozen=True)
class Compared:
    """A SPECT and what it is compared with, on the CT part of the model's grid, Bq/mL at the planar's mid-time."""

    model: PatientModel
    found: OnGrid
    fwhm_mm: float
    maps: dict[str, np.ndarray]

    @property
    def body(self) -> np.ndarray:
        """(I, J, K) bool: body in the SPECT's field."""
        return self.found.covered & self.model.body[..., self.model.ct_slices]

    @property
    def box(self) -> tuple[slice, ...]:
        """Smallest box that holds the field."""
        return box_of(self.found.covered)

    def blurred(self, method: str) -> np.ndarray:
        """A method's map at the SPECT's resolution."""
        return smoothed(self.maps[method], self.fwhm_mm, self.model.ct_grid)

    def organ_mbq(self, per_ml: np.ndarray) -> dict[str, float]:
        """Organ -> MBq inside its fractions, of organs that lie in the field."""
        fractions = self.model.fractions[..., self.model.ct_slices]
        volumes, out = self.model.volumes_ml(), {}
        for organ, volume, share in zip(self.model.organs, volumes, fractions, strict=True):
            covered = float(share[self.found.covered].sum(dtype=np.float64)) * self.model.grid.voxel_ml
            if organ != OUTSIDE_CT and volume >= LEAST_ML and covered >= WHOLE * volume:
                inside = np.where(self.found.covered, share * per_ml, 0.0).sum(dtype=np.float64)
                out[organ] = float(inside) * self.model.grid.voxel_ml / BQ_PER_MBQ
        return out

    def rows(self) -> list[tuple]:
        """Scores of every map, and of an even body and an empty image beside them."""
        spect, box, body = self.found.per_ml, self.box, self.body
        truth = self.organ_mbq(spect)
        total = float(spect[body].sum())
        even = np.where(body, spect[body].mean(), 0.0)
        images = {m: self.blurred(m) for m in self.maps} | {UNIFORM: even, ALL_ZERO: np.zeros_like(spect)}
        out = []
        for name, image in images.items():
            seen = np.where(self.found.covered, image, 0.0)
            scores = map_scores(seen[box], spect[box], body[box])
            out += [(name, measure, "body", value, np.nan, np.nan) for measure, value in scores.items()]
            if name in self.maps:
                mbq = self.model.grid.voxel_ml / BQ_PER_MBQ
                held = float(seen[body].sum())
                out.append((name, "activity_mbq", "field", held * mbq, total * mbq, held / total - 1))
                ours = self.organ_mbq(seen)
                out += [(name, "activity_mbq", o, ours[o], t, ours[o] / t - 1 if t > 0 else np.nan)
                        for o, t in truth.items()]  # fmt: skip
        return out


def compare_spect(run: Run, patient: str, timepoint: str) -> None:
    """Write `spect` (table) and `spect_map` (the SPECT where our maps lie).

    Raises
    ------
    InputError
        As `read_spect`, `placed` and `check_same_patient`; an earlier output is missing; the SPECT does not cover the
        body.
    """
    keys, row = {"patient": patient, "timepoint": timepoint}, run.cohort.row(patient, timepoint)
    check_same_patient(run.config, run.cohort.rows_of(patient), (row,))
    setting = load_setting(run, patient, timepoint)
    spect = spect_on_grid(run, row, setting.model.ct_grid)
    hours = hours_between(spect.at, setting.pair.mid_time)
    decay = 0.5 ** (hours / load_nuclide(row.nuclide).half_life_h)
    found = OnGrid(spect.found.per_ml * decay, spect.found.covered)
    resolved = resolution(run, row, found, setting.model)
    paths = {m: run.need("map", "reconstruct", method=m, **keys) for m in run.config.methods_with_map}
    maps = {m: read_volume(p, "activity concentration", "Bq/mL", f"{row.where} {m} map", np.float64).data
            for m, p in paths.items()}  # fmt: skip
    compared = Compared(setting.model, found, resolved["fwhm_mm"], maps)
    seen, factor = _deviances(run, keys, setting, found)
    _write(run, keys, compared, [*compared.rows(), *seen], list(paths.values()), {
        "hours_from_planar": rounded(-hours), "decay_factor": rounded(decay), **resolved,
        "registration": spect.registration, "ssim": SETTINGS,
        "covered_body_share": rounded(covered_body_share(found, setting.model)),
        "scale_that_fits_the_planar_counts": factor, "organs_in_field_ml_at_least": LEAST_ML,
    })  # fmt: skip


def _deviances(run: Run, keys: dict, setting: Setting, found: OnGrid) -> tuple[list[tuple], float]:
    """Rows with the deviance of each map's re-projection where the SPECT is known, the SPECT's own among them.

    Outside its field the SPECT is continued by the first method's map. Also the factor on the SPECT's counts with which
    it fits the planar counts best.
    """
    pose = run.content("registration", "register", **keys)
    acquired = setting.acquired_at(Placement.read(pose))
    model, projector = setting.model, setting.projector
    where = _judged(found, model) & acquired.of_body
    if not where.any():
        return [], float("nan")

    def expected(activity: np.ndarray) -> np.ndarray:
        return (projector.primary(activity) + projector.scatter(activity)) * acquired.exposure_s

    ours = {m: _activity_mbq(run, keys, model, m) for m in run.config.methods_with_map}
    continued = next(iter(ours.values())).copy()
    part = continued[..., model.ct_slices]
    part[found.covered] = found.per_ml[found.covered] * model.grid.voxel_ml / BQ_PER_MBQ
    images = {m: expected(a) for m, a in ours.items()} | {SPECT: expected(continued)}
    ceiling = deviance(acquired.counts, images[SPECT], where)
    rows = [(m, "deviance", "field", deviance(acquired.counts, e, where), ceiling, np.nan) for m, e in images.items()]
    factor = float(acquired.counts[where].sum() / images[SPECT][where].sum())
    scaled = deviance(acquired.counts, factor * images[SPECT], where)
    rows.append((SPECT, "deviance_scaled", "field", scaled, np.nan, np.nan))
    return rows, rounded(factor)


def _activity_mbq(run: Run, where: dict, model: PatientModel, method: str) -> np.ndarray:
    """A method's map (I, J, K) MBq per voxel on the whole grid, the table's activity out of the CT in the margin."""
    path = run.need("map", "reconstruct", method=method, **where)
    volume = read_volume(
        path, "activity concentration", "Bq/mL", f"{where['patient']} {where['timepoint']} {method} map"
    )
    activity = np.zeros(model.grid.shape)
    activity[..., model.ct_slices] = volume.data / BQ_PER_MBQ * model.grid.voxel_ml
    if OUTSIDE_CT in model.organs:
        table = read_rows(run, "organs", "reconstruct", **where)
        beyond = table[(table.organ == OUTSIDE_CT) & (table.method == method)].activity_mbq.sum()
        share = model.fractions[model.organs.index(OUTSIDE_CT)].astype(np.float64)
        activity += share * (beyond / max(share.sum(), 1e-9))
    return activity


def _judged(found: OnGrid, model: PatientModel) -> np.ndarray:
    """(I, K) bool: pixels over body, in slices whose body the SPECT knows, away from the ends of its field."""
    body = model.body[..., model.ct_slices]
    known = (found.covered & body).sum(axis=(0, 1)) >= SEEN * np.maximum(body.sum(axis=(0, 1)), 1)
    known &= body.any(axis=(0, 1))
    edge = round(EDGE_MM / model.grid.spacing_mm[2])
    padded = np.pad(known, edge, mode="constant")
    inner = np.min([padded[n : n + known.size] for n in range(2 * edge + 1)], axis=0).astype(bool)
    out = np.zeros((model.grid.shape[0], model.grid.shape[2]), dtype=bool)
    out[:, model.ct_slices] = body.any(axis=1) & inner
    return out


def _write(run: Run, keys: dict, compared: Compared, rows: list[tuple], maps: list, facts: dict) -> None:
    columns = ["spect", *(["spect_ct"] if "spect_ct" in run.cohort.row(**keys).paths else [])]
    sources = [run.sheet_input(keys["patient"], c, keys["timepoint"]) for c in columns]
    picture, quantity = run.path("spect_map", **keys), "SPECT at mid-time of the planar acquisition"
    write_volume(picture, Volume(compared.found.per_ml, compared.model.ct_grid, quantity, "Bq/mL"))
    run.sidecar(picture, "compare_spect", quantity, "Bq/mL", sources, **facts)
    output = run.path("spect", **keys)
    with atomic(output) as temporary:
        pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(
            temporary, index=False, float_format="%.8g", lineterminator="\n"
        )
    inputs = [*sources, run.path("registration", **keys), run.path("planar", **keys), *maps]
    run.sidecar(output, "compare_spect", "comparison with the SPECT", "", inputs, **facts)
