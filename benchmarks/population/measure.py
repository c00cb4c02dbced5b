"""Compare starts and lengths of the training of patients of a synthetic cohort; see README.md beside this file.

    python benchmarks/population/measure.py COHORT --work FOLDER --patients P01,P02 prepare
    python benchmarks/population/measure.py COHORT --work FOLDER --patients P01,P02 train scratch_200 population_100
    python benchmarks/population/measure.py COHORT --work FOLDER --patients P01,P02 score

COHORT is a folder of ``planardose make-demo``. Everything is the chain's own steps; what is there is not made again.
"""

import argparse
import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd

from planardose.cohort import load_cohort
from planardose.config import parse_config
from planardose.frames import PlanarPose
from planardose.image import Volume
from planardose.io.files import atomic
from planardose.io.nifti import read_volume
from planardose.organs import LESION_BASE
from planardose.recon.organ_totals import split_map
from planardose.recon.setting import load_setting
from planardose.run import Run
from planardose.steps.evaluate import GROUPS, TrueAnatomy, true_anatomy
from planardose.steps.import_ct import import_ct
from planardose.steps.import_planar import import_planar
from planardose.steps.project import project
from planardose.steps.reconstruct import Estimates
from planardose.steps.register import register
from planardose.steps.sample_uptake import sample_uptake
from planardose.steps.scores import collected, map_scores
from planardose.steps.segment import segment
from planardose.steps.train import train

SHARED = ("anatomy", "uptake", "projection", "planar")  # folders of a patient that all variants of the training share
CLASSICAL = ("qplanar", "qplanar_mlem")


def run_of(cohort: Path, work: Path, variant: str) -> Run:
    """The run of a variant: ``{start}_{steps}``, e.g. population_100; its own weights, all else shared."""
    start, steps = variant.rsplit("_", 1)
    every = min(50, max(int(steps), 1))
    config = parse_config({"train": {"start": start, "steps": int(steps), "checkpoint_every": every}})
    run = Run(config, load_cohort(cohort / "cohort.tsv"), work / variant)
    for patient in run.cohort.patients:
        folder = run.results / patient
        folder.mkdir(parents=True, exist_ok=True)
        for name in SHARED:
            if not (folder / name).exists() and not (folder / name).is_symlink():
                (folder / name).symlink_to((work / "shared" / patient / name).absolute())
    return run


def prepare(cohort: Path, work: Path, patient: str, timepoints: list[str]) -> None:
    """All steps up to the training, in the folder ``shared``."""
    run = Run(parse_config({}), load_cohort(cohort / "cohort.tsv"), work / "shared")

    def there(key: str, **keys) -> bool:
        return run.path(key, patient=patient, **keys).exists()

    for key, step in (("ct", import_ct), ("model", segment), ("samples", sample_uptake)):
        if not there(key):
            step(run, patient)
    for chunk in range(-(-run.config.sampling.samples // run.config.projection.chunk)):
        if not there("projections", chunk=chunk):
            project(run, patient, chunk)
    for timepoint in timepoints:
        for key, step in (("planar", import_planar), ("registration", register)):
            if not there(key, timepoint=timepoint):
                step(run, patient, timepoint)


def score(cohort: Path, work: Path, patient: str, timepoint: str, variants: list[str]) -> list[dict]:
    """Scores of QPlanar, QPlanar + MLEM and the variants of one acquisition, one row each."""
    runs = {v: run_of(cohort, work, v) for v in variants}
    run = next(iter(runs.values()))
    truth = true_anatomy(cohort / "truth" / patient, patient)
    source = cohort / "truth" / patient / f"{timepoint}_activity.nii.gz"
    bq_ml = read_volume(source, "activity concentration", "Bq/mL", f"{patient} {timepoint}", np.float64)
    pose = json.loads(run.path("registration", patient=patient, timepoint=timepoint).read_text())
    pose = PlanarPose(pose["x_mm"], pose["z_mm"], pose["rotation_deg"])
    estimates = Estimates(run, patient, load_setting(run, patient, timepoint), pose)
    rows = []
    for method in (*CLASSICAL, *variants):
        estimates.run = runs.get(method, run)
        activity = estimates.map(method if method in CLASSICAL else "unet")
        organs = split_map(activity, estimates.model, estimates.fit.concentrations)
        totals = dict(zip(estimates.model.organs, organs, strict=True))
        keys = {"patient": patient, "timepoint": timepoint, "method": method}
        rows.append(keys | _scores(estimates.model, activity, totals, truth, bq_ml))
    return rows


def _scores(model, activity: np.ndarray, totals: dict, truth: TrueAnatomy, bq_ml: Volume) -> dict[str, float]:
    grid = model.ct_grid
    found = activity[:, :, model.ct_slices] * (1e6 / grid.voxel_ml)
    true = collected(bq_ml.data, bq_ml.grid, grid) / grid.voxel_ml
    body = collected(bq_ml.data > 0, bq_ml.grid, grid) >= 0.5 * grid.voxel_ml
    out = map_scores(found, true, body)
    out |= {"hidden lesion recovery": np.nan, "hidden lesion error": np.nan}
    hidden = [v for v, name in truth.names.items() if v > LESION_BASE and name not in totals]
    if hidden:
        parts = np.array([_lesion(found, grid, truth.labels.data == v, bq_ml) for v in hidden])
        out["hidden lesion recovery"] = float((parts[:, 0] / parts[:, 1]).mean())
        out["hidden lesion error"] = float((np.abs(parts[:, 0] - parts[:, 1]) / parts[:, 1]).mean())
    true_mbq = truth.activity_mbq(bq_ml.data)
    for group, belongs in GROUPS.items():
        errors = [abs(v / true_mbq[o] - 1) for o, v in totals.items() if belongs(o) and true_mbq.get(o, 0.0) > 0]
        if group not in ("all",):
            known = "known lesions" if group == "lesions" else group
            out[f"{known} error"] = float(np.mean(errors)) if errors else np.nan
    return out


def _lesion(found: np.ndarray, grid, inside: np.ndarray, bq_ml: Volume) -> tuple[float, float]:
    volume = collected(inside, bq_ml.grid, grid)
    return float((found * volume).sum() / volume.sum()), float(bq_ml.data[inside].mean())


def summary(table: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Means over acquisitions, and paired changes to `reference` over patients with their standard errors."""
    numbers = table.columns[3:]
    out = table.groupby("method", sort=False)[list(numbers)].mean()
    paired = table.pivot_table("mae", ["patient"], "method")
    change = paired.div(paired[reference], axis=0) - 1
    out[f"mae change to {reference} %"] = 100 * change.mean()
    out["its standard error"] = 100 * change.std() / np.sqrt(change.count())
    lesion = table.pivot_table("hidden lesion error", ["patient"], "method")
    change = lesion.sub(lesion[reference], axis=0)
    out["lesion error change, points"] = 100 * change.mean()
    out["standard error of that"] = 100 * change.std() / np.sqrt(change.count())
    out["patients"] = table.groupby("method").patient.nunique()
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--patients", required=True, help="pseudonyms, joined by commas")
    parser.add_argument("--timepoints", default="t24,t168")
    parser.add_argument("--reference", default="scratch_200")
    parser.add_argument("what", choices=("prepare", "train", "score"))
    parser.add_argument("variants", nargs="*", help="START_STEPS, e.g. population_100")
    a = parser.parse_args()
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(name)s: %(message)s")
    patients, timepoints = a.patients.split(","), a.timepoints.split(",")
    rows: list[dict] = []
    for patient in patients:
        if a.what == "prepare":
            prepare(a.cohort, a.work, patient, timepoints)
        elif a.what == "train":
            for variant in a.variants:
                run = run_of(a.cohort, a.work, variant)
                if not run.path("weights", patient=patient).exists():
                    train(run, patient)
        else:
            ready = [v for v in a.variants if run_of(a.cohort, a.work, v).path("weights", patient=patient).exists()]
            for timepoint in timepoints:
                rows += score(a.cohort, a.work, patient, timepoint, ready)
        print(patient, "done", flush=True)
    if rows:
        table = pd.DataFrame(rows)
        with atomic(a.work / "scores.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
        print(summary(table, a.reference).round(4).T.to_string())


if __name__ == "__main__":
    main()
