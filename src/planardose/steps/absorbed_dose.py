"""Step absorbed-dose: dose map, and organ doses with uncertainty."""

import nibabel as nib
import numpy as np
import pandas as pd

from planardose.dose.constants import dose_constants
from planardose.dose.local import deposited_joule, dose_map_gy, joule_per_mbq_h, mean_dose_gy
from planardose.dose.uncertainty import dose_u_gy, volume_relative_u
from planardose.image import Volume
from planardose.io.files import atomic
from planardose.io.nifti import read_volume, write_volume
from planardose.library import Nuclide, load_nuclide
from planardose.organs import OUTSIDE_CT
from planardose.patient_model import PatientModel
from planardose.run import Run
from planardose.steps.result_table import read_rows

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


def absorbed_dose(run: Run, patient: str) -> None:
    """Local electron dose per voxel (all cycles) and per organ, method and cycle.

    Writes `dose` (Gy) and `organ_doses`.
    """
    model = PatientModel.load(run.need("model", "segment", patient=patient))
    nuclide = load_nuclide(run.cohort.rows_of(patient)[0].nuclide)
    kinetics = read_rows(run, "kinetics", "fit-kinetics", patient=patient).fillna({"flags": ""})
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
    _write_map(run, patient, model, nuclide)


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


def _write_map(run: Run, patient: str, model: PatientModel, nuclide: Nuclide) -> None:
    """Write the dose map, with the energy set free and the energy that the map holds (J) beside it."""
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
