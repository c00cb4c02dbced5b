"""Scores of one cell: what `planardose evaluate` writes; lesion volumes, deviance, error by depth, residual shift."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.reconstruction.anatomies import Case

from planardose.commands.evaluate import evaluate
from planardose.frames import PlanarPose
from planardose.image import Volume
from planardose.io.nifti import read_volume
from planardose.organs import LESION_BASE
from planardose.overlap import collected
from planardose.run import Run
from planardose.units import BQ_PER_MBQ

DEPTH_MM = 20.0  # width of a bin of depth below the nearer of the front and back surface
INTERVALS = {50: 0.6745, 68: 1.0, 95: 1.96}  # share in % -> half width in standard uncertainties
SHOWN = 2  # anatomies whose maps are kept for the figures


def cell_rows(run: Run, case: Case, truth: Path, rename: dict[str, str]) -> tuple[list[dict], dict]:
    """Rows (timepoint, method, measure, region, value, truth, u) of a finished run, and small images of few cases."""
    evaluate(run, truth)
    rows = pd.read_csv(run.results / "evaluation.csv").drop(columns="patient")
    folder = truth / case.name
    organs = pd.read_csv(folder / "organs.csv").set_index("organ")
    rows["volume_ml"] = rows.region.map(organs.volume_ml)
    # a lesion stays a hidden one for the comparison, also where a group was told of it
    hidden = rows.region.isin(organs.index[~organs.known]) & (rows.measure == "known_lesion_bq_ml")
    rows.loc[hidden, "measure"] = "hidden_lesion_bq_ml"
    hidden_organs = list(organs.index[~organs.known.astype(bool) & organs.index.str.startswith("lesion_")])
    labels = read_volume(folder / "labels.nii.gz", "labels", "1", "true labels", np.int16).data
    more, told, images = [], [], {}
    for row in run.cohort.rows_of(case.name):
        keys = {"patient": case.name, "timepoint": row.timepoint}
        gate = json.loads(run.path("gate", **keys).read_text())
        found = json.loads(run.path("registration", **keys).read_text())
        more.append((row.timepoint, "", "residual_shift_mm", "body", residual_mm(case, row.timepoint, found)))
        source = folder / f"{row.timepoint}_activity.nii.gz"
        bq_ml = read_volume(source, "activity concentration", "Bq/mL", "truth", np.float64)
        for method in (m for m in run.config.methods if run.path("map", method=m, **keys).is_file()):
            more.append((row.timepoint, method, "deviance", "body", gate[method]["deviance"]))
            estimate = read_volume(run.path("map", method=method, **keys), "activity", "Bq/mL", "map", np.float64)
            more += [(row.timepoint, method, *r) for r in depth_rows(estimate, bq_ml)]
            told_u = run.path("map_u", method=method, **keys)
            if told_u.is_file():
                u = read_volume(told_u, "standard uncertainty", "Bq/mL", "map", np.float64)
                more += [(row.timepoint, method, *r) for r in voxel_rows(estimate, u, bq_ml)]
            shares = lesion_rows(estimate, bq_ml, labels, hidden_organs)
            told += [{"timepoint": row.timepoint, "method": method, **r} for r in shares]
            if case.number <= SHOWN and row.timepoint.startswith("s01"):
                images |= pictures(rename.get(method, method), estimate, bq_ml)
    columns = ["timepoint", "method", "measure", "region", "value"]
    rows = pd.concat([rows, pd.DataFrame(more, columns=columns), pd.DataFrame(told)], ignore_index=True)
    rows["volume_ml"] = rows.volume_ml.fillna(rows.region.map(organs.volume_ml))
    rows["method"] = rows.method.fillna("").replace(rename)
    return json.loads(rows.to_json(orient="records", double_precision=8)), images


def _truth_on(estimate: Volume, bq_ml: Volume) -> tuple[np.ndarray, np.ndarray]:
    """(I, J, K) true Bq/mL on the map's grid, and its body."""
    grid = estimate.grid
    true = collected(bq_ml.data, bq_ml.grid, grid) / grid.voxel_ml
    return true, collected(bq_ml.data > 0, bq_ml.grid, grid) >= 0.5 * grid.voxel_ml


def depth_rows(estimate: Volume, bq_ml: Volume) -> list[tuple]:
    """Mean absolute error by depth below the nearer surface along y, over the body's mean truth."""
    true, body = _truth_on(estimate, bq_ml)
    step = float(estimate.grid.spacing_mm[1])
    above = np.cumsum(body[:, ::-1], axis=1)[:, ::-1]
    below = np.cumsum(body, axis=1)
    depth = step * (np.minimum(above, below) - 0.5)
    error, mean = np.abs(estimate.data - true), float(true[body].mean())
    bins = (depth // DEPTH_MM).astype(int)
    return [
        ("mae_at_depth", f"{DEPTH_MM * n:g}-{DEPTH_MM * (n + 1):g} mm", float(error[body & (bins == n)].mean()) / mean)
        for n in np.unique(bins[body])
    ]


def voxel_rows(estimate: Volume, u: Volume, bq_ml: Volume) -> list[tuple]:
    """Share of the body's voxels whose truth lies inside their interval."""
    true, body = _truth_on(estimate, bq_ml)
    off = np.abs(estimate.data - true)[body] / np.maximum(u.data[body], 1e-9)
    return [(f"voxels_inside_{n}", "body", float((off <= k).mean())) for n, k in INTERVALS.items()]


def lesion_rows(estimate: Volume, bq_ml: Volume, labels: np.ndarray, names: list[str]) -> list[dict]:
    """Activity in MBq of each true lesion, when what a voxel of the map holds is split among what it truly holds.

    Voxels are as large as lesions: a mean inside the outline also counts what the grid itself mixes.
    """
    whole = collected(bq_ml.data, bq_ml.grid, estimate.grid)
    found = []
    for name in names:
        inside = labels == LESION_BASE + int(name.removeprefix("lesion_"))
        true = collected(np.where(inside, bq_ml.data, 0.0), bq_ml.grid, estimate.grid)
        share = np.divide(true, whole, out=np.zeros_like(true), where=whole > 0)
        value = float((estimate.data * share).sum()) * estimate.grid.voxel_ml
        mbq = {"value": value / BQ_PER_MBQ, "truth": float(true.sum()) / BQ_PER_MBQ}
        found.append({"measure": "hidden_lesion_mbq", "region": name, **mbq})
    return found


def pictures(method: str, estimate: Volume, bq_ml: Volume) -> dict[str, list]:
    """Coronal and sagittal maximum projections of map and truth, kBq/mL, rows from head to feet."""
    true, _ = _truth_on(estimate, bq_ml)
    return {
        name: [np.round(data.max(axis=axis).T[::-1] / 1000.0, 2).tolist() for axis in (1, 0)]
        for name, data in (("truth", true), (method, estimate.data))
    }


def residual_mm(case: Case, timepoint: str, found: dict) -> float:
    """Mean in-plane distance between where the registration puts points of the image and where they are.

    Points stand on a grid of 240 x 600 mm around the image's centre, at the depth y = 0. Breathing is not counted.
    """
    u, v = (x.ravel() for x in np.meshgrid(np.linspace(-120, 120, 7), np.linspace(-300, 300, 13)))
    put = PlanarPose(found["x_mm"], found["z_mm"], found["rotation_deg"]).to_ras(u, v)
    return float(np.linalg.norm(np.stack(put, axis=1) - case.on_ct(timepoint, u, v), axis=1).mean())
