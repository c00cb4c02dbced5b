"""Step absorbed-dose: dose map, organ doses with uncertainty, and the patient's summary."""

import json

import nibabel as nib
import numpy as np
import pandas as pd

import planardose
from planardose.dose.constants import dose_constants
from planardose.dose.local import deposited_joule, dose_map_gy, joule_per_mbq_h, mean_dose_gy
from planardose.dose.method_choice import common_method, gate_verdict
from planardose.dose.uncertainty import dose_u_gy, volume_relative_u
from planardose.image import Volume
from planardose.io.files import atomic, sha256_of, write_text
from planardose.io.nifti import read_volume, write_volume
from planardose.library import Nuclide, load_nuclide
from planardose.organs import OUTSIDE_CT
from planardose.patient_model import PatientModel
from planardose.run import Run
from planardose.steps.fit_kinetics import read_gates

COLUMNS = (
    "organ",
    "method",
    "cycle",
    "volume_ml",
    "mass_g",
    "tia_mbq_h",
    "dose_gy",
    "dose_gy_u",
    "dose_gy_per_gbq",
    "flags",
)
# paths may hold names; other patients' decisions are not this patient's
NOT_IN_SUMMARY = {"cohort": True, "results": True, "library": True, "patients": True, "segmentation": {"weights"}}


def absorbed_dose(run: Run, patient: str) -> None:
    """Local electron dose per voxel (all cycles) and per organ, method and cycle.

    Writes `dose` (Gy), `organ_doses` and `summary`.
    """
    model = PatientModel.load(run.need("model", "segment", patient=patient))
    nuclide = load_nuclide(run.cohort.rows_of(patient)[0].nuclide)
    kinetics = pd.read_csv(run.need("kinetics", "fit-kinetics", patient=patient)).fillna({"flags": ""})
    doses = _organ_doses(run, patient, model, nuclide, kinetics)
    output = run.path("organ_doses", patient=patient)
    with atomic(output) as temporary:
        doses.to_csv(temporary, index=False, float_format="%.8g")
    labels = run.need("labels", "segment", patient=patient)
    run.sidecar(
        output,
        "absorbed_dose",
        "mean absorbed dose per organ, local electron deposition",
        "Gy",
        [run.path("kinetics", patient=patient), run.path("model", patient=patient), labels],
    )
    energy = _write_map(run, patient, model, nuclide)
    _write_summary(run, patient, kinetics, doses, energy)


def _organ_doses(run: Run, patient: str, model: PatientModel, nuclide: Nuclide, kinetics: pd.DataFrame) -> pd.DataFrame:
    """One row per organ, method and cycle; activity out of the CT has no mass and no row."""
    volumes = dict(zip(model.organs, model.volumes_ml(), strict=True))
    masses = dict(zip(model.organs, model.masses_g(), strict=True))
    administered = {run.cohort.cycle_of(r): r.administered_mbq / 1000 for r in run.cohort.rows_of(patient)}
    voxel_mm = _segmentation_voxel_mm(run, patient)
    records = []
    for row in kinetics.itertuples():
        if row.organ == OUTSIDE_CT or masses[row.organ] <= 0:
            continue
        volume, mass = volumes[row.organ], masses[row.organ]
        dose = float(mean_dose_gy(row.tia_mbq_h, mass, nuclide))
        relative = volume_relative_u(volume, voxel_mm, dose_constants().edge_fwhm_mm)
        u = dose_u_gy(dose, row.tia_mbq_h, row.tia_mbq_h_u, relative, joule_per_mbq_h(nuclide) / (mass / 1000))
        records.append(
            (
                row.organ,
                row.method,
                row.cycle,
                volume,
                mass,
                row.tia_mbq_h,
                dose,
                u,
                dose / administered[row.cycle],
                _flags(row),
            )
        )
    return pd.DataFrame(records, columns=list(COLUMNS))


def _flags(row) -> str:
    flags = row.flags.split(";") if row.flags else []
    return ";".join([*flags, *(["contents_not_wall"] if row.organ in dose_constants().contents else [])])


def _segmentation_voxel_mm(run: Run, patient: str) -> float:
    """Edge of a cube of the volume of a voxel of the label map, mm."""
    affine = nib.load(run.need("labels", "segment", patient=patient)).affine
    return float(abs(np.linalg.det(affine[:3, :3]))) ** (1 / 3)


def _write_map(run: Run, patient: str, model: PatientModel, nuclide: Nuclide) -> dict[str, float]:
    """Write the dose map; return the energy set free and the energy that the map holds, in J."""
    source = run.need("tia", "fit-kinetics", patient=patient)
    tia = read_volume(source, "time-integrated activity", "MBq.h/mL", f"{patient} integral map")
    density = model.density[..., model.ct_slices]
    dose = dose_map_gy(tia.data, density, nuclide, dose_constants().density_floor_g_ml)
    output = run.path("dose", patient=patient)
    write_volume(output, Volume(dose, model.ct_grid, "absorbed dose", "Gy"))
    released = float(tia.data.sum(dtype=np.float64)) * model.grid.voxel_ml * joule_per_mbq_h(nuclide)
    energy = {"released_j": released, "deposited_j": deposited_joule(dose, density, model.grid.voxel_ml)}
    run.sidecar(
        output,
        "absorbed_dose",
        "absorbed dose of all cycles, local electron deposition",
        "Gy",
        [source, run.path("model", patient=patient)],
        energy=energy,
        density_floor_g_ml=dose_constants().density_floor_g_ml,
    )
    return energy


def _write_summary(run: Run, patient: str, kinetics: pd.DataFrame, doses: pd.DataFrame, energy: dict) -> None:
    rows = run.cohort.rows_of(patient)
    gates = read_gates(run, patient)
    method, status = common_method(gates, patient)
    used = doses[doses.method == method]
    fits = kinetics[kinetics.method == method]
    summary = {
        "patient": patient,
        "nuclide": load_nuclide(rows[0].nuclide).name,
        "tracer": rows[0].tracer,
        "half_life_h": load_nuclide(rows[0].nuclide).half_life_h,
        "method": method,
        "preferred_method": run.config.map_method,
        "status": status,
        "gate": gate_verdict(gates, method),
        "gates": {
            t: {"chosen": g["chosen"], "status": g["status"], "accepted": g.get("accepted")} for t, g in gates.items()
        },
        "message": _message(gates, method, status),
        "calibrated": all(r.calibration_cps_per_mbq is not None for r in rows),
        "cycles": {
            str(run.cohort.cycle_of(r)): {
                "administered_mbq": r.administered_mbq,
                "injected_at": r.injected_at.isoformat(),
                "timepoints": [x.timepoint for x in rows if x.injected_at == r.injected_at],
            }
            for r in rows
        },
        "dose_gy": {f"{d.organ}": round(float(g), 6) for d, g in _summed(used)},
        "tia_mbq_h": float(f"{fits.tia_mbq_h.sum():.8g}"),
        "energy": {k: float(f"{v:.8g}") for k, v in energy.items()},
        "flags": sorted({f for text in fits["flags"] for f in text.split(";") if f}),
        "dose_model": "local electron deposition; photons not included",
        "kinetic_model": "mono-exponential",
        "planardose": planardose.__version__,
        "seed": run.config.seed,
        "hashes": _hashes(run, patient, method),
        "config": json.loads(run.config.model_dump_json(exclude=NOT_IN_SUMMARY)),
        "by_hand": {k: h.model_dump(exclude_defaults=True) for k, h in run.config.patients.get(patient, {}).items()},
    }
    output = run.path("summary", patient=patient)
    write_text(output, json.dumps(summary, indent=1, sort_keys=True) + "\n")
    run.sidecar(output, "absorbed_dose", "summary of the patient", "", [run.path("organ_doses", patient=patient)])


def _summed(used: pd.DataFrame):
    """(first row, dose over all cycles) of each organ, `remainder` last as in the table."""
    for _, group in used.groupby("organ", sort=False):
        yield next(group.itertuples()), group.dose_gy.sum()


def _message(gates: dict, method: str, status: str) -> str:
    """One line for the cohort table; empty when there is nothing to say."""
    if status == "fallback":
        where = ", ".join(t for t, g in gates.items() if g["status"] == "fallback")
        return f"the preferred method failed its re-projection gate at {where}; {method} is used at all time points"
    accepted = [f"{t}: {g['accepted']}" for t, g in gates.items() if g.get("accepted")]
    return f"gate accepted by hand ({'; '.join(accepted)})" if accepted else ""


def _hashes(run: Run, patient: str, method: str) -> dict[str, str]:
    keys = ("model", "labels", *(("weights",) if method == "unet" else ()))
    return {k: sha256_of(run.path(k, patient=patient)) for k in keys if run.path(k, patient=patient).exists()}
