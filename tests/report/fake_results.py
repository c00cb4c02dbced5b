"""A results folder as the earlier steps leave it, with known truth: input for the dose and report tests.

Run as a script to look at the pages: ``python tests/report/fake_results.py FOLDER``.
"""

import csv
import json
import sys
from datetime import datetime, timedelta
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from planardose.config import parse_config
from planardose.heads import face_positions_mm
from planardose.image import Grid, Volume
from planardose.io.files import atomic, write_text
from planardose.io.nifti import write_volume
from planardose.io.planar_file import save_pair
from planardose.io.views_file import save_views
from planardose.library import load_camera, load_nuclide
from planardose.organs import label_of_name
from planardose.patient_model import PatientModel
from planardose.physics.sweep import live_share
from planardose.planar import PlanarPair
from planardose.recon.foci_table import COLUMNS
from planardose.recon.organ_totals import split_map
from planardose.recon.projector import Projector
from planardose.run import Run
from planardose.sheet import load_cohort

HOURS = {"t04": 4.0, "t24": 24.0, "t72": 72.0, "t168": 168.0}
INJECTED = datetime(2026, 3, 2, 9, 0)
ORGANS = {  # centre (x, y, z) mm, semi-axes mm, kBq/mL at injection, effective half-life h, label
    "liver": ((70, 10, 110), (85, 70, 70), 260, 22.9),
    "spleen": ((-95, -30, 120), (32, 30, 48), 330, 16.8),
    "kidney_right": ((65, -50, 20), (30, 25, 52), 1100, 35.5),
    "kidney_left": ((-65, -50, 30), (30, 25, 52), 1180, 38.0),
    "urinary_bladder": ((0, 25, -190), (38, 32, 32), 900, 12.0),
    "parotid_gland_left": ((-52, 10, 330), (14, 20, 26), 900, 42.2),
    "parotid_gland_right": ((52, 10, 330), (14, 20, 26), 860, 40.0),
    "skeleton": ((0, -75, 30), (18, 18, 240), 45, 32.0),
    "lesion_1": ((20, -70, -110), (15, 15, 18), 2600, 62.0),
}
REMAINDER = (28, 27.0)
CALIBRATION_U = 0.15
CLIPPED = {"hu_range": [-1024, 3071], "voxels_above": 0, "voxels_below": 12}
SEGMENTED = {
    "backend": "totalsegmentator", "totalsegmentator": "2.10.0", "tasks": ["total"], "fastest": False, "notes": [],
}  # fmt: skip
CYCLE_DAYS = 42  # between injections


def ellipsoid(grid: Grid, centre, axes) -> np.ndarray:
    x, y, z = (grid.axis_mm(a) for a in range(3))
    r2 = ((x - centre[0]) / axes[0])[:, None, None] ** 2 + ((y - centre[1]) / axes[1])[None, :, None] ** 2
    return (r2 + ((z - centre[2]) / axes[2])[None, None, :] ** 2) < 1


def body_of(grid: Grid) -> np.ndarray:
    """Trunk with shoulders, neck and head, open at the lower end of the CT."""
    trunk = ellipsoid(grid, (0, 0, -30), (185, 110, 900)) & (grid.axis_mm(2) < 260)[None, None, :]
    neck = ellipsoid(grid, (0, 0, 290), (60, 55, 300)) & (grid.axis_mm(2) < 330)[None, None, :]
    return trunk | neck | ellipsoid(grid, (0, 5, 350), (80, 95, 80))


def labels_of(grid: Grid) -> np.ndarray:
    labels = np.zeros(grid.shape, dtype=np.int16)
    numbers = label_of_name() | {"skeleton": 29, "lesion_1": 1001}
    for name, (centre, axes, _, _) in ORGANS.items():
        labels[ellipsoid(grid, centre, axes)] = numbers[name]
    return np.where(body_of(grid), labels, 0).astype(np.int16)


def build_model(fine: Grid, labels: np.ndarray, factor: int, margin: int) -> PatientModel:
    """Fractions by counting fine voxels; `margin` repeated slices below, all `outside_ct`."""
    numbers = label_of_name() | {"skeleton": 29, "lesion_1": 1001}
    i, j, k = (n // factor for n in fine.shape)

    def coarse(mask):
        return mask.reshape(i, factor, j, factor, k, factor).mean(axis=(1, 3, 5), dtype=np.float32)

    body = body_of(fine)
    fractions = [coarse(labels == numbers[n]) for n in ORGANS]
    fractions.append(np.clip(coarse(body) - sum(fractions), 0, 1))
    fractions = np.stack(fractions)
    outside = np.zeros((1, i, j, k + margin), dtype=np.float32)
    outside[0, :, :, :margin] = coarse(body)[:, :, :1]
    fractions = np.concatenate([np.pad(fractions, ((0, 0), (0, 0), (0, 0), (margin, 0))), outside])
    density = np.zeros((3, i, j, k + margin), dtype=np.float32)
    bone = list(ORGANS).index("skeleton")
    density[2] = fractions[bone] * 1.3
    density[1] = (fractions.sum(axis=0) - fractions[bone]) * 1.04
    step = fine.spacing_mm * factor
    first = fine.ras_from_voxel[:3, 3] + fine.spacing_mm * (factor - 1) / 2 - np.array([0, 0, margin]) * step
    grid = Grid.axis_aligned((i, j, k + margin), step, first)
    return PatientModel(grid, (*ORGANS, "remainder", "outside_ct"), fractions, density, (margin, 0))


def concentrations(hours: float, scale: float) -> np.ndarray:
    """MBq/mL of every organ of the model at a time after injection."""
    rows = [(c, t) for _, _, c, t in ORGANS.values()] + [REMAINDER, REMAINDER]
    return np.array([scale * c / 1000 * 2 ** (-hours / t) for c, t in rows])


def sheet(folder: Path, patients: list[str], calibrated: bool, cycles: int = 1, hours: dict | None = None) -> Path:
    lines: list[list[str]] = [
        [
            "patient",
            "timepoint",
            "ct",
            "planar",
            "nuclide",
            "tracer",
            "camera",
            "injected_mbq",
            "injected_at",
            "calibration_cps_per_mbq",
        ]
    ]
    for p in patients:
        for c in range(cycles):
            for t in hours or HOURS:
                name = t if c == 0 else f"c{c + 1}{t}"
                when = (INJECTED + timedelta(days=CYCLE_DAYS * c)).isoformat()
                lines.append(
                    [
                        p,
                        name,
                        "secret_doe/ct",
                        f"secret_doe/{t}",
                        "Lu-177",
                        "177Lu-PSMA-617",
                        "siemens_symbia_melp",
                        "7400",
                        when,
                        "9.3" if calibrated else "",
                    ]
                )
    path = folder / "cohort.tsv"
    with path.open("w", newline="") as f:
        csv.writer(f, delimiter="\t").writerows(lines)
    return path


def make_run(
    folder: Path, ids: list[str], calibrated: bool = False, cycles: int = 1, hours: dict | None = None, **config
) -> Run:
    folder.mkdir(parents=True, exist_ok=True)
    cohort = load_cohort(sheet(folder, ids, calibrated, cycles, hours))
    return Run(parse_config({"dose": {"photons": 1000}} | config), cohort, folder / "results")


def fill_patient(
    run: Run, patient: str, fallback_at: str | None = None, seed: int = 1, fine_mm: float = 5.0, noise: float = 0.04
) -> PatientModel:
    """Write anatomy, planar pairs, maps, organ tables, gates and the training files of one patient."""
    rng = np.random.default_rng(seed)
    fine = Grid.axis_aligned((80, 56, 144), fine_mm, (-197.5, -137.5, -277.5))
    labels = labels_of(fine)
    model = build_model(fine, labels, 2, 3)
    hu = np.where(body_of(fine), 30.0, -1000.0) + np.where(labels == 29, 400, 0) + rng.normal(0, 12, fine.shape)
    write_volume(run.path("ct", patient=patient), Volume(hu, fine, "CT", "HU"), np.int16)
    run.sidecar(run.path("ct", patient=patient), "import_ct", "CT number", "HU", clipped=CLIPPED)
    write_volume(run.path("labels", patient=patient), Volume(labels, fine, "labels", "1"), np.int16)
    run.sidecar(run.path("labels", patient=patient), "segment", "organ label", "1", **SEGMENTED)
    write_text(run.path("labels_table", patient=patient), "label\tname\tsource\tvolume_ml\n5\tliver\tliver\t1700\n")
    model.save(run.path("model", patient=patient))
    _training(run, patient, rng)
    rows = run.cohort.rows_of(patient)
    faces = face_positions_mm(model, None)
    projector = Projector(model, load_camera(rows[0].camera), load_nuclide("177Lu"), faces, couch=True)
    for row in rows:
        _acquisition(run, row, model, projector, rng, fallback_at == row.timepoint, noise)
    return model


def _hours(timepoint: str) -> float:
    return HOURS[timepoint[-3:] if timepoint[-3:] in HOURS else timepoint[-4:]]


def _acquisition(run, row, model, projector, rng, fallback, noise) -> None:
    import torch

    truth = concentrations(_hours(row.timepoint), 1.0)
    activity = np.tensordot(truth, model.fractions, axes=1) * model.grid.voxel_ml
    rates = projector.forward(torch.as_tensor(activity, dtype=torch.float32)).numpy() + projector.scatter(activity)
    camera, step = load_camera(row.camera), model.grid.spacing_mm
    live = live_share(rates.sum(axis=1), camera.tau_us, round(camera.field_mm[0] / step[2]))
    expected = rates * 120.0 * live[:, None]
    windows = (load_nuclide("177Lu").photopeak, *load_nuclide("177Lu").scatter_windows)
    counts = rng.poisson(np.stack([expected, expected * 0.3, expected * 0.05], axis=1)).astype(np.float32)
    acquired = row.injected_at + timedelta(hours=_hours(row.timepoint), seconds=-600)
    pair = PlanarPair(
        PlanarPair.counts_from_ras(counts), windows, tuple(model.grid.spacing_mm[[2, 0]]), 120.0, acquired, 1200.0
    )
    where = {"patient": row.patient, "timepoint": row.timepoint}
    save_pair(run.path("planar", **where), pair)
    told = {"notes": [], "scatter_windows_kev": [[w.low_kev, w.high_kev] for w in windows[1:]]}
    run.sidecar(run.path("planar", **where), "import_planar", "counts", "1", **told)
    centre = [float(model.grid.axis_mm(a).mean()) for a in (0, 2)]
    pose = {
        "x_mm": centre[0],
        "z_mm": centre[1],
        "rotation_deg": 0.0,
        "posterior_head": [0.0, 0.0, 0.0],
        "organs_mm": {"liver": [0.0, 0.0]},
        "organs_u_mm": {"liver": [1.0, 1.5]},
        "activity_u": {"liver": 0.01},
        "misfit_limit": 0.3,
        "misfit_before": 0.142,
        "misfit_after": 0.031,
        "misfit_placed": 0.012,
        "misfit_with_foci": None,
        "size_of_best_fit": None,
        "shift_from_outline_mm": [3.1, -6.4],
        "uncertainty_mm": 0.8,
        "method": "search",
    }
    write_text(run.path("registration", **where), json.dumps(pose))
    seen = counts[:, 0]
    views = {"counts_before": seen[:, ::-1], "counts_after": seen, "expected_before": seen, "expected_after": seen}
    np.savez_compressed(run.path("registration_views", **where), **views)
    maps = [m for m in run.config.methods if m != "conjugate_view"]
    save_views(run.path("views", **where), counts[:, 0], dict.fromkeys(maps, expected))
    _tables(run, row, model, truth, rng, fallback, noise)


def _tables(run, row, model, truth, rng, fallback, noise) -> None:
    where, volumes, records, verdicts = {"patient": row.patient, "timepoint": row.timepoint}, model.volumes_ml(), [], {}
    for m, method in enumerate(run.config.methods):
        wrong = 1 + noise * rng.standard_normal(len(volumes)) * (1 + m / 3)
        mbq = truth * wrong * volumes
        if method != "conjugate_view":
            concentration = np.tensordot(truth * wrong, model.fractions[..., model.ct_slices], axes=1)
            path = run.path("map", method=method, **where)
            write_volume(path, Volume(concentration * 1e6, model.ct_grid, "activity concentration", "Bq/mL"))
            run.sidecar(
                path, "reconstruct", "activity concentration", "Bq/mL", [run.path("model", patient=row.patient)]
            )
            activity = np.zeros(model.grid.shape)
            activity[..., model.ct_slices] = (concentration * 1e6).astype(np.float32) / 1e6 * model.grid.voxel_ml
            mbq[:-1] = split_map(activity, model, truth)[:-1]
        u = np.hypot(noise * (1 + m / 3), CALIBRATION_U) * mbq
        records += [
            (o, method, v, a, *((np.nan, np.nan) if method in ("conjugate_view", "mlem") else (s, own)))
            for o, v, a, s, own in zip(model.organs, volumes, mbq, u, noise * (1 + m / 3) * mbq, strict=True)
        ]
        failed = fallback and method == "unet"
        verdicts[method] = {
            "deviance": 9.4 if failed else 1.4 + 0.2 * m,
            "passed": not failed,
            "per_view_strip": (rng.gamma(3, 0.5, (2, 8)) * (5 if failed else 1)).tolist(),
        }
    table = run.path("organs", **where)
    with atomic(table) as temporary:
        names = ["organ", "method", "volume_ml", "activity_mbq", "activity_mbq_u", "activity_mbq_u_own"]
        pd.DataFrame(records, columns=names).to_csv(temporary, index=False, float_format="%.8g")
    run.sidecar(
        table,
        "reconstruct",
        "activity per organ",
        "MBq",
        [run.path("model", patient=row.patient)],
        calibration_relative_u=CALIBRATION_U,
        split_by_mbq_ml=dict(zip(model.organs, truth.tolist(), strict=True)),
        share_in_images={},
    )
    _foci(run, row, where)
    verdicts |= {
        "inputs": {"score": 2.1, "limit": 6.0, "worst": "beside", "passed": True, "statistics": {}},
        "chosen": "qplanar_mlem" if fallback else run.config.map_method,
        "status": "fallback" if fallback else "ok",
        "accepted": run.config.hand(row.patient, row.timepoint).accept_gate,
    }
    write_text(run.path("gate", **where), json.dumps(verdicts))


def _foci(run, row, where) -> None:
    """One focus at every time point, another at the first alone."""
    mbq = 12.0 * 2 ** (-_hours(row.timepoint) / 50)
    lines = [COLUMNS, f"1,liver,58.2,-31.7,96.4,2.1,4.9,2.1,{mbq:.8g},{0.11 * mbq:.8g},8.4"]
    if _hours(row.timepoint) < 10:
        lines.append("2,remainder,-12.5,71,-140.9,2.4,6.2,2.3,1.234,0.21,22.5")
    write_text(run.path("foci", **where), "\n".join(lines) + "\n")
    run.sidecar(run.path("foci", **where), "reconstruct", "foci", "mm, MBq")


def _training(run, patient, rng) -> None:
    steps = np.arange(0, 301, 25)
    loss = 0.6 * np.exp(-steps / 90) + 0.2 + 0.01 * rng.standard_normal(len(steps))
    write_text(
        run.path("training_log", patient=patient),
        "step,train_loss,validation_loss\n"
        + "".join(f"{s},{a:.4f},{a * 1.1:.4f}\n" for s, a in zip(steps, loss, strict=True)),
    )
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3))
    axes.plot(steps, loss)
    with atomic(run.path("training_curve", patient=patient)) as temporary:
        figure.savefig(temporary, dpi=100)
    plt.close(figure)


def main(folder: Path) -> None:
    from planardose.steps.absorbed_dose import absorbed_dose
    from planardose.steps.fit_kinetics import fit_kinetics
    from planardose.steps.report import report
    from planardose.steps.report_cohort import report_cohort

    reason = "arms moved between the views; kidneys fit well"
    run = make_run(
        folder, ["P01", "P02", "P03", "P04"], patients={"P02": {"t24": {"accept_gate": reason, "shift_mm": (2.0, 5.0)}}}
    )
    for n, patient in enumerate(["P01", "P02", "P03"]):
        fill_patient(run, patient, "t168" if patient == "P03" else None, seed=n)
        fit_kinetics(run, patient)
        absorbed_dose(run, patient)
        report(run, patient)
    error = {
        "step": "import_planar",
        "timepoint": "t24",
        "message": "P04 t24 planar: the posterior view is missing; expected 2 views",
    }
    write_text(run.results / "P04/errors/import_planar_t24.json", json.dumps(error))
    report_cohort(run)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
