"""How well the chain registers planar sweeps of a synthetic cohort, and what the rest costs in organ activity.

    planardose make-demo COHORT --patients 24 --seed 5001
    python -m benchmarks.registration.measure COHORT --seed 5001 --work SCRATCH

The patients are displaced and turned about all axes; the true pose is the rigid in-plane one that lays the organs'
centres, as the camera saw them, best on the CT. Prints the shift that is left at the organs' centres, the rotation, and
the organ errors of `qplanar_mlem` with the pose found and with the true one. Some 6 s a sweep on one core.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.registration.cohort import Case, aligned, case_of, centres_mm, prepared, residuals_mm, seen_at_mm, sweeps_of

from planardose.config import Config
from planardose.frames import PlanarPose
from planardose.recon.mlem import mlem
from planardose.recon.organ_totals import split_map
from planardose.recon.qplanar import qplanar, with_modelled_scatter
from planardose.recon.register import Images, register
from planardose.steps.evaluate import GROUPS


def organ_rows(case: Case, pose: PlanarPose) -> np.ndarray:
    """(O,) MBq of `qplanar_mlem`."""
    setting, config = case.setting, Config().reconstruction
    measured = setting.acquired(pose)
    fit = qplanar(setting.projector, setting.model, measured, setting.responses)
    acquired = with_modelled_scatter(measured, fit, setting.responses)
    activity = mlem(setting.projector, acquired, fit.map(setting.model), config.mlem_iterations)
    return split_map(activity, setting.model, fit.concentrations)


def measured(case: Case) -> list[dict]:
    """One record per organ of the sweep."""
    setting, limits = case.setting, Config().registration
    responses = setting.responses.total
    begun = time.process_time()
    images = Images(setting.photopeak(), setting.pair.pixel_mm)
    found = register(setting.model, responses, images, limits.max_shift_mm, limits.max_rotation_deg)
    seconds = time.process_time() - begun
    centres = centres_mm(setting.model)
    points = np.array(list(centres.values()))
    seen, flat = seen_at_mm(case, points), points[:, [0, 2]]
    true = aligned(seen, flat)
    left, least = residuals_mm(found.pose, seen, flat), residuals_mm(true, seen, flat)
    with_found, with_true = organ_rows(case, found.pose), organ_rows(case, true)
    records = []
    for n, name in enumerate(centres):
        o, activity = setting.model.organs.index(name), case.truth.get(name, 0.0)
        records.append({
            "patient": case.row.patient, "timepoint": case.row.timepoint, "organ": name,
            "x_mm": left[n, 0], "z_mm": left[n, 1], "least_mm": np.hypot(*least[n]),
            "turn_deg": found.pose.rotation_deg - true.rotation_deg, "misfit": found.misfit_after,
            "uncertainty_mm": found.uncertainty_mm, "seconds": seconds, "truth_mbq": activity,
            "found_mbq": with_found[o], "true_pose_mbq": with_true[o],
        })  # fmt: skip
    return records


def printed(table: pd.DataFrame) -> None:
    """Summary of the records."""
    shift = np.hypot(table.x_mm, table.z_mm)
    sweeps = table.groupby(["patient", "timepoint"])
    mean = np.hypot(sweeps.x_mm.mean(), sweeps.z_mm.mean())
    turn = sweeps.turn_deg.first().abs()
    print(f"{len(sweeps)} sweeps of {table.patient.nunique()} patients, {len(table)} organs; register "
          f"{sweeps.seconds.first().median():.1f} s")  # fmt: skip
    for name, values in (("shift left, at organs' centres", shift), ("shift left, mean of a sweep's organs", mean),
                         ("the same at best (tilt, in-plane pose known)", table.least_mm)):  # fmt: skip
        print(f"{name}: median {values.median():.2f} mm, 95 % {values.quantile(0.95):.2f} mm, most {values.max():.2f} mm")
    means = sweeps[["x_mm", "z_mm"]].mean()
    print(f"mean x {means.x_mm.mean():+.2f} +- {means.x_mm.std():.2f} mm, z {means.z_mm.mean():+.2f} +- "
          f"{means.z_mm.std():.2f} mm; over claimed uncertainty {np.sqrt((mean / sweeps.uncertainty_mm.first()) ** 2).mean():.2f}")
    print(f"rotation left: median {turn.median():.2f} deg, 95 % {turn.quantile(0.95):.2f} deg")
    some = table[table.truth_mbq > 0]
    for group, belongs in GROUPS.items():
        rows = some[some.organ.map(belongs).astype(bool)]
        found, true = ((rows[c] / rows.truth_mbq - 1).abs() for c in ("found_mbq", "true_pose_mbq"))
        print(f"{group:8} ({len(rows)}): error with the pose found median {100 * found.median():.2f} %, 95 % "
              f"{100 * found.quantile(0.95):.1f} %; with the true pose {100 * true.median():.2f} %, "
              f"{100 * true.quantile(0.95):.1f} %; ratio {found.median() / true.median():.3f}, "
              f"{found.quantile(0.95) / true.quantile(0.95):.3f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--seed", type=int, required=True, help="with which make-demo drew the cohort")
    parser.add_argument("--work", type=Path, required=True, help="folder for the imported images and models")
    parser.add_argument("--patients", type=int, help="the first so many")
    parser.add_argument("--sweeps", type=int, help="so many time points per patient")
    parser.add_argument("--csv", type=Path, help="one row per organ of each sweep")
    given = parser.parse_args()
    run, records = prepared(given.cohort, given.work), []
    for row in sweeps_of(run, given.sweeps, given.patients):
        records += measured(case_of(run, given.cohort, given.seed, row))
        print(f"{row.where}: {len(records)} organs", flush=True)
    table = pd.DataFrame(records)
    if given.csv:
        table.to_csv(given.csv, index=False, float_format="%.6g")
    printed(table)


if __name__ == "__main__":
    main()
