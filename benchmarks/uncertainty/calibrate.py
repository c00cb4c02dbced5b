"""Learn how far organ activities are off, from a VALIDATION cohort, and write ``data/uncertainty.yaml``.

    planardose make-demo val --patients 24 --seed 5001      # and run the workflow on it
    python benchmarks/uncertainty/calibrate.py val val/results

Per method and class of organs the factors `relative`, `texture`, `limit` and `virtual` of
`planardose.recon.uncertainty` maximise the likelihood of the errors under Student's t with 5 degrees of freedom (a few
bad organs must not rule), and are then scaled together so that the medians and the 95th percentiles of the errors in
units of u come out right on the whole (their geometric mean). `shared` is the correlation of these errors between time
points of one organ, over what it would be if all of the variance but that of the counts were shared. Classes with few
cases are drawn towards what all classes of the method together say. A method with fewer than 12 patients takes the
factors of `qplanar_mlem`. Never run it on a cohort that coverage is then tested on.
"""

import argparse
import math
from dataclasses import asdict
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from cases import counting_of, organ_cases, variance_of
from scipy.optimize import minimize

from planardose.library import DATA
from planardose.recon.uncertainty import CLASSES, LESIONS, Factors

FREEDOM = 5  # degrees, of Student's t
DRAWN = 0.1  # weight of the pull to the factors of all classes, per squared logarithm: as a tenth of a case or two
# relative, texture, limit, and virtual for a method that has errors on virtual acquisitions
STARTS = ((0.05, 0.25, 3.0, 0.3), (0.3, 0.25, 1.0, 0.1), (0.02, 0.5, 0.2, 0.1), (0.02, 0.2, 20.0, 0.3))
BOUNDS = ((0.002, 2.0), (0.05, 3.0), (0.05, 50.0), (0.01, 1.5))
LEAST_PATIENTS = 12
NOTHING = 1e-12  # MBq^2
BORROWED, LENDER = ("unet", "diffusion"), "qplanar_mlem"


def cost(cases: pd.DataFrame, factors: np.ndarray) -> float:
    """Negative log-likelihood of the errors for factors as in `STARTS`."""
    variance = variance_of(cases, *factors) + NOTHING
    tail = 0.5 * (FREEDOM + 1) * np.log1p(cases.error.to_numpy() ** 2 / variance / FREEDOM)
    return float((0.5 * np.log(variance) + tail).sum())


def fitted(cases: pd.DataFrame, centre: np.ndarray | None = None) -> np.ndarray:
    """Factors of the greatest likelihood, drawn to `centre`; three, or four for a method with `virtual`."""
    number = 4 if cases.virtual.any() else 3
    low, high = np.log(np.array(BOUNDS[:number])).T

    def target(logs: np.ndarray) -> float:
        pull = 0.0 if centre is None else DRAWN * ((logs - np.log(centre)) ** 2).sum()
        outside = 1e3 * (np.maximum(low - logs, 0) ** 2 + np.maximum(logs - high, 0) ** 2).sum()
        return cost(cases, np.exp(np.clip(logs, low, high))) + pull + outside

    options = {"maxiter": 3000, "xatol": 1e-3, "fatol": 1e-4}
    found = [minimize(target, np.log(s[:number]), method="Nelder-Mead", options=options) for s in STARTS]
    return np.exp(np.clip(min(found, key=lambda f: f.fun).x, low, high))


def stretched(cases: pd.DataFrame, factors: np.ndarray) -> np.ndarray:
    """The factors scaled so that half and 95 % of the errors are where a normal distribution has them, on the whole."""
    for _ in range(3):
        z = np.abs(cases.error) / np.sqrt(variance_of(cases, *factors) + NOTHING)
        factors = factors * math.sqrt(np.quantile(z, 0.5) / 0.6745 * np.quantile(z, 0.95) / 1.96)
    return factors


def shared_part(cases: pd.DataFrame, factors: np.ndarray) -> float:
    """What time points of an organ share of the variance without that of the counts; in 0 to 1.

    The mean product of the normalised errors of two time points, over their mean square and over the same product where
    all of the variance but that of the counts is shared.
    """
    variance = variance_of(cases, *factors) + NOTHING
    z = np.clip(cases.error / np.sqrt(variance), -4, 4)
    beside_counts = np.clip(1 - counting_of(cases, *factors[1:3]) / variance, 0, 1)
    fully = pd.Series(np.sqrt(beside_counts), index=cases.index)  # that of a class is not 0, 1, 2...
    pairs, most, squares = [], [], []
    for _, rows in cases.groupby(["patient", "organ"]).groups.items():
        if len(rows) > 1:
            pairs.append(_mean_product(z[rows]))
            most.append(_mean_product(fully[rows]))
            squares.append((z[rows] ** 2).mean())
    return float(np.clip(np.mean(pairs) / np.mean(most) / np.mean(squares), 0.0, 0.99))


def _mean_product(values: pd.Series) -> float:
    """Mean product of two different values."""
    n = len(values)
    return (values.sum() ** 2 - (values**2).sum()) / (n * (n - 1))


def learnt(cases: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Class -> factors of one method."""
    together, out = fitted(cases), {}
    for group in (*CLASSES, LESIONS):
        own = cases[cases.group == group]
        factors = stretched(own, fitted(own, together))
        virtual = factors[3] if len(factors) > 3 else 0.0
        values = Factors(*factors[:3], virtual, shared_part(own, factors))
        out[group] = {k: float(f"{v:.3g}") for k, v in asdict(values).items()}
        z = np.abs(own.error) / np.sqrt(variance_of(own, *factors) + NOTHING)
        held = ", ".join(f"{100 * (z < h).mean():.0f} % within {h} u" for h in (0.674, 1.0, 1.96))
        print(f"  {group}: {out[group]}; {len(own)} cases, {held}")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cohort", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--seed", type=int, default=5001, help="seed of the cohort, for the file's source")
    given = parser.parse_args()
    cases, methods = organ_cases(given.cohort, given.results), {}
    for method, own in cases.groupby("method", sort=False):
        print(f"{method}: {own.patient.nunique()} patients, {len(own)} cases")
        if own.patient.nunique() >= LEAST_PATIENTS:
            methods[method] = learnt(own)
    counted = {m: f"{len(c)} cases, {c.patient.nunique()} patients" for m, c in cases.groupby("method") if m in methods}
    source = (
        f"python benchmarks/uncertainty/calibrate.py on a cohort of 'planardose make-demo --seed {given.seed}', "
        f"{date.today().isoformat()}; {'; '.join(f'{m}: {n}' for m, n in counted.items())}"
    )
    borrowed = {m: LENDER for m in BORROWED if m not in methods}
    text = yaml.safe_dump({"source": source, "as": borrowed, "methods": methods}, sort_keys=False, width=120)
    head = "# Uncertainty of organ activities: factors per method and class of organs (planardose.recon.uncertainty).\n"
    (DATA / "uncertainty.yaml").write_text(head + text)


if __name__ == "__main__":
    main()
