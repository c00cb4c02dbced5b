"""Foci found in the images of a cohort with truth: how many hidden lesions, where, with how much, and what else.

    python -m benchmarks.foci.measure COHORT RESULTS [--jobs 2]

COHORT as `make-demo` or `benchmarks.reconstruction.cohort` write it, RESULTS of a run on it as far as `register`. For
each acquisition QPlanar and four MLEM iterations are computed without and with foci. A focus is a hidden lesion's when
it lies within `NEAR_MM` of its centre, an unlabelled organ's when it lies in an organ of the truth that the chain's
labels miss; any other is told as false.
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from planardose.commands.evaluate import organ_truth, true_anatomy
from planardose.config import Config
from planardose.errors import InputError
from planardose.image import Volume
from planardose.organs import is_lesion
from planardose.overlap import collected
from planardose.patient_model import PatientModel
from planardose.recon.foci import find_foci
from planardose.recon.focus import Focus
from planardose.recon.mlem import mlem
from planardose.recon.placement import Placement
from planardose.recon.projector import Projector
from planardose.recon.qplanar import qplanar, with_modelled_scatter
from planardose.recon.scores import map_scores
from planardose.recon.setting import load_setting
from planardose.recon.uncertainty import CALIBRATED, foci_u
from planardose.run import Run
from planardose.sheet import load_cohort
from planardose.units import BQ_PER_MBQ

NEAR_MM, MLEM_ITERATIONS = 30.0, 4


def centre_mm(inside: np.ndarray, grid) -> np.ndarray:
    """(3,) RAS: middle of a region of a grid."""
    return grid.ras_from_voxel[:3, :3] @ np.argwhere(inside).mean(axis=0) + grid.ras_from_voxel[:3, 3]


def of_acquisition(cohort: Path, results: Path, patient: str, timepoint: str) -> dict:
    """Scores of both maps, and one entry per hidden lesion and per focus."""
    run = Run(Config(), load_cohort(cohort / "cohort.tsv"), results)
    told = run.content("registration", "register", patient=patient, timepoint=timepoint)
    setting = load_setting(run, patient, timepoint, Projector)
    measured, even = setting.acquired_at(Placement.read(told)), setting.tissues
    anatomy = true_anatomy(cohort / "truth" / patient, patient)
    source = cohort / "truth" / patient / f"{timepoint}_activity.nii.gz"
    bq_ml = organ_truth(run, patient, timepoint, anatomy, source, set())[1]
    foci = find_foci(setting.projector, setting.model, even.sources, measured, even.responses)
    maps = {"without": even.sources, "with": foci.beside(even.sources, setting.model)}
    grid, out = setting.model.ct_grid, {"patient": patient, "timepoint": timepoint}
    truth = collected(bq_ml.data, bq_ml.grid, grid) / grid.voxel_ml
    body = collected(bq_ml.data > 0, bq_ml.grid, grid) >= 0.5 * grid.voxel_ml
    hidden, regions = {}, {}
    for label, name in anatomy.names.items():
        inside = anatomy.labels.data == label
        if name not in setting.model.organs:
            regions[name] = inside
        if is_lesion(name) and name not in setting.model.organs:
            hidden[name] = inside
    ml = bq_ml.grid.voxel_ml
    lesions = {
        name: {
            "lesion": name,
            "ml": float(inside.sum() * ml),
            "at": centre_mm(inside, bq_ml.grid),
            "mbq": float(bq_ml.data[inside].sum() * ml / BQ_PER_MBQ),
        }
        for name, inside in hidden.items()
    }
    for word, sources in maps.items():
        responses = even.responses if sources is even.sources else setting.projector.organ_responses(sources.fractions)
        fit = qplanar(setting.projector, sources, measured, responses)
        mbq = fit.concentrations * sources.volumes_ml()
        acquired = with_modelled_scatter(measured, fit, responses)
        found = mlem(setting.projector, acquired, fit.map(sources), MLEM_ITERATIONS)
        per_ml = found[..., setting.model.ct_slices] * (BQ_PER_MBQ / grid.voxel_ml)
        out |= {f"{k} {word}": v for k, v in map_scores(per_ml, truth, body).items()}
        for name, inside in hidden.items():
            volume = collected(inside, bq_ml.grid, grid)
            share = float((per_ml * volume).sum() / volume.sum()) / float(bq_ml.data[inside].mean())
            lesions[name][f"recovery {word}"] = share
    hosts, mbq = foci.hosts(setting.model), mbq[len(even.sources.organs) :]
    out["foci"] = [
        {"host": setting.model.organs[host], "mbq": float(m), "contrast": c}
        | _told(f, m, setting.model, lesions, regions, bq_ml)
        for f, c, m, host in zip(foci.found, foci.contrasts, mbq, hosts, strict=True)
    ]
    found = {f["is"]: f for f in reversed(out["foci"])}
    out["lesions"] = [
        {k: v for k, v in x.items() if k != "at"} | {"found": found.get(name, {}).get("mbq")}
        for name, x in lesions.items()
    ]
    return out


def _told(focus: Focus, mbq: float, model: PatientModel, lesions: dict, regions: dict, bq_ml: Volume) -> dict:
    """What a focus is, where, and how sure."""
    at = focus.centre_mm(model.grid)
    off = {name: float(np.linalg.norm(at - x["at"])) for name, x in lesions.items()}
    nearest = min(off, key=off.get, default=None)
    index = np.round(np.linalg.solve(bq_ml.grid.ras_from_voxel, [*at, 1.0])[:3]).astype(int)
    near = tuple(slice(max(i - 4, 0), i + 5) for i in index)
    organ = next((name for name, inside in regions.items() if inside[near].any() and not is_lesion(name)), None)
    what = nearest if nearest is not None and off[nearest] < NEAR_MM else organ or "false"
    told = {"is": what, "at_mm": at.tolist(), "u_mm": focus.u_mm.tolist()}
    told |= {k: getattr(focus, k) for k in ("gain", "misfit", "width_mm")}
    told["mbq_u"] = float(foci_u(mbq, focus.mbq_u, CALIBRATED))
    if what in lesions:
        told |= {"off_mm": (at - lesions[what]["at"]).tolist(), "true_mbq": lesions[what]["mbq"]}
    return told


def quantiles(off: np.ndarray) -> str:
    """Median and 90th percentile of errors (N, 3) along each axis."""
    size = np.abs(off)
    middle, end = np.median(size, axis=0), np.quantile(size, 0.9, axis=0)
    return "; ".join(f"{a} {m:.1f}, {e:.1f}" for a, m, e in zip("xyz", middle, end, strict=True))


def inside(off: np.ndarray, u: np.ndarray) -> str:
    """Shares of errors within 1 and 2 standard uncertainties."""
    z = np.abs(off) / u
    return f"{100 * (z < 1).mean():.0f}, {100 * (z < 2).mean():.0f} %"


def of_lesions(lesions: pd.DataFrame) -> list[str]:
    """Lines on hidden lesions: the maps inside them, and how many have a focus, by size."""
    lines = []
    for word in ("without", "with"):
        share = lesions[f"recovery {word}"]
        error = 100 * (share - 1).abs().mean()
        lines.append(f"hidden lesions {word}: recovery {share.mean():.3f}, absolute error {error:.1f} %")
    for low, high in ((0, 2), (2, 4), (4, 8), (8, np.inf)):
        part = lesions[(lesions.ml >= low) & (lesions.ml < high)]
        if len(part):
            off = 100 * (part.found / part.mbq - 1).abs().median()
            found = f"{part.found.notna().sum()} of {len(part)} found"
            lines.append(f"  {low} to {high} mL: {found}, activity off by {off:.0f} % (median)")
    return lines


def of_foci(foci: pd.DataFrame) -> list[str]:
    """Lines on foci: how well those of hidden lesions are placed, and what the others are."""
    own = foci[foci["is"].map(is_lesion)]
    off, u = np.array(own.off_mm.tolist()), np.array(own.u_mm.tolist())
    ratio = np.quantile(own.mbq / own.true_mbq, [0.1, 0.5, 0.9]).round(2).tolist()
    kinds = foci["is"].map(lambda x: "hidden lesion" if is_lesion(x) else x).value_counts()
    lines = [
        f"place off by (median, 90th percentile), mm: {quantiles(off)}",
        "place within 1, 2 standard uncertainties: "
        + "; ".join(f"{a} {inside(off[:, n], u[:, n])}" for n, a in enumerate("xyz")),
        f"activity over the truth: 10, 50, 90 % {ratio}; within 1, 2 standard uncertainties "
        f"{inside((own.mbq - own.true_mbq).to_numpy(), own.mbq_u.to_numpy())}",
        "foci: " + ", ".join(f"{k} {n}" for k, n in kinds.items()),
    ]
    for f in foci[foci["is"] == "false"].sort_values("gain").itertuples():
        shape = f"misfit {f.misfit:.1f}, width {f.width_mm:.1f} mm, depth +- {f.u_mm[1]:.1f} mm"
        lines.append(f"  false: {f.mbq:.2f} MBq in {f.host}, gain {f.gain:.0f}, contrast {f.contrast:.1f}, {shape}")
    return lines


def summary(found: list[dict]) -> str:
    """The figures of all acquisitions as lines."""
    table = pd.DataFrame(found)
    lesions, foci = (pd.DataFrame([x for f in found for x in f[k]]) for k in ("lesions", "foci"))
    lines = [f"{len(table)} acquisitions of {table.patient.nunique()} patients, {len(lesions)} hidden lesions in them"]
    for score in ("mae", "nrmse", "ssim"):
        a, b = table[f"{score} without"], table[f"{score} with"]
        change = 100 * ((b / a).groupby(table.patient).mean() - 1)
        error = change.std() / len(change) ** 0.5
        told = f"{change.mean():+.1f} % (standard error {error:.1f})"
        lines.append(f"{score:6s}{a.mean():8.4f} ->{b.mean():8.4f}, {told}")
    return "\n".join(lines + of_lesions(lesions) + of_foci(foci))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cohort", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--most", type=int, default=None, help="acquisitions")
    given = parser.parse_args()
    run = Run(Config(), load_cohort(given.cohort / "cohort.tsv"), given.results)
    keys = [(r.patient, r.timepoint) for r in run.cohort.rows
            if run.path("registration", patient=r.patient, timepoint=r.timepoint).is_file()][: given.most]  # fmt: skip
    with ProcessPoolExecutor(given.jobs) as pool:
        work = [pool.submit(of_acquisition, given.cohort, given.results, *k) for k in keys]
        found = []
        for key, job in zip(keys, work, strict=True):
            try:
                found.append(job.result())
            except InputError as fault:
                print(*key, f"left out: {fault}")
    print(summary(json.loads(json.dumps(found))))


if __name__ == "__main__":
    main()
