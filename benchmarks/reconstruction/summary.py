"""Numbers of the table from the rows of the cells, with intervals that resample anatomies."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from planardose.seeds import rng_for

REFERENCE = "qplanar_mlem"
DRAWS = 4000
SIZES_ML = (2.0, 4.0, 8.0, np.inf)
INTERVALS = {50: 0.6745, 68: 1.0, 95: 1.96}  # half widths in standard uncertainties
ORGANS = {
    "kidneys": ("kidney_right", "kidney_left"),
    "glands": ("parotid_gland_right", "parotid_gland_left", "submandibular_gland_right", "submandibular_gland_left"),
    "liver": ("liver",),
    "spleen": ("spleen",),
    "known lesions": ("lesion_",),
}


def load_cells(out: Path) -> tuple[pd.DataFrame, list[dict]]:
    """All rows of all cells (with case, group and training seed), and the cells without their rows."""
    tables, heads = [], []
    for path in sorted((out / "cells").glob("*.json")):
        cell = json.loads(path.read_text())
        case = cell["case"]
        table = pd.DataFrame(cell.pop("rows"))
        table["variant"], table["anatomy"] = case["variant"], case["number"]
        table["train_seed"], table["group"] = cell["train_seed"], cell["group"]
        tables.append(table)
        heads.append(cell)
    if not tables:
        raise SystemExit(f"no cells in {out / 'cells'}: run benchmarks.reconstruction.run first")
    return pd.concat(tables, ignore_index=True), heads


def _chosen(rows: pd.DataFrame, measure: str, organs: tuple[str, ...] | None = None) -> pd.DataFrame:
    found = rows[rows.measure == measure]
    return found if organs is None else found[found.region.str.startswith(organs)]


def _errors(rows: pd.DataFrame) -> pd.Series:
    return 100 * (rows.value / rows.truth - 1).abs()


def _organ(quantile: float, organs: tuple[str, ...]) -> Callable[[pd.DataFrame], float]:
    return lambda rows: float(_errors(_chosen(rows, "activity_mbq", organs)).quantile(quantile))


def _inside(half_width: float) -> Callable[[pd.DataFrame], float]:
    def share(rows: pd.DataFrame) -> float:
        part = _chosen(rows, "activity_mbq").dropna(subset="u")
        return 100 * float(((part.value - part.truth).abs() <= half_width * part.u).mean()) if len(part) else np.nan

    return share


def _hidden(what: str, low: float = 0.0, high: float = np.inf) -> Callable[[pd.DataFrame], float]:
    def mean(rows: pd.DataFrame) -> float:
        part = _chosen(rows, "hidden_lesion_bq_ml")
        part = part[(part.volume_ml >= low) & (part.volume_ml < high)]
        ratio = part.value / part.truth
        return float(ratio.mean() if what == "recovery" else 100 * (ratio - 1).abs().mean())

    return mean


def _mean(measure: str) -> Callable[[pd.DataFrame], float]:
    return lambda rows: float(_chosen(rows, measure).value.mean())


def measures() -> dict[str, Callable[[pd.DataFrame], float]]:
    """Name of a row of the table -> its number from the rows of one method in one variant."""
    out = {}
    for name, organs in ORGANS.items():
        out[f"activity error, {name}, median %"] = _organ(0.5, organs)
        out[f"activity error, {name}, 95th percentile %"] = _organ(0.95, organs)
    out["hidden lesions, recovery"] = _hidden("recovery")
    out["hidden lesions, absolute error %"] = _hidden("error")
    for low, high in pairwise(SIZES_ML):
        size = f"{low:g} to {high:g} mL" if np.isfinite(high) else f"{low:g} mL and more"
        out[f"hidden lesions of {size}, recovery"] = _hidden("recovery", low, high)
        out[f"hidden lesions of {size}, absolute error %"] = _hidden("error", low, high)
    out |= {"MAE": _mean("mae"), "NRMSE": _mean("nrmse"), "SSIM": _mean("ssim"), "deviance": _mean("deviance")}
    out |= {f"organs inside their {n} % interval, %": _inside(k) for n, k in INTERVALS.items()}
    return out


def per_anatomy(rows: pd.DataFrame) -> dict[int, pd.DataFrame]:
    return dict(list(rows.groupby("anatomy")))


def with_interval(method: pd.DataFrame, reference: pd.DataFrame, number: Callable) -> tuple[float, float, float]:
    """Relative difference of a number to the reference's in %, with its 95 % interval.

    Percentile bootstrap over the anatomies that both have, `DRAWS` draws with a fixed seed; both methods are computed
    on the same resampled anatomies, so the difference is paired.
    """
    ours, theirs = per_anatomy(method), per_anatomy(reference)
    common = sorted(ours.keys() & theirs.keys())

    def change(numbers) -> float:
        a, b = (number(pd.concat([part[n] for n in numbers])) for part in (ours, theirs))
        return 100 * (a / b - 1) if b else np.nan

    rng = rng_for(0, "reconstruction benchmark bootstrap")
    drawn = [change(rng.choice(common, len(common))) for _ in range(DRAWS if len(common) > 1 else 0)]
    low, high = np.nanpercentile(drawn, (2.5, 97.5)) if drawn else (np.nan, np.nan)
    return change(common), float(low), float(high)
