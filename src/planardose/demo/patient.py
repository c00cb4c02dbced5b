"""One patient of the demo cohort: who, when, how much, where in the body, and the truth that only `evaluate` reads."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from planardose.anatomy.materials import partial_density_from_hu
from planardose.anatomy.phantom import Phantom, Pose, Sampled, density_of_hu, draw_phantom
from planardose.demo.dose import true_dose_gy
from planardose.demo.procedure import DEFAULT, Procedure
from planardose.image import Grid, Volume
from planardose.io.dicom_new import Identity
from planardose.io.files import atomic
from planardose.io.nifti import write_volume
from planardose.library import load_nuclide
from planardose.organs import LESION_BASE, REMAINDER, is_lesion, source_name
from planardose.seeds import rng_for, seed_for
from planardose.sim.texture import WaveField
from planardose.sim.tracer import exponentials_at
from planardose.sim.uptake import Administered
from planardose.units import BQ_PER_MBQ, MBQ_PER_KBQ

NUCLIDE, TRACER, CAMERA = DEFAULT.nuclide, DEFAULT.tracer, DEFAULT.camera
CT_SPACING_MM = (4.0, 4.0, 5.0)
CT_MARGIN_MM = 28.0
EARLY_HOURS = (1.0, 2.0, 4.0, 8.0, 24.0)  # when the body holds most
FIRST_DAY = datetime(2026, 1, 12, 9, 0)
SURNAMES = (
    "Wintergreen",
    "Ostrander",
    "Quillfeather",
    "Marchbanks",
    "Thistlewood",
    "Pemberley",
    "Galbraith",
    "Underhill",
)
GIVEN = ("Ottoline", "Barnaby", "Philippa", "Leopold", "Rosamund", "Cornelius", "Henrietta", "Augustin")
INSTITUTION = "Hollyhock Infirmary"


@dataclass(frozen=True)
class Acquisition:
    """One time point: name, mid-time in hours after the injection, pose of the patient against the CT."""

    name: str
    hours: float
    pose: Pose


@dataclass(frozen=True)
class DemoPatient:
    """Everything drawn about one patient; a pure function of the cohort's seed and the patient's number.

    `curves` holds per source class the concentration in kBq/mL as a sum of exponentials: (amplitudes, rates per h).
    """

    pseudonym: str
    identity: Identity
    phantom: Phantom
    grid: Grid
    curves: dict[str, tuple[np.ndarray, np.ndarray]]
    texture: WaveField
    texture_cv: float
    injected_mbq: float
    injected_at: datetime
    acquisitions: tuple[Acquisition, ...]
    procedure: Procedure = DEFAULT

    @property
    def folder(self) -> str:
        """Folder of this patient's inputs: it holds a name, as folders in hospitals do."""
        return "inputs/" + self.identity.name.replace("^", "_")


def _identity(number: int, rng: np.random.Generator) -> Identity:
    again, n = divmod(number - 1, len(SURNAMES))
    surname = SURNAMES[n] + "ab" * again
    return Identity(
        name=f"{surname}^{GIVEN[n]}", patient_id=f"MRN{rng.integers(10**7, 10**8)}",
        birth_date=f"19{rng.integers(40, 70)}{rng.integers(1, 13):02d}{rng.integers(1, 28):02d}", sex="M",
        institution=INSTITUTION,
    )  # fmt: skip


def _pose(rng: np.random.Generator) -> Pose:
    """Several mm to 15 mm in x and z, a few in y; up to 1.5 degrees in the coronal plane, less about the other axes."""
    x, z = rng.uniform(4.0, 15.0, 2) * rng.choice((-1.0, 1.0), 2)
    tilt = rng.uniform(-0.7, 0.7, 3) + np.array([0.0, rng.uniform(-0.8, 0.8), 0.0])
    return Pose((float(x), float(rng.uniform(-4.0, 4.0)), float(z)), (float(tilt[0]), float(tilt[1]), float(tilt[2])))


def class_curves(classes: tuple[str, ...], given: Administered, rng: np.random.Generator) -> dict:
    """Class of tissue -> its curve of activity over time, drawn from the tracer's priors; lesions draw their own."""
    curves = {}
    for prior in dict.fromkeys(given.tracer.prior_of(c) for c in classes):
        slots = prior.organs or tuple(c for c in classes if is_lesion(c))
        curves |= dict(zip(slots, given.draw_curves(prior, len(slots), rng), strict=True))
    return curves


def draw_patient(
    seed: int,
    number: int,
    spacing_mm: tuple[float, float, float] = CT_SPACING_MM,
    phantom: Phantom | None = None,
    procedure: Procedure = DEFAULT,
) -> DemoPatient:
    """Patient `number` (from 1) of the cohort with root seed `seed`; `spacing_mm` is that of the CT.

    `phantom` replaces the anatomy that would be drawn.
    """
    pseudonym = f"P{number:02d}"

    def rng(part: str) -> np.random.Generator:
        return rng_for(seed, f"make_demo {part}", pseudonym)

    body, general = rng("anatomy"), rng("general")
    phantom = phantom or draw_phantom(body, known=int(body.integers(2, 4)), hidden=int(body.integers(2, 5)))
    low, high = phantom.extent_mm(CT_MARGIN_MM)
    # the field of view is not centred on the anatomy's own axes
    low[:2] -= general.uniform(0.0, 12.0, 2)
    grid = Grid.covering(low, high, spacing_mm)
    injected_mbq = round(float(general.uniform(*procedure.injected_mbq)), 1)
    injected_at = FIRST_DAY + timedelta(days=7 * (number - 1), minutes=int(general.integers(0, 180)))
    classes = tuple(dict.fromkeys(source_name(p.label) if p.label else REMAINDER for p in phantom.parts))
    times = procedure.hours(number)
    hours = [h * float(general.uniform(0.95, 1.05)) for h in times]
    given = procedure.administered(injected_mbq)
    return DemoPatient(
        pseudonym=pseudonym, identity=_identity(number, general), phantom=phantom, grid=grid,
        curves=class_curves(classes, given, rng("kinetics")),
        texture=WaveField(
            float(general.uniform(*given.tracer.texture.length_mm)), seed_for(seed, "make_demo texture", pseudonym)
        ),
        texture_cv=float(general.uniform(*given.tracer.texture.cv)), injected_mbq=injected_mbq, injected_at=injected_at,
        acquisitions=tuple(Acquisition(f"t{h:.0f}", at, _pose(general)) for h, at in zip(times, hours, strict=True)),
        procedure=procedure,
    )  # fmt: skip


@dataclass(frozen=True)
class Anatomy:
    """A patient's anatomy on a grid, with the uptake of each voxel relative to its class.

    `classes[index]` names the source class of a voxel; `weight` (I, J, K) float64 is 0 outside the body.
    """

    sampled: Sampled
    classes: tuple[str, ...]
    index: np.ndarray
    weight: np.ndarray

    def totals(self, values: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
        """Sum of `values` per class (C,), over the voxels `where`."""
        mask = self.sampled.body if where is None else self.sampled.body & where
        return np.bincount(self.index[mask], values[mask], len(self.classes))


def anatomy_on(patient: DemoPatient, grid: Grid, pose: Pose) -> Anatomy:
    """Anatomy and relative uptake (parts of organs, smooth log-normal texture) on a grid."""
    sampled = patient.phantom.on_grid(grid, pose)
    labels = np.unique(sampled.labels)
    names = [source_name(int(v)) if v else REMAINDER for v in labels]
    classes = tuple(dict.fromkeys(names))
    lookup = np.array([classes.index(n) for n in names])
    weight = np.zeros(grid.shape)
    points = np.argwhere(sampled.body) @ grid.ras_from_voxel[:3, :3].T + grid.ras_from_voxel[:3, 3]
    field = patient.texture.at(pose.to_patient(points))
    weight[sampled.body] = sampled.uptake[sampled.body] * np.exp(np.sqrt(np.log1p(patient.texture_cv**2)) * field)
    return Anatomy(sampled, classes, lookup[np.searchsorted(labels, sampled.labels)], weight)


@dataclass(frozen=True)
class Truth:
    """The anatomy on the CT's grid with volume (mL), mean weight and mass (g) per class, each (C,).

    `patient` is the one whose images are made: its curves hold no more than was injected.
    """

    patient: DemoPatient
    anatomy: Anatomy
    volume_ml: np.ndarray
    mean_weight: np.ndarray
    mass_g: np.ndarray
    density: np.ndarray

    def map_of(self, per_ml: np.ndarray) -> np.ndarray:
        """(I, J, K) float64 map with class means `per_ml` (C,)."""
        values = (per_ml / np.maximum(self.mean_weight, 1e-12))[self.anatomy.index] * self.anatomy.weight
        return np.where(self.anatomy.sampled.body, values, 0.0)


def truth_of(patient: DemoPatient) -> Truth:
    """Sample the patient on the CT's grid, undisplaced."""
    anatomy = anatomy_on(patient, patient.grid, Pose())
    density = density_of_hu(anatomy.sampled.hu)
    ml = patient.grid.voxel_ml
    voxels = anatomy.totals(np.ones(patient.grid.shape))
    volume_ml, mass_g = voxels * ml, anatomy.totals(density) * ml
    conserving = _conserving(patient, anatomy.classes, volume_ml)
    return Truth(conserving, anatomy, volume_ml, anatomy.totals(anatomy.weight) / voxels, mass_g, density)


def _conserving(patient: DemoPatient, classes: tuple[str, ...], volume_ml: np.ndarray) -> DemoPatient:
    """The patient with all curves lowered where together they would hold more than was injected."""
    given = patient.procedure.administered(patient.injected_mbq)
    totals_mbq = (float(concentrations_kbq_ml(patient, classes, h) @ volume_ml) * MBQ_PER_KBQ for h in EARLY_HOURS)
    share = min(given.share_allowed(mbq, h) for mbq, h in zip(totals_mbq, EARLY_HOURS, strict=True))
    return replace(patient, curves={c: (share * a, rates) for c, (a, rates) in patient.curves.items()})


def concentrations_kbq_ml(patient: DemoPatient, classes: tuple[str, ...], hours: float) -> np.ndarray:
    """(C,) mean concentration of each class `hours` after the injection."""
    return np.array([float(exponentials_at(*patient.curves[c], hours)) for c in classes])


def slices_in_ct(patient: DemoPatient, grid: Grid, pose: Pose) -> np.ndarray:
    """(K,) bool: slices of a grid that show what lies in the CT, when the patient is displaced by a pose."""
    low, high = patient.grid.bounds_mm()
    z = grid.axis_mm(2) - pose.shift_mm[2]
    return (z > low[2]) & (z < high[2])


def activity_mbq(
    patient: DemoPatient, anatomy: Anatomy, volumes_ml: dict[str, float], hours: float, counted: np.ndarray
) -> np.ndarray:
    """(I, J, K) float64 MBq per voxel of a displaced anatomy, `hours` after the injection.

    Over the voxels `counted` (bool, broadcast to the anatomy's) each class holds its concentration times its volume in
    the CT, `volumes_ml`; what lies beyond them, as the legs below the CT, has the same concentration.
    """
    mean = concentrations_kbq_ml(patient, anatomy.classes, hours)
    mbq = mean * np.array([volumes_ml.get(c, 0.0) for c in anatomy.classes]) * MBQ_PER_KBQ
    scale = mbq / np.maximum(anatomy.totals(anatomy.weight, counted), 1e-12)
    return np.where(anatomy.sampled.body, scale[anatomy.index] * anatomy.weight, 0.0)


def integrals_kbq_h_ml(patient: DemoPatient, classes: tuple[str, ...]) -> np.ndarray:
    """(C,) time integral of each class's concentration from the injection to infinity, in closed form."""
    return np.array([float((patient.curves[c][0] / patient.curves[c][1]).sum()) for c in classes])


def _matter(truth: Truth) -> np.ndarray:
    """(3, I, J, K) g/mL of the basis materials in the body, with the phantom's own density."""
    mixture = partial_density_from_hu(truth.anatomy.sampled.hu)
    return mixture * (truth.density * truth.anatomy.sampled.body / np.maximum(mixture.sum(axis=0), 1e-6))


def write_truth(truth: Truth, folder: Path, photons: float, seed: int) -> None:
    """``labels``, ``{timepoint}_activity`` (Bq/mL at mid-time), ``dose_gy`` on the CT's grid and ``organs.csv``.

    `photons` are followed for the dose, from the cohort's `seed`.
    """
    patient, classes, grid = truth.patient, truth.anatomy.classes, truth.patient.grid
    write_volume(folder / "labels.nii.gz", Volume(truth.anatomy.sampled.labels, grid, "labels", "1"), np.int16)
    integrals = integrals_kbq_h_ml(patient, classes)
    own_seed = seed_for(seed, "make_demo dose", patient.pseudonym)
    nuclide = load_nuclide(patient.procedure.nuclide)
    dose = true_dose_gy(truth.map_of(integrals), _matter(truth), grid, nuclide, photons, own_seed)
    write_volume(folder / "dose_gy.nii.gz", Volume(dose, grid, "absorbed dose", "Gy"))
    known = {LESION_BASE + n: lesion.known for n, lesion in enumerate(patient.phantom.lesions, start=1)}
    table = pd.DataFrame({
        "organ": classes,
        "known": [not is_lesion(c) or known[LESION_BASE + int(c.split("_")[1])] for c in classes],
        "volume_ml": truth.volume_ml, "mass_g": truth.mass_g, "tia_mbq_h": integrals * truth.volume_ml * MBQ_PER_KBQ,
        "dose_gy": truth.anatomy.totals(dose * truth.density) * grid.voxel_ml / truth.mass_g,
    })  # fmt: skip
    for acquisition in patient.acquisitions:
        mean = concentrations_kbq_ml(patient, classes, acquisition.hours)
        bq_ml = truth.map_of(mean) * 1e3
        write_volume(
            folder / f"{acquisition.name}_activity.nii.gz", Volume(bq_ml, grid, "activity concentration", "Bq/mL")
        )
        table[f"activity_mbq_{acquisition.name}"] = truth.anatomy.totals(bq_ml) * grid.voxel_ml / BQ_PER_MBQ
    with atomic(folder / "organs.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.8g", lineterminator="\n")
