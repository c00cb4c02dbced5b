"""Learn what right acquisitions look like to the gate, from VALIDATION cohorts, and write ``data/gate.yaml``.

    planardose make-demo val --patients 24 --seed 5001      # and run the workflow on it
    python -m benchmarks.reconstruction.cohort mismatched --anatomies 16      # and on it: arms, breathing, wrong organs
    python benchmarks/gate/calibrate.py val/results mismatched/results

Mean and standard deviation of each statistic of `planardose.recon.consistency`, not below `LEAST_SD`: synthetic
patients do not breathe and their two heads are equally sensitive. The limit on the score is where a log-normal
distribution of the scores leaves `ALARMS` above it, each patient scored by what the others' acquisitions say. A
network's limit on the deviance in a strip is set the same way; with fewer than 12 patients it keeps the config's limit
on the whole body alone.
"""

import argparse
import json
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from scipy.special import ndtri

from planardose.library import DATA
from planardose.recon.consistency import Usual, score

ALARMS = 0.02  # share of right acquisitions above each limit: with the refusals of earlier steps under 5 %
LEAST_PATIENTS = 12
ONE_SIDED = ("unexplained", "worst_strip", "voxel_strip", "beside", "organ_shift")  # less than usual is no fault
# What real acquisitions may show beside: residual shift as the registration's target (2 mm median, 5 mm at the 95th
# percentile) allows; sensitivity of the heads to 5 %; counts of narrow windows beside the peak to 10 % (an independent
# simulator without scatter in lead has 12 to 24 % less in them); pixel sizes and breathing, 1 % of a length. Beside the
# body mostly nothing is seen: a third more than the floor is as usual.
LEAST_SD = {"shift_": 1.5, "view_ratio": 0.05, "scatter_": 0.10, "size_": 0.01, "beside": 0.3}
IN_SCORE = ("qplanar", "qplanar_mlem")  # no strip limit of their own: the organ-wise and the free fit are in the score
NOT_METHODS = ("inputs",)


def read(cohorts: list[Path]) -> pd.DataFrame:
    """One row per acquisition: patient (and its folder), timepoint, gate (the file's content)."""
    files = [f for results in cohorts for f in sorted(results.glob("*/recon/*_gate.json"))]
    return pd.DataFrame(
        [(str(f.parent.parent), f.name.removesuffix("_gate.json"), json.loads(f.read_text())) for f in files],
        columns=["patient", "timepoint", "gate"],
    )


def usual_of(statistics: pd.DataFrame) -> dict[str, Usual]:
    """Per column mean and standard deviation."""
    least = {k: next((sd for start, sd in LEAST_SD.items() if k.startswith(start)), 0.0) for k in statistics}
    return {k: Usual(float(v.mean()), max(float(v.std()), least[k]), k in ONE_SIDED) for k, v in statistics.items()}


def limit_of(values: np.ndarray) -> float:
    """Where a log-normal distribution of the values leaves `ALARMS` above it."""
    logs = np.log(values)
    return float(np.exp(logs.mean() + ndtri(1 - ALARMS) * logs.std()))


def left_out_scores(statistics: pd.DataFrame, patients: pd.Series, counting_u: list[dict]) -> np.ndarray:
    """Score of each acquisition by what the other patients' say."""
    scores = pd.Series(0.0, statistics.index)
    for patient in patients.unique():
        usual = usual_of(statistics[patients != patient])
        for n in statistics.index[patients == patient]:
            scores[n] = score(statistics.loc[n].to_dict(), usual, counting_u[n])[0]
    return scores.to_numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="+")
    given = parser.parse_args()
    rows = read(given.results)
    statistics = pd.DataFrame([g["inputs"]["statistics"] for g in rows.gate])
    scores = left_out_scores(statistics, rows.patient, [g["inputs"]["counting_u"] for g in rows.gate])
    usual = {k: {"mean": round(u.mean, 4), "sd": round(u.sd, 4), "one_sided": u.one_sided}
             for k, u in usual_of(statistics).items()}  # fmt: skip
    strips = {}
    methods = {k for g in rows.gate for k, v in g.items() if isinstance(v, dict)} - {*NOT_METHODS, *IN_SCORE}
    for method in sorted(methods):
        worst = {n: np.max(g[method]["per_view_strip"]) for n, g in rows.gate.items() if method in g}
        if rows.patient[list(worst)].nunique() >= LEAST_PATIENTS:
            strips[method] = round(limit_of(np.array(list(worst.values()))), 3)
    limit = round(limit_of(scores), 2)
    source = (
        "python benchmarks/gate/calibrate.py on the two cohorts that it names, "
        f"{date.today().isoformat()}: {len(rows)} acquisitions of {rows.patient.nunique()} patients"
    )
    text = yaml.safe_dump(
        {"source": source, "score": limit, "strip_deviance": strips, "usual": usual}, sort_keys=False, width=120
    )
    head = "# Limits of the gate (planardose.recon.consistency, planardose.recon.gate).\n"
    (DATA / "gate.yaml").write_text(head + text)
    print(text)
    print(f"largest score {scores.max():.2f}, median {np.median(scores):.2f}, above the limit {(scores > limit).sum()}")


if __name__ == "__main__":
    main()
