"""Does a fitted scale of the modelled scatter lower organ errors? By the images with a prior, or by the energy windows.

    python -m benchmarks.scatter.scale COHORT --seed 5001 --work SCRATCH --sweeps 1 --patients 6

Synthetic cohort of `planardose make-demo`, true pose, `qplanar_mlem`; remainder as one value and by tissue.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.registration.cohort import Case, aligned, case_of, centres_mm, prepared, seen_at_mm, sweeps_of

from planardose.commands.evaluate import GROUPS
from planardose.config import Config
from planardose.recon.acquired import Acquired
from planardose.recon.camera_views import Responses
from planardose.recon.fine import CORRELATED
from planardose.recon.mlem import mlem
from planardose.recon.organ_totals import split_map
from planardose.recon.qplanar import fit_concentrations, model_errors, variance

PRIORS = {"prior 3 %": 0.03, "prior 10 %": 0.10}
ROUNDS = 4


def scale_by_images(acquired: Acquired, rows: Responses, errors: np.ndarray, width: float) -> float:
    """The scale that the counts and a prior of this relative width around 1 give, concentrations fitted with it."""
    primary, scatter, scale = rows.primary * acquired.exposure_s, rows.scatter * acquired.exposure_s, 1.0
    for _ in range(ROUNDS):
        total = primary + scale * scatter
        fit = fit_concentrations(acquired.counts, total, 0 * acquired.counts, errors, acquired.of_body)
        w = (1 / variance(fit.expected, errors)).ravel()
        organs = total.reshape(len(total), -1)[fit.concentrations > 0]
        organs = organs / organs.sum(axis=1, keepdims=True)
        slope = np.tensordot(fit.concentrations, scatter, axes=1).ravel()
        normal = (organs * w) @ organs.T
        normal[np.diag_indices_from(normal)] *= 1 + 1e-9
        own = slope - organs.T @ np.linalg.solve(normal, (organs * w) @ slope)
        off = (acquired.counts - fit.expected).ravel()
        information = float((w * own * own).sum()) / CORRELATED
        scale += (float((w * own * off).sum()) / CORRELATED + (1 - scale) / width**2) / (information + 1 / width**2)
    return scale


def scale_by_windows(acquired: Acquired, rows: Responses, errors: np.ndarray, inside: slice) -> float:
    """Scatter of the triple energy window over the modelled one, concentrations fitted with it."""
    scale = 1.0
    for _ in range(ROUNDS):
        total = (rows.primary + scale * rows.scatter) * acquired.exposure_s
        fit = fit_concentrations(acquired.counts, total, 0 * acquired.counts, errors, acquired.of_body)
        modelled = np.tensordot(fit.concentrations, rows.scatter, axes=1)[:, :, inside].sum() * acquired.exposure_s
        scale = float(acquired.scatter[:, :, inside].sum() / modelled)
    return scale


def measured(case: Case) -> list[dict]:
    """One record per organ, with its relative error for every way to scale, and the scales."""
    setting = case.setting
    model, tissues = setting.model, setting.tissues
    points = np.array(list(centres_mm(model).values()))
    acquired = setting.acquired(aligned(seen_at_mm(case, points), points[:, [0, 2]]))
    errors = model_errors(model)
    every = {
        "one value": (setting.responses, model, np.arange(len(model.organs))),
        "by tissue": (tissues.responses, tissues.sources, tissues.hosts),
    }
    out, scales = {}, {}
    for kind, (rows, sources, hosts) in every.items():
        found = {"none": 1.0, "windows": scale_by_windows(acquired, rows, errors, model.ct_slices)}
        found |= {name: scale_by_images(acquired, rows, errors, width) for name, width in PRIORS.items()}
        for name, scale in found.items():
            total = (rows.primary + scale * rows.scatter) * acquired.exposure_s
            fit = fit_concentrations(acquired.counts, total, 0 * acquired.counts, errors, acquired.of_body)
            scatter = scale * acquired.exposure_s * np.tensordot(fit.concentrations, rows.scatter, axes=1)
            iterations = Config().reconstruction.mlem_iterations
            activity = mlem(setting.projector, replace(acquired, scatter=scatter), fit.map(sources), iterations)
            out[f"{kind}, {name}"] = np.bincount(hosts, split_map(activity, sources, fit.concentrations))
            scales[f"scale {kind}, {name}"] = scale
    return [
        {"organ": name, **scales} | {k: rows[o] / case.truth[name] - 1 for k, rows in out.items()}
        for o, name in enumerate(model.organs)
        if case.truth.get(name, 0.0) > 0
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--seed", type=int, required=True, help="with which make-demo drew the cohort")
    parser.add_argument("--work", type=Path, required=True, help="folder for the imported images and models")
    parser.add_argument("--patients", type=int, help="the first so many")
    parser.add_argument("--sweeps", type=int, help="so many time points per patient")
    given = parser.parse_args()
    run, records = prepared(given.cohort, given.work), []
    for row in sweeps_of(run, given.sweeps, given.patients):
        records += measured(case_of(run, given.cohort, given.seed, row))
    table = pd.DataFrame(records)
    ways = [c for c in table.columns if f"scale {c}" in table.columns]
    for way in ways:
        scale, told = table[f"scale {way}"], []
        for group, belongs in GROUPS.items():
            error = table[way][table.organ.map(belongs).astype(bool)].abs()
            told.append(f"{group} {100 * error.median():.2f}, {100 * error.quantile(0.95):.1f} %")
        print(f"{way}: scale {scale.min():.3f} to {scale.max():.3f}; error median and 95 %: {'; '.join(told)}")


if __name__ == "__main__":
    main()
