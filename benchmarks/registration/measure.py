"""How well the chain registers planar sweeps of a synthetic cohort, and what the rest costs in organ activity.

    planardose make-demo COHORT --patients 24 --seed 5001
    python -m benchmarks.registration.measure COHORT --seed 5001 --work SCRATCH

The patients are displaced and turned about all axes; the true pose is the rigid in-plane one that lays the organs'
centres, as the camera saw them, best on the CT. Prints the shift that is left at the organs' centres, the rotation, how
well the moves of organs are found, and the organ errors of `qplanar_mlem` with the true placement, the pose of the
search alone, the fine rigid pose, and the placement found. Some 8 s a sweep on one core.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.registration.cohort import (
    Case,
    aligned,
    case_of,
    centres_mm,
    prepared,
    residuals_mm,
    seen_at_mm,
    sweeps_of,
)
from benchmarks.registration.moved import moved_case

from planardose.commands.evaluate import GROUPS
from planardose.config import Config
from planardose.library import load_nuclide
from planardose.physics.attenuation import linear_attenuation_per_mm
from planardose.recon.fine import place
from planardose.recon.matcher import Images
from planardose.recon.mlem import mlem
from planardose.recon.motion import motion_prior
from planardose.recon.organ_totals import split_map
from planardose.recon.placement import Placement
from planardose.recon.qplanar import qplanar, with_modelled_scatter
from planardose.recon.register import register

WELL_KNOWN_MM = 3.0


def organ_rows(case: Case, placement: Placement) -> np.ndarray:
    """(O,) MBq of `qplanar_mlem`."""
    setting, config = case.setting, Config().reconstruction
    measured = setting.acquired_at(placement)
    tissues = setting.tissues
    fit = qplanar(setting.projector, tissues.sources, measured, tissues.responses)
    acquired = with_modelled_scatter(measured, fit, tissues.responses)
    activity = mlem(setting.projector, acquired, fit.map(tissues.sources), config.mlem_iterations)
    return np.bincount(tissues.hosts, split_map(activity, tissues.sources, fit.concentrations))


def measured(case: Case, moves: dict[str, tuple[float, float]]) -> list[dict]:
    """One record per organ of the sweep; `moves` are the true ones of organs that moved."""
    setting, limits = case.setting, Config().registration
    model, responses = setting.model, setting.responses.total
    begun = time.process_time()
    images = Images(setting.photopeak(), setting.pair.pixel_mm)
    searched = register(model, responses, images, limits.max_shift_mm, limits.max_rotation_deg)
    between, mu = time.process_time(), mu_of(case)
    found = place(model, setting.tissues.responses.total, images, searched.pose, mu, limits.max_rotation_deg)
    ended = time.process_time()
    centres = centres_mm(model)
    points = np.array(list(centres.values()))
    seen, flat = seen_at_mm(case, points), points[:, [0, 2]]
    true, pose = aligned(seen, flat), found.placement.pose
    least, coarse, left = (residuals_mm(p, seen, flat) for p in (true, searched.pose, pose))
    truly = Placement(true, organs={n: m for n, m in moves.items() if n in model.organs})
    placements = {
        "found": found.placement,
        "rigid": Placement(pose),
        "searched": Placement(searched.pose),
        "true": truly,
    }
    rows = {name: organ_rows(case, placement) for name, placement in placements.items()}
    records = []
    for n, name in enumerate(centres):
        o = model.organs.index(name)
        move, u = found.placement.organs.get(name, (0.0, 0.0)), found.uncertainty
        records.append({
            "patient": case.row.patient, "timepoint": case.row.timepoint, "organ": name,
            "x_mm": left[n, 0], "z_mm": left[n, 1], "least_mm": np.hypot(*least[n]),
            "searched_x_mm": coarse[n, 0], "searched_z_mm": coarse[n, 1],
            "turn_deg": pose.rotation_deg - true.rotation_deg, "misfit": searched.misfit_after,
            "misfit_placed": found.misfit, "uncertainty_mm": max(u["x"], u["z"]),
            "head_x_mm": found.placement.head[0], "head_z_mm": found.placement.head[1],
            "move_x_mm": move[0], "move_z_mm": move[1], "move_z_u_mm": u.get(f"{name} z", np.nan),
            "true_move_x_mm": moves.get(name, (0.0, 0.0))[0], "true_move_z_mm": moves.get(name, (0.0, 0.0))[1],
            "search_s": between - begun, "place_s": ended - between, "activity_u": found.activity_u[o],
            "truth_mbq": case.truth.get(name, 0.0), **{f"{k}_mbq": v[o] for k, v in rows.items()},
        })  # fmt: skip
    return records


def mu_of(case: Case) -> float:
    """Attenuation of water at the imaged line, 1/mm."""
    return linear_attenuation_per_mm("water", load_nuclide(case.row.nuclide).imaged_line().energy_kev)


def shifts(table: pd.DataFrame, x: str, z: str) -> str:
    """Shift at the organs' centres, and the bias of a sweep's mean."""
    length, mean = np.hypot(table[x], table[z]), table.groupby(["patient", "timepoint"])[[x, z]].mean()
    return (f"median {length.median():.2f} mm, 95 % {length.quantile(0.95):.2f}, most {length.max():.2f}; "
            f"mean of a sweep x {mean[x].mean():+.2f} +- {mean[x].std():.2f}, "
            f"z {mean[z].mean():+.2f} +- {mean[z].std():.2f}")  # fmt: skip


def printed(table: pd.DataFrame) -> None:
    """Summary of the records."""
    sweeps = table.groupby(["patient", "timepoint"])
    once = sweeps.first()
    print(f"{len(sweeps)} sweeps of {table.patient.nunique()} patients, {len(table)} organs; search "
          f"{once.search_s.median():.1f} s, placing {once.place_s.median():.1f} s; misfit {once.misfit.median():.3f}, "
          f"placed {once.misfit_placed.median():.3f}")  # fmt: skip
    print("shift left at the organs' centres, search alone:", shifts(table, "searched_x_mm", "searched_z_mm"))
    print("shift left at the organs' centres, placed:", shifts(table, "x_mm", "z_mm"))
    print(f"the best in-plane pose leaves (tilt) median {table.least_mm.median():.2f} mm, 95 % "
          f"{table.least_mm.quantile(0.95):.2f}; rotation left median {once.turn_deg.abs().median():.2f} deg, 95 % "
          f"{once.turn_deg.abs().quantile(0.95):.2f}; head displaced in {(once.head_z_mm != 0).sum()}")  # fmt: skip
    movable = table[table.move_z_u_mm < WELL_KNOWN_MM]
    if len(movable):
        error = movable.move_z_mm - movable.true_move_z_mm
        print(f"{len(movable)} moves along z known within {WELL_KNOWN_MM:g} mm, root mean squares: true ones "
              f"{_rms(movable.true_move_z_mm):.2f} mm, errors {_rms(error):.2f} mm, over their uncertainty "
              f"{_rms(error / movable.move_z_u_mm):.2f}")  # fmt: skip
    some = table[table.truth_mbq > 0]
    for group, belongs in (GROUPS | {"moving": lambda organ: organ in motion_prior().follows}).items():
        rows = some[some.organ.map(belongs).astype(bool)]
        errors = {k: (rows[f"{k}_mbq"] / rows.truth_mbq - 1).abs() for k in ("true", "searched", "rigid", "found")}
        told = "; ".join(f"{k} {100 * e.median():.2f}, {100 * e.quantile(0.95):.1f}" for k, e in errors.items())
        ratio = [errors["found"].quantile(q) / errors["true"].quantile(q) for q in (0.5, 0.95)]
        print(f"{group:8} ({len(rows)}): error median and 95 % with the placement {told} %; "
              f"found / true {ratio[0]:.3f}, {ratio[1]:.3f}")  # fmt: skip


def _rms(values: pd.Series) -> float:
    return float(np.sqrt((values**2).mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--seed", type=int, required=True, help="with which make-demo drew the cohort")
    parser.add_argument("--work", type=Path, required=True, help="folder for the imported images and models")
    parser.add_argument("--patients", type=int, help="the first so many")
    parser.add_argument("--sweeps", type=int, help="so many time points per patient")
    parser.add_argument("--moved", action="store_true", help="simulate the sweeps again, organs moved (15 s each)")
    parser.add_argument("--csv", type=Path, help="one row per organ of each sweep")
    given = parser.parse_args()
    run, records = prepared(given.cohort, given.work), []
    for row in sweeps_of(run, given.sweeps, given.patients):
        if given.moved:
            records += measured(*moved_case(run, given.cohort, given.seed, row))
        else:
            records += measured(case_of(run, given.cohort, given.seed, row), {})
        print(f"{row.where}: {len(records)} organs", flush=True)
    table = pd.DataFrame(records)
    if given.csv:
        table.to_csv(given.csv, index=False, float_format="%.6g")
    printed(table)


if __name__ == "__main__":
    main()
