"""What a prior image brings, and what a bad one costs: paired over the patients of a synthetic cohort.

    python -m benchmarks.prior.measure COHORT WORK --patients 12 --output benchmarks/prior

COHORT is a folder of `planardose make-demo`; WORK keeps the imported patients. For one time point of each patient, a
PET-like image is made from the truth (other amounts per organ and lesion, blur, noise, part of the texture another one:
`benchmarks.prior.image`), displaced or spoilt, and given to QPlanar + MLEM. Displacements are planted behind
import-prior (only the counts can find them), but for the row ``10 mm off before import``.
"""

import argparse
import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.prior.image import Look, prior_image

from planardose.config import parse_config
from planardose.image import Grid, Volume
from planardose.io.nifti import read_volume
from planardose.organs import LESION_BASE
from planardose.overlap import collected
from planardose.recon.mlem import mlem
from planardose.recon.placement import Placement
from planardose.recon.prior_align import match_organs, resampled, rigid
from planardose.recon.prior_check import Checker
from planardose.recon.projector import Projector
from planardose.recon.qplanar import qplanar, with_modelled_scatter
from planardose.recon.scores import map_scores
from planardose.recon.setting import load_setting
from planardose.run import Run
from planardose.sheet import load_cohort
from planardose.steps.import_ct import import_ct
from planardose.steps.import_planar import import_planar
from planardose.steps.register import register
from planardose.steps.segment import segment

LEAST_ML = 2.0
KIDNEYS = (2, 3)
MLEM_ITERATIONS = 4
SPECT = Look(fwhm_mm=11.0, noise=1.0)  # of 177Lu with a medium-energy collimator
PLANE, DEPTH, ALL = (1, 0, 1), (0, 1, 0), (1, 1, 1)


@dataclass(frozen=True)
class Condition:
    """How far the image is off, along which axes at random, how it looks otherwise, its length at the kidneys."""

    off_mm: float
    axes: tuple[int, int, int] = ALL
    look: Look = field(default_factory=Look)
    imported: bool = False
    bed_mm: float | None = None


CONDITIONS = {
    "within 3 mm": Condition(2.5),
    "5 mm off": Condition(5.0),
    "10 mm off": Condition(10.0),
    "10 mm off in the plane": Condition(10.0, PLANE),
    "10 mm off in depth": Condition(10.0, DEPTH),
    "10 mm off before import": Condition(10.0, imported=True),
    "SPECT of one bed": Condition(2.5, look=SPECT, bed_mm=390.0),
    "SPECT of one bed, 10 mm off": Condition(10.0, look=SPECT, bed_mm=390.0),
    "noisy": Condition(2.5, look=Look(noise=2.0)),
    "poor: wrong lesions and texture, noisy": Condition(2.5, look=Look(noise=2.0, true=False)),
}


class Case:
    """One time point with its truth on the reconstruction's grid."""

    def __init__(self, run: Run, cohort: Path, patient: str, timepoint: str):
        prepare(run, patient, timepoint)
        self.setting = load_setting(run, patient, timepoint, Projector)
        registered = run.path("registration", patient=patient, timepoint=timepoint)
        self.model, self.projector = self.setting.model, self.setting.projector
        self.acquired = self.setting.acquired_at(Placement.read(json.loads(registered.read_text())))
        folder = cohort / "truth" / patient
        self.labels = read_volume(folder / "labels.nii.gz", "labels", "1", "labels", np.int16)
        self.activity = read_volume(
            folder / f"{timepoint}_activity.nii.gz", "activity", "Bq/mL", "activity", np.float64
        )
        grid = self.model.ct_grid
        self.truth = self._on_grid(self.labels.data >= 0)
        self.body = collected(self.activity.data > 0, self.activity.grid, grid) >= 0.5 * grid.voxel_ml

    def _on_grid(self, mask: np.ndarray) -> np.ndarray:
        return collected(np.where(mask, self.activity.data, 0.0), self.activity.grid, self.model.ct_grid) / 1e6

    def reconstructed(self, sources, responses) -> np.ndarray:
        fit = qplanar(self.projector, sources, self.acquired, responses)
        modelled = with_modelled_scatter(self.acquired, fit, responses)
        return mlem(self.projector, modelled, fit.map(sources), MLEM_ITERATIONS)

    def scores(self, activity: np.ndarray) -> dict[str, float]:
        """MAE and NRMSE over the mean; errors of kidneys and lesions by the truth's share of each voxel."""
        estimate = activity[:, :, self.model.ct_slices]
        out = {k: v for k, v in map_scores(estimate, self.truth, self.body).items() if k != "ssim"}
        regions = {"kidneys": np.isin(self.labels.data, KIDNEYS)}
        lesions = [n for n in np.unique(self.labels.data) if n > LESION_BASE]
        known = sum(o.startswith("lesion_") for o in self.model.organs)
        for n in lesions:
            inside = self.labels.data == n
            if inside.sum() * self.labels.grid.voxel_ml > LEAST_ML:
                regions[f"{'known' if n - LESION_BASE <= known else 'hidden'} lesion {n - LESION_BASE}"] = inside
        for name, inside in regions.items():
            true = self._on_grid(inside)
            share = np.divide(true, self.truth, out=np.zeros_like(true), where=self.truth > 0)
            out[name] = float((estimate * share).sum() / true.sum() - 1.0)
        return out


def prepare(run: Run, patient: str, timepoint: str) -> None:
    if not run.path("model", patient=patient).exists():
        import_ct(run, patient)
        segment(run, patient)
    keys = {"patient": patient, "timepoint": timepoint}
    if not run.path("registration", **keys).exists():
        import_planar(run, patient, timepoint)
        register(run, patient, timepoint)


def one_bed(image: Volume, labels: Volume, length_mm: float) -> Volume:
    """The slices of an image within so many mm about the middle of the kidneys."""
    kidneys = np.flatnonzero(np.isin(labels.data, KIDNEYS).any(axis=(0, 1)))
    middle = float(labels.grid.axis_mm(2)[kidneys].mean())
    inside = np.flatnonzero(np.abs(image.grid.axis_mm(2) - middle) <= length_mm / 2)
    affine = image.grid.ras_from_voxel.copy()
    affine[2, 3] = image.grid.axis_mm(2)[inside[0]]
    data = image.data[:, :, inside[0] : inside[-1] + 1]
    return Volume(data, Grid(data.shape, affine), image.quantity, image.unit)


def displaced(condition: Condition, rng: np.random.Generator) -> Look:
    direction = rng.standard_normal(3) * condition.axes
    shift = condition.off_mm * direction / np.linalg.norm(direction)
    look = condition.look
    return Look(tuple(float(s) for s in shift), look.fwhm_mm, look.noise, look.true)


def records_of(case: Case, patient: str, timepoint: str, only: list[str]) -> list[dict]:
    even = case.setting.tissues
    base = case.scores(case.reconstructed(even.sources, even.responses))
    rows = [{"patient": patient, "timepoint": timepoint, "condition": "none", **base}]
    checker = Checker(case.projector, even.sources, case.acquired, even.responses)
    centre = np.mean(case.model.grid.bounds_mm(), axis=0)
    for name in only:
        condition = CONDITIONS[name]
        seed = zlib.crc32(f"{patient} {name}".encode())
        look = displaced(condition, np.random.default_rng(seed))
        image = prior_image(case.activity, case.labels.data, look, seed)
        if condition.bed_mm is not None:
            image = one_bed(image, case.labels, condition.bed_mm)
        at = np.eye(4)
        if condition.imported:
            at = rigid(match_organs(image, checker.anatomy, at, turning=False).parameters, centre)
        decision = checker.check(resampled(image, case.model, at))
        told = {"used": decision.sources is not None, "moved": " ".join(f"{s:.1f}" for s in decision.shift_mm)}
        told["planted"] = " ".join(f"{s:.1f}" for s in look.shift_mm)
        told |= {"misfit_without": decision.misfit_without, "misfit_with": decision.misfit_with}
        scores = base
        if decision.sources is not None:
            told |= {"weight": decision.sources.weight, "foci": len(decision.sources.chosen)}
            sources = decision.sources.textured
            scores = case.scores(case.reconstructed(sources, case.projector.organ_responses(sources.fractions)))
        rows.append({"patient": patient, "timepoint": timepoint, "condition": name, **told, **scores})
    return rows


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row per condition: MAE against none with its 95 % interval over the patients, lesion and kidney errors."""
    lesions = [c for c in table if "lesion " in c]
    none = table[table.condition == "none"].set_index("patient")
    rows = []
    for name, part in table.groupby("condition", sort=False):
        change = 100 * (part.set_index("patient").mae / none.mae - 1.0)
        half = 1.96 * change.std(ddof=1) / np.sqrt(len(change))
        errors = 100 * part[lesions].abs()
        groups = {g: errors[[c for c in lesions if c.startswith(g)]].stack() for g in ("known", "hidden")}
        rows.append({
            "condition": name, "patients": len(part), "used": part.used.fillna(False).astype(bool).sum(),
            "MAE": part.mae.mean(), "MAE change %": change.mean(), "upper 95 % limit": change.mean() + half,
            "NRMSE": part.nrmse.mean(), "lesions, median %": errors.stack().median(),
            "hidden, median %": groups["hidden"].median(), "known, median %": groups["known"].median(),
            "kidneys, median %": 100 * part.kidneys.abs().median(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--patients", type=int, default=12)
    parser.add_argument("--first", type=int, default=1, help="number of the first patient")
    parser.add_argument("--only", nargs="*", choices=CONDITIONS, default=list(CONDITIONS))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/prior"))
    wanted = parser.parse_args()
    run = Run(parse_config({}), load_cohort(wanted.cohort / "cohort.tsv"), wanted.work)
    rows = []
    for patient in run.cohort.patients[wanted.first - 1 :][: wanted.patients]:
        timepoint = run.cohort.rows_of(patient)[1].timepoint  # 24 or 72 h
        rows += records_of(Case(run, wanted.cohort, patient, timepoint), patient, timepoint, wanted.only)
        table = pd.DataFrame(rows)
        table.to_csv(wanted.output / "cases.csv", index=False, float_format="%.5g")
        summary(table).to_csv(wanted.output / "summary.csv", index=False, float_format="%.4g")
        print(patient, "done", flush=True)
    print(summary(table).to_string(index=False, float_format="%.3g"))


if __name__ == "__main__":
    main()
