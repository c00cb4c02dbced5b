"""SPECT/CT of a demo patient: Monte Carlo views all around, with noise, reconstructed by our OSEM with its own CT.

The simulation has another grid than the reconstruction and the site's true camera; the reconstruction knows the
catalogue's camera only. One bed position over the abdomen, as clinics take it beside whole-body sweeps.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from planardose.anatomy.materials import partial_density_from_hu
from planardose.anatomy.phantom import Pose
from planardose.demo.images import CT_NOISE_HU, TrueCamera
from planardose.demo.osem import even_start, osem
from planardose.demo.patient import Acquisition, DemoPatient, activity_mbq, anatomy_on, slices_in_ct
from planardose.demo.procedure import Procedure
from planardose.demo.spect_counts import SpectCounts, circular_orbit, spect_counts
from planardose.heads import Head
from planardose.image import Grid, Volume
from planardose.io.dicom_ct import write_ct
from planardose.io.dicom_tomographic_write import write_spect
from planardose.library import Camera, load_camera, load_nuclide
from planardose.organs import REMAINDER, label_of_name
from planardose.overlap import collected, interval_overlap
from planardose.patient_model import PatientModel
from planardose.recon.acquired import Acquired
from planardose.recon.angles import AngledProjector, Columns
from planardose.seeds import rng_for, seed_for
from planardose.units import BQ_PER_MBQ

LATER_H = 0.75  # after the sweep
CALIBRATION_ERROR = 0.03  # standard deviation of the SPECT's own calibration
BQML_PER_COUNT = 12.5  # of the file's values
BEYOND = 3  # slices reconstructed beyond each end of the field and thrown away: there lands what shines in from outside
MIDDLE = ("liver", "kidney_left", "kidney_right")  # the bed's centre


@dataclass(frozen=True)
class SpectSettings:
    """How the SPECT is taken and reconstructed. Voxels of simulation, reconstruction and CT in mm."""

    views: int = 60
    seconds: float = 30.0  # per view
    histories: float = 1e5
    sim_mm: float = 8.0
    recon_mm: float = 10.0
    ct_mm: float = 5.0
    iterations: int = 6
    subsets: int = 10


@dataclass(frozen=True)
class DemoSpect:
    """The SPECT in Bq/mL at the middle of its acquisition, its CT in HU, both in the frame of the SPECT/CT."""

    volume: Volume
    ct: Volume
    truth: Volume  # Bq/mL on the simulation's grid, for benchmarks and tests
    started_at: datetime
    duration_s: float


def _box(patient: DemoPatient, spacing_mm: float, z_mm: tuple[float, float] | None = None) -> Grid:
    """Grid over the patient's CT and 20 mm more; along z over `z_mm` where given."""
    low, high = (np.array(x) for x in patient.grid.bounds_mm())
    low, high = low - 20.0, high + 20.0
    if z_mm is not None:
        low[2], high[2] = z_mm
    return Grid.covering(low, high, spacing_mm)


def pose_of(patient: DemoPatient, acquisition: Acquisition, seed: int) -> Pose:
    """Where the patient lies in the SPECT/CT, against the planning CT."""
    rng = rng_for(seed, "make_demo spect pose", patient.pseudonym, _number(patient, acquisition))
    shift, turn = rng.uniform(-15.0, 15.0, 3) * (1.0, 0.5, 1.0), rng.uniform(-1.0, 1.0, 3)
    return Pose(tuple(float(x) for x in shift), tuple(float(x) for x in turn))


def _number(patient: DemoPatient, acquisition: Acquisition) -> int:
    return [a.name for a in patient.acquisitions].index(acquisition.name)


def spect_of(
    patient: DemoPatient,
    volumes_ml: dict[str, float],
    acquisition: Acquisition,
    true: TrueCamera,
    seed: int,
    settings: SpectSettings | None = None,
) -> DemoSpect:
    """A SPECT `LATER_H` after an acquisition's sweep.

    Parameters
    ----------
    patient : DemoPatient
    volumes_ml : dict
        Of every class on the CT's grid, as for `planardose.demo.images.planar_pair`.
    acquisition : Acquisition
    true : TrueCamera
    seed : int
    settings : SpectSettings or None
        None: the defaults.
    """
    s, pose = settings or SpectSettings(), pose_of(patient, acquisition, seed)
    grid, number = _box(patient, s.sim_mm), _number(patient, acquisition)
    anatomy, nuclide = anatomy_on(patient, grid, pose), load_nuclide(patient.procedure.nuclide)
    hours = acquisition.hours + LATER_H
    activity = activity_mbq(patient, anatomy, volumes_ml, hours, slices_in_ct(patient, grid, pose))
    density = partial_density_from_hu(anatomy.sampled.hu) * anatomy.sampled.body
    middle = float(np.mean([_centre_z(anatomy.sampled.labels, grid, o) for o in MIDDLE]))
    heads = _heads(anatomy.sampled.body, grid, middle, true.camera, s.views)
    histories_seed = seed_for(seed, "make_demo spect", patient.pseudonym, number)
    rng = rng_for(seed, "make_demo spect scale", patient.pseudonym, number)
    taken = spect_counts(
        density, activity * true.factor, grid, true.camera, nuclide, heads, s.seconds, s.histories, histories_seed
    )
    half = 0.5 * true.camera.field_mm[0] + BEYOND * s.recon_mm
    ct = _ct(patient, pose, (middle - half, middle + half), s, seed, number)
    known = true.factor * float(np.exp(CALIBRATION_ERROR * rng.standard_normal()))
    volume = _reconstructed(taken, ct, grid, known, s, patient.procedure)
    duration = 0.5 * s.views * s.seconds  # two heads
    start = patient.injected_at + timedelta(hours=hours, seconds=-0.5 * duration)
    truth = Volume(activity / grid.voxel_ml * BQ_PER_MBQ, grid, "activity concentration", "Bq/mL")
    return DemoSpect(volume, ct, truth, start.replace(microsecond=0), duration)


def _heads(body: np.ndarray, grid: Grid, middle_z_mm: float, camera: Camera, views: int) -> tuple[Head, ...]:
    """Heads around the body (I, J, K), their field centred on `middle_z_mm`."""
    occupied = [np.flatnonzero(body.any(axis=(1 - a, 2)))[[0, -1]] for a in (0, 1)]
    centre = tuple(float(grid.axis_mm(a)[occupied[a]].mean()) for a in (0, 1))
    # no limit across: the orbit's centre is the patient's
    return circular_orbit(body, grid, views, centre, ((camera.field_mm[0], np.inf), (middle_z_mm, 0.0)))


def _centre_z(labels: np.ndarray, grid: Grid, organ: str) -> float:
    return float(grid.axis_mm(2)[np.nonzero((labels == label_of_name()[organ]).any(axis=(0, 1)))[0]].mean())


def _ct(
    patient: DemoPatient, pose: Pose, z_mm: tuple[float, float], s: SpectSettings, seed: int, number: int
) -> Volume:
    """The SPECT/CT's CT over its field, with noise; air around the body."""
    grid = _box(patient, s.ct_mm, z_mm)
    sampled = anatomy_on(patient, grid, pose).sampled
    rng = rng_for(seed, "make_demo spect ct", patient.pseudonym, number)
    hu = np.where(sampled.body, sampled.hu, -1000.0) + rng.normal(0.0, CT_NOISE_HU, grid.shape)
    return Volume(np.clip(np.rint(hu), -1024, 3071).astype(np.float32), grid, "CT number", "HU")


def _reconstructed(
    taken: SpectCounts, ct: Volume, grid: Grid, scale: float, s: SpectSettings, procedure: Procedure
) -> Volume:
    """OSEM on the counts, with the CT's attenuation and scatter; without the slices beyond the field."""
    low, high = ct.grid.bounds_mm()
    target = Grid.axis_aligned(
        tuple(int(n) for n in np.floor((high - low) / s.recon_mm)), s.recon_mm, low + 0.5 * s.recon_mm
    )
    body = ct.data > -500.0
    share = collected(body, ct.grid, target) / target.voxel_ml
    density = np.stack([collected(d * body, ct.grid, target) for d in partial_density_from_hu(ct.data)])
    model = PatientModel(
        target, (REMAINDER,), share[None].astype(np.float32), (density / target.voxel_ml).astype(np.float32)
    )
    columns = Columns.covering(target, taken.heads)
    across = interval_overlap(columns.edges_mm, taken.columns.edges_mm) / taken.columns.width_mm
    slices = [g.axis_mm(2)[0] + g.spacing_mm[2] * (np.arange(g.shape[2] + 1) - 0.5) for g in (target, grid)]
    along = interval_overlap(*slices) / grid.spacing_mm[2]
    counts = across @ taken.counts @ along.T
    camera, nuclide = load_camera(procedure.camera), load_nuclide(procedure.nuclide)
    projector = AngledProjector(model, camera, nuclide, taken.heads, scale, columns=columns)
    acquired = Acquired(counts, None, taken.seconds)
    found = osem(projector, acquired, even_start(projector, model, acquired), s.iterations, s.subsets)
    kept = found[:, :, BEYOND:-BEYOND] / target.voxel_ml * BQ_PER_MBQ
    first = target.ras_from_voxel[:3, 3] + np.array([0.0, 0.0, BEYOND * s.recon_mm])
    return Volume(kept, Grid.axis_aligned(kept.shape, s.recon_mm, first), "activity concentration", "Bq/mL")


def write_spect_ct(folder: Path, name: str, spect: DemoSpect, patient: DemoPatient, seed: int) -> None:
    """``spect_{name}.dcm`` in counts of `BQML_PER_COUNT`, and the folder ``spect_ct_{name}``."""
    counts = Volume(spect.volume.data / BQML_PER_COUNT, spect.volume.grid, "counts", "1")
    write_spect(folder / f"spect_{name}.dcm", counts, spect.duration_s, patient.identity, seed, spect.started_at)
    write_ct(folder / f"spect_ct_{name}", spect.ct, patient.identity, seed + 1, spect.started_at)
