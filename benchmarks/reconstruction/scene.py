"""The patient as the gamma camera sees them: displaced, breathing, with or without arms, of matter not the CT's."""

from dataclasses import dataclass, replace

import numpy as np
from benchmarks.reconstruction.mismatch import Site, two_line_matter

from planardose.anatomy.materials import partial_density_from_hu
from planardose.anatomy.phantom import Phantom, Pose
from planardose.anatomy.phantom_parts import MUSCLE
from planardose.demo.images import MATRIX
from planardose.demo.patient import Acquisition, Anatomy, DemoPatient, activity_mbq, anatomy_on, slices_in_ct
from planardose.image import Grid
from planardose.organs import REMAINDER, label_of_name

# Share of the diaphragm's motion along the patient (RAS z, mm): all from the kidneys to the dome of the liver, none at
# the pelvis and in the upper chest. Chest wall, spine, heart and bowel stay; the gap that an organ leaves becomes soft
# tissue.
MOTION_MM, MOTION = (150.0, 270.0, 430.0, 600.0), (0.0, 1.0, 1.0, 0.0)
MOVING = (
    "liver", "spleen", "kidney_right", "kidney_left", "stomach", "pancreas", "gallbladder", "duodenum",
    "adrenal_gland_right", "adrenal_gland_left", "lung_lower_lobe_right", "lung_middle_lobe_right",
    "lung_upper_lobe_right", "lung_lower_lobe_left", "lung_upper_lobe_left",
)  # fmt: skip
PHASES = (1 / 6, 1 / 2, 5 / 6)  # of the way from exhaled to inhaled, equal times
GAP_HU = 50.0


@dataclass(frozen=True)
class BreathingPose(Pose):
    """A pose in which the organs below the diaphragm lie `down_mm` lower (RAS -z)."""

    down_mm: float = 0.0

    def to_patient(self, points: np.ndarray) -> np.ndarray:
        inside = super().to_patient(points)
        inside[:, 2] += self.down_mm * np.interp(inside[:, 2], MOTION_MM, MOTION)
        return inside


@dataclass(frozen=True)
class Scene:
    """Partial densities (3, I, J, K) g/mL, activity (I, J, K) MBq per voxel, `body` (I, J, K), on `grid`."""

    density: np.ndarray
    activity: np.ndarray
    body: np.ndarray
    grid: Grid


def scene_grid(patient: DemoPatient, phantom: Phantom, pixel_mm: float, spacing_mm: float) -> Grid:
    """Grid of the simulation: the length of the sweep, centred on the CT; as wide as CT and phantom with a margin."""
    low, high = patient.grid.bounds_mm()
    wide_low, wide_high = phantom.extent_mm(20.0)
    length = MATRIX[0] * pixel_mm
    start = np.minimum(low - 20.0, wide_low)
    stop = np.maximum(high + 20.0, wide_high)
    start[2] = 0.5 * (low[2] + high[2] - length)
    stop[2] = start[2] + length
    return Grid.covering(start, stop, spacing_mm)


def _breathed(still: Anatomy, moved: Anatomy) -> Anatomy:
    """The still anatomy with the moving organs where breathing has taken them; still organs are never painted over."""
    moving = [label_of_name()[name] for name in MOVING]
    were, are = np.isin(still.sampled.host, moving), np.isin(moved.sampled.host, moving)
    are &= were | (still.sampled.labels == 0) & still.sampled.body
    gap = were & ~are
    classes = tuple(dict.fromkeys((*still.classes, *moved.classes, REMAINDER)))
    index = np.array([classes.index(c) for c in still.classes])[still.index]
    index[are] = np.array([classes.index(c) for c in moved.classes])[moved.index[are]]
    index[gap] = classes.index(REMAINDER)
    weight, hu = still.weight.copy(), still.sampled.hu.copy()
    weight[are], hu[are] = moved.weight[are], moved.sampled.hu[are]
    weight[gap], hu[gap] = MUSCLE, GAP_HU
    return Anatomy(replace(still.sampled, hu=hu), classes, index, weight)


def scene(
    patient: DemoPatient, volumes_ml: dict[str, float], phantoms: tuple[Phantom, Phantom], site: Site,
    acquisition: Acquisition, grid: Grid,
) -> Scene:  # fmt: skip
    """Density and activity of one acquisition, averaged over the breath.

    Every class holds in the CT's range what the truth says in every phase of the breath. The average of densities
    stands for that of transmissions.

    Parameters
    ----------
    volumes_ml : dict
        Of every class on the CT's grid.
    phantoms : (without arms, as imaged)
    """
    bare, imaged = phantoms
    shown = replace(patient, phantom=imaged)
    still = anatomy_on(shown, grid, acquisition.pose)
    trunk = still.sampled.body
    if imaged is not bare:
        trunk = trunk & bare.on_grid(grid, acquisition.pose).body
    phases = [still]
    if site.breathing_mm > 0:
        downs = [site.breathing_mm * (p - site.ct_phase) for p in PHASES]
        poses = [BreathingPose(acquisition.pose.shift_mm, acquisition.pose.rotation_deg, d) for d in downs]
        phases = [_breathed(still, anatomy_on(shown, grid, pose)) for pose in poses]
    counted = trunk & slices_in_ct(patient, grid, acquisition.pose)
    matter = two_line_matter if site.two_lines else partial_density_from_hu
    density, activity = np.zeros((3, *grid.shape), np.float32), np.zeros(grid.shape)
    for phase in phases:
        hu = phase.sampled.hu + np.where(phase.sampled.body, np.float32(site.ct_offset_hu), 0)
        density += matter(hu) * phase.sampled.body / len(phases)
        activity += activity_mbq(patient, phase, volumes_ml, acquisition.hours, counted) / len(phases)
    return Scene(density, activity, still.sampled.body, grid)
