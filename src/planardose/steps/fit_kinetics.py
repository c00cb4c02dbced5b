"""Step fit-kinetics: time-activity curves per organ, method and cycle, and the voxel map of their integral."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pandas as pd

from planardose.dose.curve import Curve, integral_weights, no_curve
from planardose.dose.kinetics import fit_curve
from planardose.dose.method_choice import common_method
from planardose.dose.organ_prior import OrganPrior
from planardose.dose.residue import FLAG, flagged, residue_share
from planardose.dose.tia_map import integrate_maps
from planardose.errors import InputError
from planardose.image import Volume
from planardose.io.files import atomic
from planardose.io.nifti import read_volume, write_volume
from planardose.library import load_nuclide
from planardose.organs import REMAINDER
from planardose.patient_model import PatientModel
from planardose.run import Run
from planardose.sim.tracer import Tracer, load_tracer
from planardose.steps.cycle_points import CyclePoints, made_by, read_cycles, read_gates
from planardose.units import BQ_PER_MBQ, hours_between, rounded

COLUMNS = (
    "organ",
    "method",
    "cycle",
    "model",
    "a0_mbq",
    "t_eff_h",
    "t_eff_h_u",
    "early_mbq",
    "early_t_eff_h",
    "tia_mbq_h",
    "tia_mbq_h_u",
    "tia_mbq_h_low",
    "tia_mbq_h_high",
    "extrapolated_fraction",
    "before_fraction",
    "points",
    "chi2",
    "flags",
)


def fit_kinetics(run: Run, patient: str) -> None:
    """Fit every organ of every method and cycle; integrate the maps of the patient's common method.

    Reads each time point's organ table, gate and maps; writes `kinetics` and `tia` (MBq h/mL, CT part of the grid).
    """
    gates = read_gates(run, patient)
    method, _ = common_method(gates, patient)
    first = run.cohort.first_row(patient)
    half_life_h, tracer = load_nuclide(first.nuclide).half_life_h, load_tracer(first.tracer)
    cycles = read_cycles(run, patient)
    curves = {}
    for c in cycles:
        curves[c.cycle] = _fit_cycle(c, half_life_h, tracer, [curves[n] for n in reversed(sorted(curves))])
    gaps_h = _gaps_h(run, patient)
    for cycle, gap_h in gaps_h.items():
        curves[cycle] = {k: flagged(c, curves[cycle - 1].get(k), gap_h) for k, c in curves[cycle].items()}
    _write_table(run, patient, cycles, curves, gaps_h)
    model = PatientModel.load(run.need("model", "segment", patient=patient))
    total = sum(
        (_integrate(run, patient, model, c, curves[c.cycle], method) for c in cycles), np.zeros(model.ct_grid.shape)
    )
    output = run.path("tia", patient=patient)
    write_volume(output, Volume(total, model.ct_grid, "time-integrated activity", "MBq.h/mL"))
    maps = [run.path("map", patient=patient, timepoint=n, method=method) for c in cycles for n in c.names]
    run.sidecar(
        output,
        "fit_kinetics",
        "time-integrated activity concentration, all cycles",
        "MBq.h/mL",
        [run.path("model", patient=patient), *maps],
        method=method,
    )


def _fit_cycle(
    points: CyclePoints, half_life_h: float, tracer: Tracer, earlier: list[dict]
) -> dict[tuple[str, str], Curve]:
    """(organ, method) -> curve, in the order of the first time point's table.

    `earlier` holds those of the cycles before, the last one first.
    """
    found = {}
    for organ, method in points.tables[0][["organ", "method"]].itertuples(index=False, name=None):
        series, measured = points.series(organ, method), points.measured(organ)
        if not measured.any():
            found[organ, method] = no_curve()
        elif series is not None:
            known = tracer.prior_of(organ)
            usual = OrganPrior.of_tracer(known.biological_h, known.uptake_h, known.fast)
            after = (usual.after(c[organ, method], half_life_h) for c in earlier if (organ, method) in c)
            prior = next((p for p in after if p.earlier), usual)
            curve = fit_curve(series, half_life_h, points.administered_mbq, prior)
            shares = [s.get(organ, 1.0) for s in itertools.compress(points.share_in_images, measured)]
            told = {"points_not_in_images": not measured.all(), "cut_by_images": min(shares) < 1.0}
            found[organ, method] = replace(curve, flags=(*curve.flags, *(k for k, there in told.items() if there)))
    return found


def _integrate(
    run: Run, patient: str, model: PatientModel, points: CyclePoints, curves: dict, method: str
) -> np.ndarray:
    """(I, J, K) MBq h/mL of one cycle on the CT part of the grid."""
    maps = []
    for name in points.names:
        step = made_by(run.cohort.row(patient, name))
        path = run.need("map", step, patient=patient, timepoint=name, method=method)
        volume = read_volume(path, "activity concentration", "Bq/mL", f"{patient} {name} {method} map")
        if not volume.grid.same_as(model.ct_grid):
            raise InputError(
                f"{patient} {name} {method} map",
                f"grid {volume.grid.shape} differs from the model's",
                f"{model.ct_grid.shape}",
                f"run 'planardose {step}' again",
            )
        maps.append(volume.data / BQ_PER_MBQ)
    weights = np.zeros((len(model.organs), len(points.names)))
    for n, organ in enumerate(model.organs):
        if (organ, method) in curves and points.measured(organ).any():
            weights[n, points.measured(organ)] = integral_weights(points.series(organ, method), curves[organ, method])
    split = np.array([[s.get(o, 0.0) for o in model.organs] for s in points.split_by_mbq_ml])
    fractions = model.fractions[..., model.ct_slices]
    return integrate_maps(np.stack(maps), fractions, split, weights, model.organs.index(REMAINDER))


def _write_table(
    run: Run, patient: str, cycles: list[CyclePoints], curves: dict[int, dict], gaps_h: dict[int, float]
) -> None:
    records = [
        {
            "organ": organ,
            "method": method,
            "cycle": cycle,
            "model": c.model,
            **{k: getattr(c, k) for k in COLUMNS[4:-1]},
            "flags": ";".join(c.flags),
        }
        for cycle, found in curves.items()
        for (organ, method), c in found.items()
    ]
    output = run.path("kinetics", patient=patient)
    with atomic(output) as temporary:
        pd.DataFrame(records, columns=list(COLUMNS)).to_csv(temporary, index=False, float_format="%.8g")
    inputs = [run.path("organs", patient=patient, timepoint=n) for c in cycles for n in c.names]
    run.sidecar(
        output,
        "fit_kinetics",
        "time-activity curves per organ",
        "",
        inputs,
        hours_after_injection={n: float(f"{h:.8g}") for c in cycles for n, h in zip(c.names, c.hours, strict=True)},
        residue_bound=_residue_bounds(run, patient),
        residue_share=_residue_shares(curves, gaps_h),
    )


def _gaps_h(run: Run, patient: str) -> dict[int, float]:
    """Cycle -> hours from the injection before, for the second cycle and later ones."""
    times = sorted({r.injected_at for r in run.cohort.rows_of(patient)})
    return {n + 2: hours_between(a, b) for n, (a, b) in enumerate(itertools.pairwise(times))}


def _residue_shares(curves: dict[int, dict], gaps_h: dict[int, float]) -> list[dict]:
    """Of each curve that is flagged for it the share of its integral that the cycle before left behind."""
    return [
        {"cycle": cycle, "organ": key[0], "method": key[1],
         "share": rounded(residue_share(curve, curves[cycle - 1].get(key), gap_h))}
        for cycle, gap_h in gaps_h.items()
        for key, curve in curves[cycle].items()
        if FLAG in curve.flags
    ]  # fmt: skip


def _residue_bounds(run: Run, patient: str) -> dict[int, float]:
    """Cycle -> largest share of the previous injection that can be left (physical decay only); it is not subtracted."""
    half_life_h = load_nuclide(run.cohort.rows_of(patient)[0].nuclide).half_life_h
    return {cycle: math.exp2(-gap_h / half_life_h) for cycle, gap_h in _gaps_h(run, patient).items()}
