"""Accuracy of QPlanar + MLEM side by side, from results that `planardose evaluate` went over.

    python -m benchmarks.nuclides.table RESULTS [RESULTS ...]

Prints a Markdown table with one column per results folder: median of the absolute errors and share of the cases within
20 %, by group of organs, of activities and absorbed doses; MAE; how often intervals hold the truth; failed gates. A
case is an organ at a time point, of doses an organ of a patient.
"""

import argparse
import json
from pathlib import Path

import pandas as pd

from planardose.commands.evaluate import GROUPS, INTERVALS

METHOD = "qplanar_mlem"
CLOSE = 0.2  # relative error
WORDS = {"activity_mbq": "activity", "dose_gy": "dose"}


def column(results: Path, method: str = METHOD) -> dict[str, str]:
    """Row of the table -> cell, of one results folder with its ``evaluation.csv``."""
    table = pd.read_csv(results / "evaluation.csv")
    rows = table[table.method == method]
    points = rows[rows.measure == "mae"]
    out = {"patients, sweeps": f"{points.patient.nunique()}, {len(points)}"}
    for measure, word in WORDS.items():
        part = rows[rows.measure == measure]
        error = (part.value / part.truth - 1).abs()
        for group, belongs in GROUPS.items():
            some = error[part.region.map(belongs).astype(bool)]
            if len(some) and group != "all":
                within = f"{100 * (some <= CLOSE).mean():.0f} % of {len(some)}"
                out[f"{word}, {group}: median error, within 20 %"] = f"{100 * some.median():.1f} %, {within}"
        part = part.dropna(subset=["u", "low", "high"])
        within_68 = ((part.value - part.truth) / part.u).abs() <= INTERVALS["68"]
        held = (f"{100 * inside.mean():.0f}" for inside in (within_68, part.truth.between(part.low, part.high)))
        out[f"{word}, all organs: held by 68 and 95 % intervals"] = f"{' and '.join(held)} % of {len(part)}"
    out["MAE / mean truth"] = f"{points.value.mean():.3f}"
    out["failed gates"] = failed_gates(results, method)
    return out


def failed_gates(results: Path, method: str = METHOD) -> str:
    """How many time points' gates failed, of all."""
    gates = [json.loads(f.read_text()) for f in results.glob("*/recon/*_gate.json")]
    passed = [g["inputs"]["passed"] and g[method]["passed"] for g in gates]
    return f"{passed.count(False)} of {len(passed)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+", metavar="RESULTS")
    given = parser.parse_args()
    columns = {r.name: column(r) for r in given.results}
    names = list(dict.fromkeys(k for c in columns.values() for k in c))
    print(f"| | {' | '.join(columns)} |")
    print(f"|---|{'---|' * len(columns)}")
    for name in names:
        print(f"| {name} | {' | '.join(c.get(name, '') for c in columns.values())} |")


if __name__ == "__main__":
    main()
