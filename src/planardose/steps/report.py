"""Step report: the patient's summary and page."""

import json
import math
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from planardose.cohort import Row
from planardose.dose.bed import kidney_bed
from planardose.dose.constants import dose_constants
from planardose.dose.flags import FLAGS
from planardose.dose.method_choice import common_method, gate_verdict
from planardose.dose.residue import FLAG as RESIDUE
from planardose.image import Volume
from planardose.io.files import sha256_of, write_text
from planardose.io.nifti import read_volume
from planardose.io.result_table import read_rows
from planardose.library import Nuclide, canonical_nuclide
from planardose.patient_model import PatientModel
from planardose.physics.calibration import Scale
from planardose.physics.sensitivity import air_sensitivity_cps_per_mbq
from planardose.planar import PlanarPair
from planardose.report import limits as words
from planardose.report.images import (
    activity_figure,
    display_grid,
    dose_figure,
    file_uri,
    resampled,
)
from planardose.report.outlines import outlines_figure
from planardose.report.patient_page import PatientInput, patient_html
from planardose.report.row_marks import MARKS, marked, organs_cut, with_unmeasured
from planardose.report.summary import patient_summary
from planardose.report.text import HARD, method_name, number, organ_name, percent, with_u
from planardose.report.text import hours as hours_text
from planardose.run import Run
from planardose.steps.cycle_points import CyclePoints, read_cycles, read_gates
from planardose.steps.planar_points import PlanarPoint, planar_points
from planardose.steps.report_basis import basis_of, dead_time_not_corrected
from planardose.steps.report_point import planar_point, scale_text
from planardose.steps.report_spect import spect_point, spect_sections
from planardose.times import offset_text
from planardose.units import SECONDS_PER_HOUR, decay_constant_per_h, rounded

NEWER = {  # columns that an older version's tables lack
    "kinetics": ("early_mbq", "early_t_eff_h"),
    "organ_doses": ("dose_gy_low", "dose_gy_high"),
}


def report(run: Run, patient: str) -> None:
    """Write `summary` and the self-contained page `report`."""
    kinetics, doses = (
        read_rows(run, key, step, NEWER[key], patient=patient).fillna({"flags": ""})
        for key, step in (("kinetics", "fit-kinetics"), ("organ_doses", "absorbed-dose"))
    )
    planar = planar_points(run, patient)
    by_name = {p.name: p for p in planar}
    summary = _write_summary(run, patient, planar, kinetics, doses)
    model = PatientModel.load(run.need("model", "segment", patient=patient))
    cycles = read_cycles(run, patient)
    labels = _labels(run, patient)
    page = PatientInput(
        summary=summary,
        points=tuple(
            planar_point(run, by_name[name], c, n, summary, model)
            if name in by_name
            else spect_point(run, patient, c, n)
            for c in cycles
            for n, name in enumerate(c.names)
        ),
        activities=pd.concat([_activities(run, patient, c) for c in cycles], ignore_index=True),
        kinetics=kinetics,
        doses=marked(with_unmeasured(doses, kinetics, model), organs_cut(labels), kinetics),
        made=f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}",
        basis=basis_of(run, patient, planar, cycles, _of(kinetics, summary), _of(doses, summary), labels),
        facts=(*_facts(run, patient, planar, summary, cycles), *_bed(_of(doses, summary), _of(kinetics, summary))),
        pictures=_pictures(run, patient, model, cycles, summary["method"], labels),
        flag_texts=FLAGS | MARKS | _residue(run, patient, summary["method"]),
        retained=_retained(cycles, summary),
        kinetics_note=_kinetics_note(run, patient),
        foci=_foci(run, patient, list(by_name)),
        spects=spect_sections(run, patient, model, _ct(run, patient), summary["method"]),
    )
    output = run.path("report", patient=patient)
    write_text(output, patient_html(page))
    inputs = [run.path(k, patient=patient) for k in ("kinetics", "organ_doses", "dose", "summary")]
    run.sidecar(output, "report", "the patient's page", "", inputs)


def _write_summary(
    run: Run, patient: str, planar: tuple[PlanarPoint, ...], kinetics: pd.DataFrame, doses: pd.DataFrame
) -> dict:
    gates = read_gates(run, patient)
    method, status = common_method(gates, patient)
    choice = {"method": method, "status": status, "gate": gate_verdict(gates, method)}
    keys = ("model", "labels", *run.config.weights_of(method))
    hashes = {k: sha256_of(run.path(k, patient=patient)) for k in keys if run.path(k, patient=patient).exists()}
    if run.config.weights in hashes:
        choice["network"] = _network_kept(run, patient)
    dose = run.need("dose", "absorbed-dose", patient=patient)
    energy = run.told("dose", "absorbed-dose", patient=patient)["energy"]
    more = {"hashes": hashes, "energy": energy, "scale": _scales(run, planar)}
    rows = run.cohort.rows_of(patient)
    if len(planar) < len(rows):
        more["from_spect"] = [r.timepoint for r in rows if r.from_spect]
    more["decay_neglected"] = rounded(max(decay_neglected(p.pair, p.nuclide) for p in planar))
    if (lost := dead_time_not_corrected(planar)) is not None:
        more["dead_time_not_corrected"] = lost
    if not run.config.dose.photons:
        more["photons_missing_percent"] = dose_constants().missing_self_percent.get(planar[0].nuclide.name)
    summary = patient_summary(run, patient, gates, choice, kinetics, doses, **more)
    output = run.path("summary", patient=patient)
    write_text(output, json.dumps(summary, indent=1, sort_keys=True) + "\n")
    run.sidecar(output, "report", "summary of the patient", "", [run.path("organ_doses", patient=patient), dose])
    return summary


def _network_kept(run: Run, patient: str) -> str:
    """What training kept: the patient's own network, the population network, or the base alone (zero output)."""
    kept = run.told("weights", "train", patient=patient)["training"]["kept"]
    if run.config.weights == "reinforced":
        won = run.told("reinforced", "reinforce", patient=patient)["reinforce"]["kept"]
        kept += ", reinforced" if won else ""
    return kept


def _of(table: pd.DataFrame, summary: dict) -> pd.DataFrame:
    """Rows of the method that is reported."""
    return table[table.method == summary["method"]]


def _scales(run: Run, planar: tuple[PlanarPoint, ...]) -> dict[str, dict]:
    """Time point -> the sheet's calibration beside the computed sensitivity, in the acquired photopeak window."""
    found, penetration = {}, run.config.projection.penetration
    for p in planar:
        measured = p.row.calibration_cps_per_mbq
        computed = rounded(air_sensitivity_cps_per_mbq(p.camera, p.nuclide, p.photopeak, penetration))
        scale = None if measured is None else Scale(measured, computed)
        found[p.name] = {
            "measured_cps_per_mbq": measured,
            "measured_cps_per_mbq_u": p.row.calibration_cps_per_mbq_u,
            "computed_cps_per_mbq": computed,
            "ratio": None if scale is None else float(f"{scale.ratio:.4g}"),
            "plausible": None if scale is None else scale.plausible,
        }
    return found


def decay_neglected(pair: PlanarPair, nuclide: Nuclide) -> float:
    """Share of counts by which the row that is seen first differs from what it would have at the mid-time.

    A sweep sees it (duration - exposure) / 2 before the middle. Every row gets, over its exposure T, sinh(x) / x of the
    counts at the exposure's middle, x = lambda T / 2; that is all that a static image has.
    """
    per_s = decay_constant_per_h(nuclide.half_life_h) / SECONDS_PER_HOUR
    x = per_s * pair.exposure_s / 2
    return math.exp(per_s * (pair.duration_s - pair.exposure_s) / 2) * math.sinh(x) / x - 1


def _activities(run: Run, patient: str, points: CyclePoints) -> pd.DataFrame:
    """Organ tables of a cycle as one, with time point, hours and `spect`; empty where it does not tell the organ."""
    parts = [
        table.assign(timepoint=name, hours=hours, cycle=points.cycle, spect=run.cohort.row(patient, name).from_spect)
        for name, hours, table in zip(points.names, points.hours, points.tables, strict=True)
    ]
    for n, part in enumerate(parts):
        hidden = [not points.measured(o)[n] for o in part.organ]
        part.loc[hidden, ["activity_mbq", "activity_mbq_u"]] = np.nan
    return pd.concat(parts, ignore_index=True)


def _facts(
    run: Run, patient: str, planar: tuple[PlanarPoint, ...], summary: dict, cycles: list[CyclePoints]
) -> tuple[tuple[str, str], ...]:
    rows = run.cohort.rows_of(patient)
    facts = [
        ("Nuclide", f"{summary['nuclide']}, half-life {summary['half_life_h']:g} h"),
        ("Radiopharmaceutical", _radiopharmaceutical(summary["tracer"], summary["nuclide"])),
    ]
    for c in cycles:
        row = run.cohort.row(patient, c.names[0])
        facts.append(("Administered" if len(cycles) == 1 else f"Cycle {c.cycle}", _administered(row)))
        imaged = (
            f"{name}{' (SPECT)' if spect else ''} at {hours_text(at)}"
            for name, at, spect in zip(c.names, c.hours, c.from_spect, strict=True)
        )
        facts.append(("Imaged", f"{', '.join(imaged)} after it"))
    if rows[0].weight_kg:
        facts.append(("Body weight", f"{rows[0].weight_kg:g} kg"))
    cameras = {p.row.camera: p.camera for p in planar}
    facts.append(("Camera", "; ".join(f"{c.vendor} {c.collimator} ({name})" for name, c in cameras.items())))
    scales = dict.fromkeys(scale_text(s) for s in summary["scale"].values())
    facts.append(("Calibration per head", "; ".join(scales)))
    totals = ", organ totals by QPlanar + MLEM" if summary["method"] in ("unet", "diffusion") else ""
    facts.append(("Map and doses by", method_name(summary["method"]) + totals))
    return tuple(facts)


def _administered(row: Row) -> str:
    """Activity, what the syringe kept, and the moment, with its clock where the sheet names one."""
    given, left = (f"{number(x, 4)}{HARD}MBq" for x in (row.injected_mbq, row.residual_mbq))
    kept = f"{given} less {left} left in the syringe" if row.residual_mbq else "nothing told to be left in the syringe"
    clock = "" if row.utc_offset is None else f"{HARD}({offset_text(row.utc_offset)}{HARD}from{HARD}UTC)"
    return f"{number(row.administered_mbq, 4)}{HARD}MBq on {row.injected_at:%Y-%m-%d %H:%M}{clock} ({kept})"


def _radiopharmaceutical(tracer: str, nuclide: str) -> str:
    """The tracer; where its name begins with another nuclide, it is not what was given: only its priors are used."""
    labelled_with = canonical_nuclide(tracer.partition("-")[0])
    if labelled_with[:1].isdigit() and labelled_with != nuclide:
        return f"not told; uptake priors of {tracer}"
    return tracer


def _bed(doses: pd.DataFrame, kinetics: pd.DataFrame) -> tuple[tuple[str, str], ...]:
    """The kidneys' BED as a fact of the first screen; none without kidneys."""
    found = [
        f"{organ_name(k).split(', ')[1]} {with_u(*x).replace(' ', HARD)}"
        for k, x in sorted(kidney_bed(doses, kinetics).items())
    ]
    c = dose_constants()
    model = f"Gy (α/β {c.kidney_alpha_beta_gy:g} Gy, repair half-time {c.kidney_repair_h:g} h)"
    return (("BED of the kidneys", f"{', '.join(found)} {model}"),) if found else ()


def _foci(run: Run, patient: str, timepoints: list[str]) -> pd.DataFrame:
    """The foci of all planar time points."""
    tables = {t: read_rows(run, "foci", "reconstruct", patient=patient, timepoint=t) for t in timepoints}
    return pd.concat([table.assign(timepoint=t) for t, table in tables.items()], ignore_index=True)


def _pictures(
    run: Run, patient: str, model: PatientModel, cycles: list[CyclePoints], method: str, labels: Volume
) -> dict:
    """Data URIs of the outlines, the overlays and the training curve."""
    grid, whole = display_grid(model.ct_grid), _ct(run, patient)
    ct = resampled(whole, grid, -1000.0)

    def shown(path: Path, scale: float) -> np.ndarray:
        volume = read_volume(path, "map", "", f"{patient} map")
        return resampled(Volume(volume.data * scale, volume.grid, "map", ""), grid, 0.0)

    maps = [
        (f"{name}, {hours_text(at)}", shown(run.path("map", patient=patient, timepoint=name, method=method), 1e-3))
        for c in cycles
        for name, at in zip(c.names, c.hours, strict=True)
    ]
    hollow = resampled(_hollow(model), grid, 0.0) > 0.05
    curve = run.path("training_curve", patient=patient)
    trained = "unet" in run.config.methods and curve.exists()
    return {
        "outlines": outlines_figure(whole, labels),
        "activity": activity_figure(ct, maps, hollow),
        "dose": dose_figure(ct, shown(run.path("dose", patient=patient), 1.0), hollow),
        "training": file_uri(curve.read_bytes()) if trained else None,
    }


def _ct(run: Run, patient: str) -> Volume:
    return read_volume(run.need("ct", "import-ct", patient=patient), "CT", "HU", f"{patient} ct")


def _labels(run: Run, patient: str) -> Volume:
    return read_volume(run.need("labels", "segment", patient=patient), "labels", "1", f"{patient} labels", np.int16)


def _hollow(model: PatientModel) -> Volume:
    """Share of each voxel that is contents of a hollow organ."""
    chosen = [n for n, organ in enumerate(model.organs) if organ in dose_constants().contents]
    share = model.fractions[chosen][..., model.ct_slices].sum(axis=0)
    return Volume(share, model.ct_grid, "contents", "1")


def _retained(cycles: list[CyclePoints], summary: dict) -> dict[str, float]:
    """Time point -> activity found over administered, decay-corrected; none for a SPECT, which may not show it all.

    Rows of organs that the images do not show are no finding.
    """
    out = {}
    for c in cycles:
        for name, hours, table, unmeasured in zip(c.names, c.hours, c.tables, c.unmeasured, strict=True):
            if name in summary.get("from_spect", ()):
                continue
            used = table[(table.method == summary["method"]) & ~table.organ.isin(unmeasured)]
            found = used.activity_mbq.sum()
            out[name] = float(found / c.administered_mbq * math.exp2(hours / summary["half_life_h"]))
    return out


def _residue(run: Run, patient: str, method: str) -> dict[str, str]:
    """Words for what the cycle before left behind, with the largest share; nothing where it does not matter."""
    told = run.told("kinetics", "fit-kinetics", patient=patient)["residue_share"]
    most = max((x for x in told if x["method"] == method), key=lambda x: x["share"], default=None)
    if most is None:
        return {}
    share = f"{percent(most['share'])} in cycle {most['cycle']} ({organ_name(most['organ']).lower()})"
    return {RESIDUE: f"{FLAGS[RESIDUE]}, at most {share}"}


def _kinetics_note(run: Run, patient: str) -> str:
    residue = max(run.told("kinetics", "fit-kinetics", patient=patient)["residue_bound"].values(), default=0.0)
    return words.RESIDUE.format(f"{100 * residue:.2g}") if residue else ""
