"""Images of a demo patient as a hospital has them: CT, segmentation, lesions, planar sweeps, calibration source.

The camera deviates from the catalogue's by draws that the chain does not know (`TrueCamera`), the CT has noise and an
offset; breathing is not simulated.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from scipy import ndimage

from planardose.anatomy.materials import partial_density_from_hu
from planardose.demo.patient import Acquisition, DemoPatient, Truth, activity_mbq, anatomy_on, slices_in_ct
from planardose.demo.procedure import DEFAULT, Procedure
from planardose.frames import PlanarPose
from planardose.heads import opposed_heads
from planardose.image import Grid, Volume
from planardose.io.dicom_ct import write_ct
from planardose.io.dicom_nm import write_planar
from planardose.io.files import atomic
from planardose.io.nifti import write_volume
from planardose.library import Camera, Nuclide, load_camera, load_nuclide
from planardose.organs import LESION_BASE, label_of_name, name_of_label
from planardose.physics.dead_time import ASSUMED_US
from planardose.physics.scatter_windows import primary_weights
from planardose.physics.sensitivity import open_share
from planardose.planar import EnergyWindow, PlanarPair
from planardose.seeds import rng_for, seed_for
from planardose.sim.acquire import DeadTime, acquire
from planardose.sim.montecarlo import simulate
from planardose.units import sphere_radius_mm

MATRIX = (512, 256)  # rows, columns of a sweep
SOURCE_MATRIX = (256, 256)
SPEED_MM_S = 160.0 / 60.0  # 16 cm/min
GAP_MM = ((15.0, 40.0), (50.0, 70.0))  # from the body to the anterior and posterior face
FACE_ERROR_MM = 5.0  # of the distances in the header
SOURCE_MBQ, SOURCE_S, SOURCE_ML = 50.0, 600.0, 20.0  # so weak that dead time takes 0.3 % (177Lu), 1.5 % (131I)
TAU_SPREAD = 0.15  # standard deviation of the logarithm of a dead time that was not measured so; assumed
MOSTLY_OPEN = 0.75  # share of the counts by open holes above which next to none lie 100 mm off
CT_NOISE_HU, CT_OFFSET_HU = 14.0, 8.0
EDGE_MM = 3.0  # smoothing (standard deviation) of the mask of a perturbed organ
EDGE, RAGGED = 0.07, 0.1  # shift of its threshold and noise on it: about 5 to 15 % of a kidney's volume
PERTURBED = (
    "kidney_right", "kidney_left", "liver", "spleen", "urinary_bladder", "heart", "parotid_gland_right",
    "parotid_gland_left", "submandibular_gland_right", "submandibular_gland_left",
)  # fmt: skip
GLANDS = PERTURBED[-4:]


@dataclass(frozen=True)
class TrueCamera:
    """The camera as it really is, and its counts relative to the ideal one's."""

    camera: Camera
    factor: float


def true_camera(seed: int, procedure: Procedure = DEFAULT) -> TrueCamera:
    """The site's camera: intrinsic and energy resolution within 5 %, sensitivity with a standard deviation of 4 %.

    A dead time that the catalogue's file has from elsewhere, or has not, is another one at the site.
    """
    rng, camera = rng_for(seed, "make_demo camera"), load_camera(procedure.camera)
    nuclide = load_nuclide(procedure.nuclide)
    known = camera.tau_in(nuclide.photopeak, nuclide)
    if known is None or camera.tau_from(nuclide.photopeak, nuclide):
        error = np.exp(TAU_SPREAD * rng_for(seed, "make_demo dead time").standard_normal())
        camera = replace(camera, tau_us=float((known or ASSUMED_US) * error), tau_by_kev=(), tau_computed_by_kev=())
    spread = rng.uniform(0.95, 1.05, 2)
    changed = replace(
        camera, intrinsic_fwhm_mm=camera.intrinsic_fwhm_mm * float(spread[0]),
        energy_resolution=camera.energy_resolution * float(spread[1]),
    )  # fmt: skip
    return TrueCamera(changed, float(0.96 * np.exp(0.04 * rng.standard_normal())))


def windows(nuclide: str = DEFAULT.nuclide) -> tuple[EnergyWindow, ...]:
    """Photopeak and its two neighbours."""
    emitter = load_nuclide(nuclide)
    return (emitter.photopeak, *emitter.scatter_windows)


def dead_time(camera: Camera, field_mm: float | None, nuclide: str = DEFAULT.nuclide) -> DeadTime | None:
    """Dead time on the photopeak's primary rate, of a sweep with this axial field or a static image."""
    emitter, seen = load_nuclide(nuclide), windows(nuclide)
    tau, weights = camera.tau_in(seen[0], emitter), primary_weights(seen, 0, emitter)
    return None if tau is None else DeadTime(tau, tuple(weights), field_mm)


def write_ct_series(patient: DemoPatient, truth: Truth, seed: int, folder: Path) -> None:
    """CT series with noise, slight blur and the table behind the patient."""
    rng, grid = rng_for(seed, "make_demo ct", patient.pseudonym), patient.grid
    hu = truth.anatomy.sampled.hu.copy()
    hu[truth.anatomy.sampled.body] += rng.normal(0.0, CT_OFFSET_HU)
    back = int(np.flatnonzero(truth.anatomy.sampled.body.any(axis=(0, 2)))[0])
    width = np.abs(grid.axis_mm(0) - grid.axis_mm(0).mean()) < 200.0
    hu[width, max(back - 5, 0), :] = 60.0  # shell of the table
    hu[width, max(back - 4, 0) : max(back - 2, 1), :] = -880.0  # its foam
    hu = ndimage.gaussian_filter(hu, 0.5) + rng.normal(0.0, CT_NOISE_HU, grid.shape).astype(np.float32)
    volume = Volume(np.maximum(np.rint(hu), -1024.0), grid, "CT number", "HU")
    write_ct(folder, volume, patient.identity, seed, patient.injected_at - timedelta(days=1))


def perturbed_labels(patient: DemoPatient, truth: Truth, seed: int) -> np.ndarray:
    """Organ labels as a segmentation tool would give them: organs eroded or dilated, one gland missed, no lesions."""
    rng = rng_for(seed, "make_demo segmentation", patient.pseudonym)
    sampled = truth.anatomy.sampled
    return with_errors(sampled.host, sampled.body, patient.grid.spacing_mm, rng)


def with_errors(true: np.ndarray, body: np.ndarray, spacing_mm: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Labels (I, J, K) with the organs of `PERTURBED` eroded or dilated with ragged edges, and one gland missed."""
    labels = true.copy()
    for name in PERTURBED:
        value = label_of_name()[name]
        if not (labels == value).any():
            continue
        near = ndimage.find_objects((labels == value).astype(np.int8))[0]
        box = tuple(slice(max(s.start - 4, 0), s.stop + 4) for s in near)
        part = labels[box]
        smooth = ndimage.gaussian_filter((part == value).astype(np.float32), EDGE_MM / spacing_mm)
        mask = smooth + RAGGED * rng.standard_normal(part.shape) > 0.5 + EDGE * rng.choice((-1.0, 1.0))
        mask &= smooth > 0.1  # no specks away from the organ
        if mask.sum() < 0.5 * (part == value).sum():
            continue  # so small that eroding it would lose it
        part[(part == value) & ~mask] = 0
        part[mask & (part == 0) & body[box]] = value
    labels[labels == label_of_name()[str(rng.choice(GLANDS))]] = 0
    return labels


def write_segmentation(patient: DemoPatient, truth: Truth, seed: int, folder: Path) -> None:
    """``segmentation.nii.gz`` with its names table, and ``lesions.nii.gz`` with the known lesions only."""
    labels = perturbed_labels(patient, truth, seed)
    write_volume(folder / "segmentation.nii.gz", Volume(labels, patient.grid, "labels", "1"), np.int16)
    rows = [f"{v}\t{name_of_label()[int(v)]}" for v in np.unique(labels) if v]
    with atomic(folder / "segmentation.tsv") as temporary:
        temporary.write_text("\n".join(["label\tname", *rows]) + "\n")
    known = [x.label for x in patient.phantom.lesions if x.known]
    truth_labels = truth.anatomy.sampled.labels
    lesions = np.where(np.isin(truth_labels, known), truth_labels - LESION_BASE, 0)
    write_volume(folder / "lesions.nii.gz", Volume(lesions, patient.grid, "lesions", "1"), np.int16)


def sweep_grid(patient: DemoPatient, camera: Camera, spacing_mm: float) -> Grid:
    """Grid of the simulation: the sweep's length, centred on the CT and longer than it; a margin around the body."""
    low, high = patient.grid.bounds_mm()
    length = MATRIX[0] * camera.pixel_mm
    start = np.array([low[0] - 20.0, low[1] - 20.0, 0.5 * (low[2] + high[2] - length)])
    return Grid.covering(start, np.array([high[0] + 20.0, high[1] + 20.0, start[2] + length]), spacing_mm)


def _faces(body: np.ndarray, grid: Grid, axis_mm: float, rng: np.random.Generator) -> tuple[tuple, tuple]:
    """RAS y of the faces, and their distances from the body's axis as the header tells them."""
    occupied = np.flatnonzero(body.any(axis=(0, 2)))
    y, half = grid.axis_mm(1), 0.5 * grid.spacing_mm[1]
    anterior = float(y[occupied[-1]] + half + rng.uniform(*GAP_MM[0]))
    posterior = float(y[occupied[0]] - half - rng.uniform(*GAP_MM[1]))
    error = rng.uniform(-FACE_ERROR_MM, FACE_ERROR_MM, 2)
    told = round(float(anterior - axis_mm + error[0])), round(float(axis_mm - posterior + error[1]))
    return (anterior, posterior), (float(told[0]), float(told[1]))


def planar_pair(
    patient: DemoPatient,
    volumes_ml: dict[str, float],
    axis_mm: float,
    acquisition: Acquisition,
    true: TrueCamera,
    seed: int,
    spacing_mm: float,
    histories: float,
) -> PlanarPair:
    """Whole-body sweep of the displaced patient.

    Parameters
    ----------
    volumes_ml : dict
        Of every class on the CT's grid: with the concentrations they fix the activity of each class.
    axis_mm : float
        RAS y of the body's axis in the CT.
    spacing_mm, histories : float
        Voxel of the simulation, and photons followed for the scatter.
    """  # fmt: skip
    number = [a.name for a in patient.acquisitions].index(acquisition.name)
    rng = rng_for(seed, "make_demo planar", patient.pseudonym, number)
    grid = sweep_grid(patient, true.camera, spacing_mm)
    anatomy = anatomy_on(patient, grid, acquisition.pose)
    hu = anatomy.sampled.hu + np.where(anatomy.sampled.body, np.float32(rng.normal(0.0, CT_OFFSET_HU)), 0)
    counted = slices_in_ct(patient, grid, acquisition.pose)
    activity = activity_mbq(patient, anatomy, volumes_ml, acquisition.hours, counted)
    faces, told = _faces(anatomy.sampled.body, grid, axis_mm, rng)
    nuclide = patient.procedure.nuclide
    density = partial_density_from_hu(hu) * anatomy.sampled.body
    views = simulate(
        density, activity, grid, true.camera, load_nuclide(nuclide), windows(nuclide),
        opposed_heads(faces, true.camera.couch_mm), histories,
        seed_for(seed, "make_demo histories", patient.pseudonym, number),
    )  # fmt: skip
    return swept(views.rate * true.factor, grid, true.camera, patient, acquisition, told, rng)


def swept(
    rate: np.ndarray, grid: Grid, camera: Camera, patient: DemoPatient, acquisition: Acquisition, told: tuple, rng
) -> PlanarPair:
    """Whole-body sweep with dead time and Poisson noise of count rates (2, W, I, K) on a grid; `told` is the header's
    distance of both faces from the body's axis in mm.
    """
    exposure_s = camera.field_mm[0] / SPEED_MM_S
    duration_s = MATRIX[0] * camera.pixel_mm / SPEED_MM_S
    low, high = patient.grid.bounds_mm()
    centre = PlanarPose(float(np.mean(grid.axis_mm(0))), 0.5 * float(low[2] + high[2]))
    pixel = (camera.pixel_mm, camera.pixel_mm)
    nuclide = patient.procedure.nuclide
    loss = dead_time(camera, camera.field_mm[0], nuclide)
    counts = acquire(rate, grid, pixel, MATRIX, centre, exposure_s, rng, loss)
    middle = patient.injected_at + timedelta(hours=acquisition.hours)
    start = (middle - timedelta(seconds=duration_s / 2)).replace(microsecond=0)
    return PlanarPair(counts.astype(np.float32), windows(nuclide), pixel, exposure_s, start, duration_s, told)


def write_sweep(path: Path, pair: PlanarPair, patient: DemoPatient, seed: int) -> None:
    """NM whole-body file with the patient's planted identity."""
    used = patient.procedure
    write_planar(path, pair, load_camera(used.camera), used.nuclide, patient.identity, seed)


def source_grid(camera: Camera, nuclide: Nuclide) -> Grid:
    """Grid around a source in air that holds what it shows: the field where much of that comes through lead, from afar.

    Of 131I on the high-energy collimator 10 % of the counts lie beyond 100 mm, with 177Lu on MELP less than 0.1 %.
    """
    half = 100.0 if open_share(camera, nuclide, nuclide.photopeak) > MOSTLY_OPEN else 5.0 * (min(camera.field_mm) // 10)
    n = 2 * int(half / 5.0) + 1
    return Grid.axis_aligned((n, 5, n), 5.0, (-half, -10.0, -half))


def write_source(path: Path, true: TrueCamera, seed: int, at: datetime, procedure: Procedure = DEFAULT) -> float:
    """Static image of a small source of `SOURCE_MBQ` in air between the heads; returns cps/MBq per head, photopeak."""
    rng, nuclide, seen = rng_for(seed, "make_demo source"), procedure.nuclide, windows(procedure.nuclide)
    grid = source_grid(true.camera, load_nuclide(nuclide))
    points = np.stack(np.meshgrid(*(grid.axis_mm(a) for a in range(3)), indexing="ij"), axis=-1)
    ball = (points**2).sum(axis=-1) <= sphere_radius_mm(SOURCE_ML) ** 2
    activity = SOURCE_MBQ * ball / ball.sum()
    views = simulate(
        np.zeros((3, *grid.shape)), activity, grid, true.camera, load_nuclide(nuclide), seen,
        opposed_heads((100.0, -100.0)), 1e4, seed_for(seed, "make_demo source"),
    )  # fmt: skip
    pixel = (true.camera.pixel_mm, true.camera.pixel_mm)
    counts = acquire(views.rate * true.factor, grid, pixel, SOURCE_MATRIX, PlanarPose(0.0, 0.0), SOURCE_S, rng,
                     dead_time(true.camera, None, nuclide))
    pair = PlanarPair(counts.astype(np.float32), seen, pixel, SOURCE_S, at, SOURCE_S, (100.0, 100.0))
    write_planar(path, pair, load_camera(procedure.camera), nuclide, seed=seed)
    return float(pair.counts[:, 0].sum() / 2 / (SOURCE_MBQ * SOURCE_S))
