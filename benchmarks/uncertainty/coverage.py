"""How often the intervals of organ activities hold the truth, on TEST cohorts.

    python benchmarks/uncertainty/coverage.py test test/results [more more/results] --off mismatched results

u is that of the present ``data/uncertainty.yaml``, from the terms beside the organ tables. The calibration of
``make-demo`` is right to about 1 %, so each of its patients' activities are multiplied by an error of calibration drawn
once per patient (5 %, the standard uncertainty that u holds for it; fixed seed): the intervals are tested as they are
stated. Cohorts behind ``--off`` hold errors already (the benchmark's mismatched cases: -5 to 5 %, a standard deviation
of 2.9 %); what is missing to 5 % is drawn.
Prints per method and class of organs the share of cases inside 50, 68 and 95 % intervals with 95 % intervals from 2000
bootstraps over patients, and the medians of u and of the error over the truth.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from cases import organ_cases, present_u

from planardose.recon.uncertainty import CALIBRATED, LESIONS
from planardose.report.row_marks import LEAST_LESION_ML

HALF_WIDTHS = {"50": 0.6745, "68": 1.0, "95": 1.96}
BOOTSTRAPS = 2000
OFF = 0.05 / 3**0.5  # standard deviation of -5 to 5 %


def with_calibration_errors(cases: pd.DataFrame) -> pd.DataFrame:
    """The cases with activities and uncertainties scaled by one calibration error per patient."""
    missing = np.sqrt(CALIBRATED**2 - cases.groupby("patient").held.first() ** 2)
    factor = 1 + missing.to_numpy() * np.random.default_rng(1).standard_normal(len(missing))
    patients = missing.index
    scale = cases.patient.map(dict(zip(patients, factor, strict=True)))
    return cases.assign(activity=cases.activity * scale, error=cases.activity * scale - cases.truth, u=cases.u * scale)


def cases_of(folders: list[Path], held: float) -> list[pd.DataFrame]:
    """Cases of pairs of a cohort and its results, with the present u and the calibration error that they hold."""
    parts = []
    for cohort, results in zip(folders[::2], folders[1::2], strict=True):
        cases = organ_cases(cohort, results)
        parts.append(cases.assign(patient=f"{cohort} " + cases.patient, u=present_u(cases), held=held))
    return parts


def coverage(cases: pd.DataFrame) -> dict[str, tuple[float, float, float]]:
    """Interval -> share of cases inside it, and its 2.5 and 97.5 % points over bootstraps of patients, in %."""
    rng, out = np.random.default_rng(2), {}
    groups = cases.groupby("patient")
    numbers = groups.size().to_numpy()
    draws = rng.integers(len(numbers), size=(BOOTSTRAPS, len(numbers)))
    for name, half in HALF_WIDTHS.items():
        inside = (cases.error.abs() <= half * cases.u).groupby(cases.patient).sum().to_numpy()
        spread = inside[draws].sum(axis=1) / numbers[draws].sum(axis=1)
        out[name] = tuple(100 * x for x in (inside.sum() / numbers.sum(), *np.quantile(spread, (0.025, 0.975))))
    return out


def line(name: str, cases: pd.DataFrame) -> str:
    shares = "  ".join(f"{c:5.1f} ({low:.0f}-{high:.0f})" for c, low, high in coverage(cases).values())
    relative, error = (cases.u / cases.truth).median(), (cases.error.abs() / cases.truth).median()
    return f"{name:26s}{len(cases):6d}{cases.patient.nunique():6d}  {shares}  {relative:8.2f}{error:8.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="*", metavar="COHORT RESULTS")
    parser.add_argument("--off", type=Path, nargs="+", default=[], metavar="COHORT RESULTS")
    given = parser.parse_args()
    if not given.folders + given.off or len(given.folders) % 2 or len(given.off) % 2:
        parser.error("expected pairs of a cohort and its results")
    parts = cases_of(given.folders, 0.0) + cases_of(given.off, OFF)
    all_cases = with_calibration_errors(pd.concat(parts, ignore_index=True))
    for method, cases in all_cases.groupby("method", sort=False):
        head = "".join(f"{name + ' %':16s}" for name in HALF_WIDTHS)
        print(f"{method}\n{'class':26s}{'cases':>6s}{'pat.':>6s}  {head} u/truth   error")
        print(line("all", cases))
        for group, own in cases.groupby("group"):
            print(line(group, own))
        lesions = cases[(cases.group == LESIONS) & (cases.volume_ml > LEAST_LESION_ML)]
        print(line(f"lesions above {LEAST_LESION_ML:g} mL", lesions), "\n")


if __name__ == "__main__":
    main()
