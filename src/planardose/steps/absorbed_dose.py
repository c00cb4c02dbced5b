"""Step absorbed-dose: dose map, and organ doses with uncertainty."""

import numpy as np
import pandas as pd

from planardose.dose.constants import dose_constants
from planardose.dose.local import deposited_joule, dose_map_gy, joule_per_mbq_h, mean_dose_gy
from planardose.dose.uncertainty import dose_u_gy, mass_relative_u, side_of_95_gy
from planardose.image import Volume
from planardose.io.files import atomic
from planardose.io.nifti import read_grid, read_volume, write_volume
from planardose.io.result_table import read_rows
from planardose.library import Nuclide, load_nuclide
from planardose.organs import OUTSIDE_CT
from planardose.patient_model import PatientModel
from planardose.physics.warp_runtime import warp_device
from planardose.run import Run
from planardose.seeds import seed_for
from planardose.sim.organ_photons import OrganPhotons, organ_photons
from planardose.sim.photon_dose import dose_gy

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
    "photon_gy",
    "dose_gy_low",
    "dose_gy_high",
    "flags",
)
ENDS = ("tia_mbq_h_low", "tia_mbq_h_high")  # of kinetics.csv, which an older version lacks
MASS_POWER = 2 / 3  # self-dose per decay goes as mass^-2/3 by photons (Snyder 1970), as mass^-1 by electrons


def absorbed_dose(run: Run, patient: str) -> None:
    """Dose per voxel (all cycles) and per organ, method and cycle: electrons on the spot, photons by Monte Carlo.

    Writes `dose` (Gy) and `organ_doses`.
    """
    model = PatientModel.load(run.need("model", "segment", patient=patient))
    nuclide = load_nuclide(run.cohort.rows_of(patient)[0].nuclide)
    kinetics = read_rows(run, "kinetics", "fit-kinetics", ENDS, patient=patient).fillna({"flags": ""})
    photons = _photons(run, patient, model, nuclide, kinetics)
    doses = _organ_doses(run, patient, model, nuclide, kinetics, photons)
    output = run.path("organ_doses", patient=patient)
    with atomic(output) as temporary:
        doses.to_csv(temporary, index=False, float_format="%.8g")
    labels = run.need("labels", "segment", patient=patient)
    run.sidecar(
        output,
        "absorbed_dose",
        "mean absorbed dose per organ",
        "Gy",
        [run.path("kinetics", patient=patient), run.path("model", patient=patient), labels],
        photons_per_organ=run.config.dose.photons,
    )
    _write_map(run, patient, model, nuclide, photons)


def _photons(run: Run, patient: str, model: PatientModel, nuclide: Nuclide, kinetics: pd.DataFrame) -> OrganPhotons:
    """What photons carry between the organs, and leave in the voxels by the method of the integral map, keV MBq h."""
    if not run.config.dose.photons:
        return OrganPhotons.none(len(model.organs), model.grid)
    method = run.told("tia", "fit-kinetics", patient=patient)["method"]
    totals = kinetics[kinetics.method == method].groupby("organ").tia_mbq_h.sum()
    decays = totals.reindex(model.organs, fill_value=0.0).to_numpy()
    seed = seed_for(run.config.seed, "absorbed_dose", patient)
    return organ_photons(model, nuclide, decays, run.config.dose.photons, seed, warp_device(run.config.device))


def _organ_doses(
    run: Run, patient: str, model: PatientModel, nuclide: Nuclide, kinetics: pd.DataFrame, photons: OrganPhotons
) -> pd.DataFrame:
    """One row per organ, method and cycle; none for activity out of the CT, and for organs that no image shows."""
    volumes, masses = model.volumes_ml(), model.masses_g()
    administered = {run.cohort.cycle_of(r): r.administered_mbq / 1000 for r in run.cohort.rows_of(patient)}
    labels = read_grid(run.need("labels", "segment", patient=patient))
    by_photons = _photon_doses(kinetics, model, photons)
    records = []
    for row, photon in zip(kinetics.itertuples(), by_photons.itertuples(), strict=True):
        n = model.organs.index(row.organ)
        if row.organ == OUTSIDE_CT or masses[n] <= 0 or row.points == 0:
            continue
        electrons = float(mean_dose_gy(row.tia_mbq_h, masses[n], nuclide))
        per_mbq_h = joule_per_mbq_h(nuclide) / (masses[n] / 1000) + photon.own_per_mbq_h
        by_mass = electrons + MASS_POWER * photon.own_per_mbq_h * row.tia_mbq_h
        of_mass = by_mass * mass_relative_u(row.organ, volumes[n], labels, run.config.dose.lesion_edge_fwhm_mm)
        others = photon.neighbours_u, of_mass, photon.statistics
        dose, u = electrons + photon.gy, dose_u_gy(per_mbq_h * row.tia_mbq_h_u, *others)
        below, above = (side_of_95_gy(per_mbq_h * abs(end - row.tia_mbq_h), *others)
                        for end in (row.tia_mbq_h_low, row.tia_mbq_h_high))  # fmt: skip
        records.append(
            (
                row.organ,
                row.method,
                row.cycle,
                volumes[n],
                masses[n],
                row.tia_mbq_h,
                dose,
                u,
                dose / administered[row.cycle],
                photon.gy,
                max(dose - below, 0.0),
                dose + above,
                _flags(row),
            )
        )
    return pd.DataFrame(records, columns=list(COLUMNS))


def _photon_doses(kinetics: pd.DataFrame, model: PatientModel, photons: OrganPhotons) -> pd.DataFrame:
    """For each row of the kinetics table the photons' dose (`gy`), all organs' together, and what goes into its
    uncertainty: Gy per MBq h of the organ itself, the uncertainty by all other organs' activities, and that of the
    Monte Carlo.
    """
    mass = np.where(np.array(model.organs) == OUTSIDE_CT, 0.0, model.masses_g())
    gy, error = (dose_gy(kev, 1.0, mass) for kev in (photons.kev, photons.error_kev))  # (S, T), of 1 MBq h
    own, found = np.diagonal(gy), []
    for _, rows in kinetics.groupby(["method", "cycle"], sort=False):
        at = [model.organs.index(organ) for organ in rows.organ]
        tia, u = (rows[c].fillna(0.0).to_numpy() for c in ("tia_mbq_h", "tia_mbq_h_u"))
        part = pd.DataFrame(
            {
                "gy": (tia @ gy[at])[at],
                "own_per_mbq_h": own[at],
                "neighbours_u": (u @ gy[at])[at] - u * own[at],
                "statistics": np.sqrt(tia**2 @ error[at] ** 2)[at],
            },
            index=rows.index,
        )
        found.append(part)
    return pd.concat(found).reindex(kinetics.index)


def _flags(row) -> str:
    flags = row.flags.split(";") if row.flags else []
    return ";".join([*flags, *(["contents_not_wall"] if row.organ in dose_constants().contents else [])])


def _write_map(run: Run, patient: str, model: PatientModel, nuclide: Nuclide, photons: OrganPhotons) -> None:
    """Write the dose map, with the electrons' energy set free and the energy that the map holds (J) beside it."""
    source = run.need("tia", "fit-kinetics", patient=patient)
    tia = read_volume(source, "time-integrated activity", "MBq.h/mL", f"{patient} integral map")
    density = model.density[..., model.ct_slices]
    floor, ml = dose_constants().density_floor_g_ml, model.grid.voxel_ml
    by_photons = dose_gy(photons.voxel_kev[..., model.ct_slices], 1.0, np.maximum(density, floor) * ml)
    dose = dose_map_gy(tia.data, density, nuclide, floor) + by_photons
    output = run.path("dose", patient=patient)
    write_volume(output, Volume(dose, model.ct_grid, "absorbed dose", "Gy"))
    energy = {
        "released_j": float(tia.data.sum(dtype=np.float64)) * ml * joule_per_mbq_h(nuclide),
        "photons_j": deposited_joule(by_photons, density, ml),
        "deposited_j": deposited_joule(dose, density, ml),
    }
    run.sidecar(
        output,
        "absorbed_dose",
        "absorbed dose of all cycles",
        "Gy",
        [source, run.path("model", patient=patient)],
        energy=energy,
        density_floor_g_ml=floor,
        photons_per_organ=run.config.dose.photons,
    )
