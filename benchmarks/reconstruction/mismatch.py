"""What the reconstruction does not know: every draw by which a test case differs from the chain's model of it.

A variant is a set of factors that are switched on. All draws are made whatever the variant, so that switching one
factor changes nothing else; a factor that is off takes its neutral value.
"""

from dataclasses import dataclass, replace

import numpy as np

from planardose.anatomy.phantom import Pose, density_of_hu
from planardose.library import Camera
from planardose.seeds import rng_for

FACTORS = (
    "sensitivity", "detector", "window_drift", "ct_numbers", "matter", "head_distance", "couch", "arms", "breathing",
    "pose", "segmentation", "uptake",
)  # fmt: skip
VARIANTS = {
    "matched": frozenset(),
    "aligned": frozenset(FACTORS) - {"pose"},
    "mismatched": frozenset(FACTORS),
}
SENSITIVITY, DETECTOR = 0.05, 0.05  # relative, either way
DRIFT_KEV, CT_OFFSET_HU, DISTANCE_MM = 2.0, 20.0, 10.0
COUCH_MM = (0.5, 2.0)  # aluminium; the catalogue's couch has 1 mm
BREATHING_MM = (5.0, 15.0)  # peak to peak, along z
SHIFT_MM, SHIFT_AP_MM, TURN_DEG, TILT_DEG = 15.0, 5.0, 3.0, 1.0
OUTSIDE_PRIOR, OUTSIDE_CLASSES = (2.5, 4.0), 3  # factor on the concentration, up or down, of so many organs


@dataclass(frozen=True)
class Site:
    """Of one anatomy: camera, couch, CT numbers, arms, and how far breathing moves the liver.

    Parameters
    ----------
    sensitivity, intrinsic, energy : float
        True over catalogue: counts, intrinsic FWHM, energy resolution.
    couch_mm : float or None
        Aluminium; None for the catalogue's.
    ct_offset_hu : float
        True CT number of tissue less the one in the CT.
    two_lines : bool
        Tissue is made from its CT number by `two_line_matter` instead of the chain's relation.
    arms : bool
        Beside the body in the planar images; the CT never has them.
    breathing_mm, ct_phase : float
        Peak to peak, and where in the breath the CT was taken (0 to 1).
    segmentation, uptake : bool
    """

    sensitivity: float = 1.0
    intrinsic: float = 1.0
    energy: float = 1.0
    couch_mm: float | None = None
    ct_offset_hu: float = 0.0
    two_lines: bool = False
    arms: bool = False
    breathing_mm: float = 0.0
    ct_phase: float = 0.0
    segmentation: bool = False
    uptake: bool = False

    def camera(self, catalogue: Camera) -> Camera:
        """The camera as it really is."""
        return replace(
            catalogue, intrinsic_fwhm_mm=catalogue.intrinsic_fwhm_mm * self.intrinsic,
            energy_resolution=catalogue.energy_resolution * self.energy,
        )  # fmt: skip


@dataclass(frozen=True)
class Shot:
    """Of one acquisition: pose, drift of the energy windows (keV), error of the told distance of both faces (mm)."""

    pose: Pose
    drift_kev: float
    distance_mm: tuple[float, float]


def draw_site(seed: int, name: str, factors: frozenset[str]) -> Site:
    """Draws of the anatomy `name` with root seed `seed`."""
    rng = rng_for(seed, "reconstruction benchmark site", name)
    drawn = {
        "sensitivity": {"sensitivity": 1 + rng.uniform(-SENSITIVITY, SENSITIVITY)},
        "detector": {"intrinsic": 1 + rng.uniform(-DETECTOR, DETECTOR), "energy": 1 + rng.uniform(-DETECTOR, DETECTOR)},
        "couch": {"couch_mm": rng.uniform(*COUCH_MM)},
        "ct_numbers": {"ct_offset_hu": rng.uniform(-CT_OFFSET_HU, CT_OFFSET_HU)},
        "breathing": {"breathing_mm": rng.uniform(*BREATHING_MM), "ct_phase": rng.uniform()},
        "arms": {"arms": bool(rng.integers(2))},
        "matter": {"two_lines": True},
        "segmentation": {"segmentation": True},
        "uptake": {"uptake": True},
    }
    return Site(**{k: v for factor, values in drawn.items() if factor in factors for k, v in values.items()})


def draw_shot(seed: int, name: str, sample: int, factors: frozenset[str]) -> Shot:
    """Draws of acquisition `sample` of the anatomy `name`: shift in a disc of `SHIFT_MM`, turn in the coronal plane."""
    rng = rng_for(seed, "reconstruction benchmark shot", name, sample)
    length, direction = rng.uniform(0.0, SHIFT_MM), rng.uniform(0.0, 2 * np.pi)
    shift = (length * np.cos(direction), rng.uniform(-SHIFT_AP_MM, SHIFT_AP_MM), length * np.sin(direction))
    turn = (rng.uniform(-TILT_DEG, TILT_DEG), rng.uniform(-TURN_DEG, TURN_DEG), rng.uniform(-TILT_DEG, TILT_DEG))
    pose = Pose(tuple(float(v) for v in shift), tuple(float(v) for v in turn))
    drift, error = float(rng.uniform(-DRIFT_KEV, DRIFT_KEV)), rng.uniform(-DISTANCE_MM, DISTANCE_MM, 2)
    return Shot(
        pose if "pose" in factors else Pose(),
        drift if "window_drift" in factors else 0.0,
        (float(error[0]), float(error[1])) if "head_distance" in factors else (0.0, 0.0),
    )


def outside_prior(curves: dict, classes: list[str], seed: int, name: str) -> dict:
    """Curves with the concentration of some organs far from what the tracer's priors expect."""
    rng = rng_for(seed, "reconstruction benchmark uptake", name)
    chosen = rng.choice(sorted(classes), OUTSIDE_CLASSES, replace=False)
    factors = {c: float(np.exp(rng.choice((-1.0, 1.0)) * np.log(rng.uniform(*OUTSIDE_PRIOR)))) for c in chosen}
    return {c: (factors.get(c, 1.0) * a, rates) for c, (a, rates) in curves.items()}


def two_line_matter(hu: np.ndarray) -> np.ndarray:
    """(3, ...) float32 g/mL of `patient_model.MATERIALS` by another relation than the chain's stoichiometric one.

    Density: `density_of_hu`, two lines through water and bone of 1.9 g/mL at 1500 HU. Composition: adipose from -200 to
    -30 HU, above 100 HU a share of bone that grows to all at 1500 HU, soft tissue (and lung) elsewhere.
    """
    hu = np.asarray(hu, dtype=np.float32)
    bone = np.clip((hu - 100) / 1400, 0, 1)
    adipose = ((hu > -200) & (hu < -30)).astype(np.float32)
    return np.stack([adipose, 1 - adipose - bone, bone]) * density_of_hu(hu)
