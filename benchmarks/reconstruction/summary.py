"""Numbers of the table from the rows of the cells, with intervals that resample anatomies."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.reconstruction.anatomies import UNUSUAL_EVERY
from benchmarks.reconstruction.groups import GROUPS
from benchmarks.reconstruction.scoring import INTERVALS

from planardose.seeds import rng_for

DRAWS = 4000
SIZES_ML = (2.0, 4.0, 8.0, np.inf)
NEAR, LEAST_MBQ = 20.0, 5.0  # %: the error that most cases shall stay within; what an organ holds to matter for a dose
ORGANS = {
    "kidneys": ("kidney_right", "kidney_left"),
    "glands": ("parotid_gland_right", "parotid_gland_left", "submandibular_gland_right", "submandibular_gland_left"),
    "liver": ("liver",),
    "spleen": ("spleen",),
    "lesions told": ("lesion_",),
}


def load_cells(out: Path) -> tuple[pd.DataFrame, list[dict]]:
    """All rows of all cells (with case, group and training seed), and the cells without their rows."""
    tables, heads = [], []
    for path in sorted((out / "cells").glob("*.json")):
        cell = json.loads(path.read_text())
        if cell["group"] not in GROUPS:
            print(f"{path.name} left out: no group of this commit")
            continue
        case = cell["case"]
        table = pd.DataFrame(cell.pop("rows"))
        if len(table):  # lesions that only this group was told of are no "lesions told" beside other groups
            hidden = set(table.region[table.measure == "hidden_lesion_bq_ml"])
            table.loc[table.region.isin(hidden) & (table.measure == "activity_mbq"), "measure"] = "masked_lesion_mbq"
        table["variant"], table["anatomy"] = case["variant"], case["number"]
        table["train_seed"], table["group"] = cell["train_seed"], cell["group"]
        tables.append(table)
        heads.append(cell)
    if not tables:
        raise SystemExit(f"no cells in {out / 'cells'}: run benchmarks.reconstruction.run first")
    return pd.concat(tables, ignore_index=True), heads


@dataclass(frozen=True)
class Measure:
    """A number of the table: `values` picks one value per row that counts, `reduce` makes the number of them."""

    values: Callable[[pd.DataFrame], pd.Series]
    reduce: Callable[[np.ndarray], float] = np.mean

    def __call__(self, rows: pd.DataFrame) -> float:
        """The number of all rows; NaN without any."""
        found = self.values(rows).to_numpy(float)
        return float(self.reduce(found)) if len(found) else np.nan

    def by_anatomy(self, rows: pd.DataFrame) -> dict[int, np.ndarray]:
        """The values of each anatomy that has any."""
        found = self.values(rows)
        return {int(n): part.to_numpy(float) for n, part in found.groupby(rows.anatomy.loc[found.index])}


def _organ_errors(organs: tuple[str, ...]) -> Callable[[pd.DataFrame], pd.Series]:
    def errors(rows: pd.DataFrame) -> pd.Series:
        part = rows[(rows.measure == "activity_mbq") & rows.region.str.startswith(organs)]
        return 100 * (part.value / part.truth - 1).abs()

    return errors


def _near(organs: tuple[str, ...], least_mbq: float = 0.0) -> Callable[[pd.DataFrame], pd.Series]:
    def near(rows: pd.DataFrame) -> pd.Series:
        errors = _organ_errors(organs)(rows)
        return 100.0 * (errors <= NEAR)[rows.truth.loc[errors.index] >= least_mbq]

    return near


def _inside(half_width: float) -> Callable[[pd.DataFrame], pd.Series]:
    def inside(rows: pd.DataFrame) -> pd.Series:
        part = rows[(rows.measure == "activity_mbq") & rows.u.notna()]
        return 100.0 * ((part.value - part.truth).abs() <= half_width * part.u)

    return inside


def _hidden(
    error: bool, low: float = 0.0, high: float = np.inf, measure: str = "hidden_lesion_bq_ml"
) -> Callable[[pd.DataFrame], pd.Series]:
    def ratios(rows: pd.DataFrame) -> pd.Series:
        part = rows[(rows.measure == measure) & (rows.volume_ml >= low) & (rows.volume_ml < high)]
        ratio = part.value / part.truth
        return 100 * (ratio - 1).abs() if error else ratio

    return ratios


def _of(measure: str) -> Measure:
    return Measure(lambda rows: rows[rows.measure == measure].value)


def _percent(measure: str) -> Measure:
    return Measure(lambda rows: 100 * rows[rows.measure == measure].value)


def _unusual(rows: pd.DataFrame) -> pd.Series:
    return rows[(rows.measure == "mae") & (rows.anatomy % UNUSUAL_EVERY == 0)].value


def _p95(values: np.ndarray) -> float:
    return float(np.quantile(values, 0.95))


def measures() -> dict[str, Measure]:
    """Name of a row of the table -> how its number comes from the rows of one method in one variant."""
    out = {}
    for name, organs in ORGANS.items():
        out[f"activity error, {name}, median %"] = Measure(_organ_errors(organs), np.median)
        out[f"activity error, {name}, 95th percentile %"] = Measure(_organ_errors(organs), _p95)
        out[f"{name} within {NEAR:g} %, % of the cases"] = Measure(_near(organs))
        held = f"{name} of {LEAST_MBQ:g} MBq and more"
        out[f"{held} within {NEAR:g} %, % of the cases"] = Measure(_near(organs, LEAST_MBQ))
    for error, word in ((False, "recovery"), (True, "absolute error %")):
        out[f"hidden lesions, {word}"] = Measure(_hidden(error))
        for low, high in pairwise(SIZES_ML):
            size = f"{low:g} to {high:g} mL" if np.isfinite(high) else f"{low:g} mL and more"
            out[f"hidden lesions of {size}, {word}"] = Measure(_hidden(error, low, high))
    out["hidden lesions of 2 mL and more, median error %"] = Measure(_hidden(True, 2.0), np.median)
    out["hidden lesions of 2 mL and more, activity, median error %"] = Measure(
        _hidden(True, 2.0, measure="hidden_lesion_mbq"), np.median
    )
    out |= {"MAE": _of("mae"), "MAE, unusual anatomies": Measure(_unusual), "NRMSE": _of("nrmse"), "SSIM": _of("ssim")}
    out |= {"deviance": _of("deviance"), "deviance, largest": replace(_of("deviance"), reduce=np.max)}
    out |= {f"voxels inside their {n} % interval, %": _percent(f"voxels_inside_{n}") for n in INTERVALS}
    return out | {f"organs inside their {n} % interval, %": Measure(_inside(k)) for n, k in INTERVALS.items()}


def _same_seeds(method: pd.DataFrame, reference: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the training seeds that both have, anatomy by anatomy; what is not trained (seed 0) goes with any."""

    def keys(rows: pd.DataFrame) -> list[tuple]:
        return list(zip(rows.anatomy, rows.train_seed, strict=True))

    if (method.train_seed == 0).all() or (reference.train_seed == 0).all():
        return method, reference
    common = set(keys(method)) & set(keys(reference))
    first, second = (rows[[k in common for k in keys(rows)]] for rows in (method, reference))
    return first, second


def with_interval(method: pd.DataFrame, reference: pd.DataFrame, measure: Measure) -> tuple[float, float, float]:
    """Relative difference of a number to the reference's in %, with its 95 % interval.

    Percentile bootstrap over the anatomies that both have, `DRAWS` draws with a fixed seed; both methods are computed
    on the same resampled anatomies and, where both were trained, with the same training seeds, so the difference is
    paired. NaN without a common anatomy, and for the interval with only one.
    """
    ours, theirs = (measure.by_anatomy(rows) for rows in _same_seeds(method, reference))
    common = sorted(ours.keys() & theirs.keys())
    # an anatomy with several training seeds weighs alike on both sides
    theirs = {n: np.tile(theirs[n], max(len(ours[n]) // len(theirs[n]), 1)) for n in common}
    if not common:
        return np.nan, np.nan, np.nan

    def change(numbers) -> float:
        a, b = (float(measure.reduce(np.concatenate([part[n] for n in numbers]))) for part in (ours, theirs))
        return 100 * (a / b - 1) if b else np.nan

    rng = rng_for(0, "reconstruction benchmark bootstrap")
    drawn = [change(rng.choice(common, len(common))) for _ in range(DRAWS if len(common) > 1 else 0)]
    low, high = np.nanpercentile(drawn, (2.5, 97.5)) if drawn else (np.nan, np.nan)
    return change(common), float(low), float(high)
