"""Command `evaluate`: a finished run against the truth of a synthetic cohort. Nothing else reads the truth."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from planardose.anatomy.orient import closest_ras
from planardose.dose.constants import TWO_SIDED_95
from planardose.errors import InputError
from planardose.image import Grid, Volume
from planardose.io.files import atomic
from planardose.io.nifti import read_volume
from planardose.io.result_table import read_rows
from planardose.organs import LESION_BASE, REMAINDER, is_lesion, source_name
from planardose.overlap import collected
from planardose.recon.scores import SSIM_SETTINGS, map_scores
from planardose.run import Run
from planardose.steps.cycle_points import made_by, unmeasured
from planardose.units import BQ_PER_MBQ

COLUMNS = ("patient", "timepoint", "method", "measure", "region", "value", "truth", "u", "low", "high")
BASE_OF_UNET = "qplanar"  # the network's output is this map times a factor that is 1 where the network says zero
ZERO_OUTPUT, ALL_ZERO, UNIFORM = "unet, zero output", "all-zero image", "uniform body"
GROUPS = {
    "kidneys": lambda organ: organ.startswith("kidney"),
    "liver": lambda organ: organ == "liver",
    "glands": lambda organ: organ.startswith(("parotid", "submandibular")),
    "lesions": is_lesion,
    "all": lambda organ: organ != REMAINDER,
}
INTERVALS = {"50": 0.674, "68": 1.0}  # half widths in standard uncertainties; that of 95 % has its own ends


@dataclass(frozen=True)
class TrueAnatomy:
    """Labels of a patient's truth, and the source class of each label that occurs."""

    labels: Volume
    names: dict[int, str]

    def activity_mbq(self, bq_ml: np.ndarray, rows: set[str], used: np.ndarray | None) -> dict[str, float]:
        """Activity per source class of a map on the labels' grid.

        What the chain does not know (`rows` are the classes that it does: a hidden lesion, a gland that the
        segmentation missed) belongs to the row that holds its place: by `used`, the chain's own labels, where given.
        """
        sums = np.bincount(self.labels.data.ravel(), bq_ml.ravel())
        out: dict[str, float] = {}
        for label, name in self.names.items():
            out[name] = out.get(name, 0.0) + float(sums[label]) * self.labels.grid.voxel_ml / BQ_PER_MBQ
            if used is not None and name not in rows:
                inside = self.labels.data == label
                mbq = bq_ml[inside] * self.labels.grid.voxel_ml / BQ_PER_MBQ
                for host, part in _by_row(used[inside], mbq, rows).items():
                    out[host] = out.get(host, 0.0) + part
        return out


def _by_row(labels: np.ndarray, mbq: np.ndarray, rows: set[str]) -> dict[str, float]:
    """Activity (N,) summed by the row of the organ table to which its voxel's label (N,) belongs."""
    out: dict[str, float] = {}
    for label in np.unique(labels):
        name = source_name(int(label)) if label else REMAINDER
        name = name if name in rows else REMAINDER
        out[name] = out.get(name, 0.0) + float(mbq[labels == label].sum())
    return out


def evaluate(run: Run, truth: Path) -> pd.DataFrame:
    """Write ``evaluation.csv`` and return a table with one column per method.

    Parameters
    ----------
    run : Run
        With finished results; patients or methods that are not there are left out.
    truth : Path
        Folder with ``{patient}/labels.nii.gz``, ``{timepoint}_activity.nii.gz`` (Bq/mL in the CT's frame) and,
        for doses, ``organs.csv`` with the columns organ and dose_gy.

    Returns
    -------
    DataFrame
        One row per measure: median and 95th percentile of the relative errors of organ activity and dose by group of
        organs (without those that the images do not show), share of 68 and 95 % intervals that hold the truth, lesion
        recovery (mean estimate over mean truth) of known and hidden lesions, MAE, NRMSE, SSIM
        (`planardose.recon.scores`); beside the methods the network with zero output, a uniform body and an all-zero
        image. NaN where there is nothing to compare.

    Raises
    ------
    InputError
        If no patient of the sheet has a truth and results, or a table was changed after it was written.
    """
    records: list[tuple] = []
    for patient in run.cohort.patients:
        if not (truth / patient / "labels.nii.gz").is_file():
            continue
        anatomy = true_anatomy(truth / patient, patient)
        for row in run.cohort.rows_of(patient):
            source = truth / patient / f"{row.timepoint}_activity.nii.gz"
            if source.is_file() and run.path("organs", patient=patient, timepoint=row.timepoint).is_file():
                records += _timepoint_records(run, patient, row.timepoint, anatomy, source)
        records += _dose_records(run, patient, truth / patient / "organs.csv")
    if not records:
        raise InputError(
            "evaluate --truth", "nothing to compare", "the truth folder of this cohort, and a finished run",
            "run the workflow first",
        )  # fmt: skip
    table = pd.DataFrame(records, columns=list(COLUMNS))
    with atomic(run.results / "evaluation.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.8g", lineterminator="\n")
    return _summary_of(table)


def _aligned(path: Path, where: str, quantity: str, unit: str, dtype=np.float32) -> Volume:
    volume = closest_ras(read_volume(path, quantity, unit, where, dtype))
    if not volume.grid.is_ras_aligned:
        raise InputError(where, "the grid is oblique", "a truth along the patient's axes")
    return volume


def true_anatomy(folder: Path, patient: str) -> TrueAnatomy:
    """The truth's labels in ``folder/labels.nii.gz``."""
    labels = _aligned(folder / "labels.nii.gz", f"{patient} true labels", "labels", "1", np.int16)
    return TrueAnatomy(labels, {int(v): source_name(int(v)) if v else REMAINDER for v in np.unique(labels.data)})


def _used_labels(run: Run, patient: str, anatomy: TrueAnatomy) -> np.ndarray | None:
    """The labels that the chain used, where they lie on the truth's grid."""
    path = run.path("labels", patient=patient)
    if not path.is_file():
        return None
    volume = _aligned(path, f"{patient} labels", "labels", "1", np.int16)
    return volume.data if volume.grid.same_as(anatomy.labels.grid) else None


def organ_truth(
    run: Run, patient: str, timepoint: str, anatomy: TrueAnatomy, source: Path, rows: set[str]
) -> tuple[dict[str, float], Volume]:
    """True activity in MBq per row of the organ table (`TrueAnatomy.activity_mbq`), and the map in `source`, Bq/mL.

    Raises
    ------
    InputError
        When the map cannot be read or lies on another grid than the true labels.
    """
    where = f"{patient} {timepoint} true activity"
    bq_ml = _aligned(source, where, "activity concentration", "Bq/mL", np.float64)
    if not bq_ml.grid.same_as(anatomy.labels.grid):
        raise InputError(where, "lies on another grid than the labels", "one grid for labels and activity")
    return anatomy.activity_mbq(bq_ml.data, rows, _used_labels(run, patient, anatomy)), bq_ml


def _timepoint_records(run: Run, patient: str, timepoint: str, anatomy: TrueAnatomy, source: Path) -> list[tuple]:
    row, where = run.cohort.row(patient, timepoint), {"patient": patient, "timepoint": timepoint}
    organs, told = read_rows(run, "organs", made_by(row), **where), run.told("organs", made_by(row), **where)
    hidden = unmeasured(row, told)
    truth, bq_ml = organ_truth(run, patient, timepoint, anatomy, source, set(organs.organ))
    records = [
        (patient, timepoint, r.method, "activity_mbq", r.organ, r.activity_mbq, truth[r.organ], r.activity_mbq_u,
         r.activity_mbq - TWO_SIDED_95 * r.activity_mbq_u, r.activity_mbq + TWO_SIDED_95 * r.activity_mbq_u)
        for r in organs.itertuples()
        if truth.get(r.organ, 0.0) > 0 and r.organ not in hidden
    ]  # fmt: skip
    if row.from_spect:  # the map is no method's
        return records
    known = {o for o in organs.organ if is_lesion(o)}
    paths = {m: run.path("map", patient=patient, timepoint=timepoint, method=m) for m in dict.fromkeys(organs.method)}
    maps = {
        m: read_volume(path, "activity concentration", "Bq/mL", f"{patient} {timepoint} {m} map", np.float64)
        for m, path in paths.items()
        if path.is_file()
    }
    for number, (method, estimate) in enumerate(maps.items()):
        found = _map_records(method, estimate, bq_ml, anatomy, known, with_references=number == 0)
        records += [(patient, timepoint, *record, np.nan, np.nan) for record in found]
    return records


def _map_records(
    method: str, estimate: Volume, bq_ml: Volume, anatomy: TrueAnatomy, known: set[str], with_references: bool
) -> list[tuple]:
    grid = estimate.grid
    truth = collected(bq_ml.data, bq_ml.grid, grid) / grid.voxel_ml
    body = collected(bq_ml.data > 0, bq_ml.grid, grid) >= 0.5 * grid.voxel_ml
    images = {method: estimate.data}
    if with_references:  # they stand once beside all methods
        images |= {UNIFORM: np.where(body, truth[body].mean(), 0.0), ALL_ZERO: np.zeros(grid.shape)}
    records = [
        (name, measure, "body", value, np.nan, np.nan)
        for name, image in images.items()
        for measure, value in map_scores(image, truth, body).items()
    ]
    for label, name in anatomy.names.items():
        if label > LESION_BASE:
            value, true = _mean_inside(estimate.data, grid, anatomy.labels.data == label, bq_ml)
            measure = "known_lesion_bq_ml" if name in known else "hidden_lesion_bq_ml"
            records.append((method, measure, name, value, true, np.nan))
    return records


def _mean_inside(estimate: np.ndarray, grid: Grid, inside: np.ndarray, bq_ml: Volume) -> tuple[float, float]:
    """Mean of an estimate and of the truth in a region of the truth's grid."""
    volume = collected(inside, bq_ml.grid, grid)
    return float((estimate * volume).sum() / max(volume.sum(), 1e-12)), float(bq_ml.data[inside].mean())


def _dose_records(run: Run, patient: str, source: Path) -> list[tuple]:
    """Organ doses of all cycles together; uncertainties of cycles are taken as fully correlated."""
    if not (run.path("organ_doses", patient=patient).is_file() and source.is_file()):
        return []
    truth = pd.read_csv(source).set_index("organ").dose_gy
    doses = read_rows(run, "organ_doses", "absorbed-dose", patient=patient).groupby(["organ", "method"], sort=False)
    summed = doses.agg(
        dose_gy=("dose_gy", "sum"),
        cycles=("cycle", "nunique"),
        **{k: (f"dose_gy_{k}", lambda of_cycles: of_cycles.sum(skipna=False)) for k in ("u", "low", "high")},
    ).reset_index()
    return [
        (patient, "", r.method, "dose_gy", r.organ, r.dose_gy, truth[r.organ], r.u, r.low, r.high)
        for r in summed.itertuples()
        if truth.get(r.organ, 0.0) > 0 and r.cycles == summed.cycles.max()
    ]


def _summary_of(table: pd.DataFrame) -> pd.DataFrame:
    """One row per measure and one column per method, from the records of ``evaluation.csv``.

    The network with zero output is its base's map, so its scores are those of `BASE_OF_UNET`.
    """
    of_maps = table.measure.isin(("mae", "nrmse", "ssim", "known_lesion_bq_ml", "hidden_lesion_bq_ml"))
    parts = {m: table[table.method == m] for m in dict.fromkeys(table.method) if m not in (UNIFORM, ALL_ZERO)}
    if "unet" in parts and BASE_OF_UNET in parts:
        parts[ZERO_OUTPUT] = table[of_maps & (table.method == BASE_OF_UNET)]
    parts |= {m: table[table.method == m] for m in (UNIFORM, ALL_ZERO)}
    columns = {m: _method_summary(rows) for m, rows in parts.items()}
    if ZERO_OUTPUT in columns:
        change = columns["unet"]["mae"] / columns[ZERO_OUTPUT]["mae"] - 1
        columns["unet"]["mae, change to zero output %"] = 100 * change
    return pd.DataFrame(columns).dropna(how="all").rename_axis("measure").reset_index()


def _errors(rows: pd.DataFrame, word: str) -> dict[str, float]:
    """Relative errors by group of organs, in %, and the share of intervals that hold the truth."""
    out: dict[str, float] = {}
    error = (rows.value / rows.truth - 1).abs()
    for group, belongs in GROUPS.items():
        chosen = error[rows.region.map(belongs).astype(bool)]
        out[f"{word} error, {group}, median %"] = 100 * chosen.median()
        out[f"{word} error, {group}, 95th percentile %"] = 100 * chosen.quantile(0.95)
    z = ((rows.value - rows.truth) / rows.u).abs().dropna()
    for name, half_width in INTERVALS.items():
        out[f"{word} inside the {name} % interval, %"] = 100 * float((z <= half_width).mean()) if len(z) else np.nan
    ends = rows[["truth", "low", "high"]].dropna()
    inside = ends.truth.between(ends.low, ends.high)
    out[f"{word} inside the 95 % interval, %"] = 100 * float(inside.mean()) if len(ends) else np.nan
    return out


def _method_summary(rows: pd.DataFrame) -> dict[str, float]:
    out = _errors(rows[rows.measure == "activity_mbq"], "activity") | _errors(rows[rows.measure == "dose_gy"], "dose")
    for kind in ("known", "hidden"):
        part = rows[rows.measure == f"{kind}_lesion_bq_ml"]
        out[f"recovery, {kind} lesions"] = (part.value / part.truth).mean()
    for measure, text in (("mae", "mae"), ("nrmse", "nrmse"), ("ssim", f"ssim ({SSIM_SETTINGS})")):
        out[text] = rows[rows.measure == measure].value.mean()
    return out
