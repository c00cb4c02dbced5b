"""Who is judged: splits that share no seed, patients of the phantom family, their acquisitions and uptake."""

from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from benchmarks.reconstruction.mismatch import VARIANTS, Shot, Site, draw_shot, draw_site, outside_prior
from benchmarks.reconstruction.scene import scene_grid

from planardose.anatomy.phantom import Phantom, draw_phantom
from planardose.demo.patient import CAMERA, CT_SPACING_MM, Acquisition, DemoPatient, draw_patient
from planardose.library import load_camera
from planardose.organs import OUTSIDE_CT, REMAINDER, is_lesion
from planardose.seeds import rng_for

# Root seeds: split's first one + S. Nothing else in the repository uses seeds of this size.
FIRST_SEED = {"training": 1_000_000, "validation": 2_000_000, "test": 3_000_000}
SEEDS_PER_SPLIT = 1_000_000
BASE_SEED = 2026  # of a patient's virtual data, which all training seeds share
NOMINAL_HOURS = (4.0, 96.0, 24.0, 168.0)  # in this order, every other anatomy from 24 h on
PER_CYCLE, CYCLE_DAYS, CYCLE_SPREAD = 4, 42, 0.25  # spread: of the logarithm of a class's uptake between cycles
SIM_MM = 5.0  # voxels of the simulated images: half the chain's default
UNUSUAL_EVERY = 4  # every fourth anatomy lies outside the family's ranges


def root_seed(split: str, seed: int = 0) -> int:
    """Root seed of a split; `seed` is ``--test-seed`` (0 to 999999).

    Raises
    ------
    ValueError
        For an unknown split or a seed outside its range, which would reach into another split.
    """
    if split not in FIRST_SEED or not 0 <= seed < SEEDS_PER_SPLIT:
        expected = f"one of {list(FIRST_SEED)} and 0 to {SEEDS_PER_SPLIT - 1}"
        raise ValueError(f"split {split}, seed {seed}: expected {expected}")
    return FIRST_SEED[split] + seed


@dataclass(frozen=True)
class Case:
    """An anatomy with its acquisitions in one variant; a pure function of its five values.

    Parameters
    ----------
    split : str
        Key of `FIRST_SEED`.
    seed : int
        Within the split.
    number : int
        Of the anatomy, from 1.
    variant : str
        Key of `mismatch.VARIANTS`.
    samples : int
        Acquisitions; fewer are the first ones of more.
    """

    split: str
    seed: int
    number: int
    variant: str
    samples: int

    @property
    def root(self) -> int:
        return root_seed(self.split, self.seed)

    @property
    def name(self) -> str:
        """Pseudonym: the same in all variants, so that their draws are."""
        return f"P{self.number:02d}"

    @property
    def factors(self) -> frozenset[str]:
        return VARIANTS[self.variant]

    @property
    def unusual(self) -> bool:
        return self.number % UNUSUAL_EVERY == 0

    def site(self) -> Site:
        return draw_site(self.root, self.name, self.factors)

    def shot(self, sample: int) -> Shot:
        return draw_shot(self.root, self.name, sample, self.factors)

    def phantom(self, arms: bool = False) -> Phantom:
        """The anatomy; `arms` adds them and changes nothing else."""
        rng = rng_for(self.root, "reconstruction benchmark anatomy", self.name)
        known, hidden = int(rng.integers(2, 4)), int(rng.integers(2, 5))
        return draw_phantom(rng, known, hidden, arms, self.unusual)

    def hours(self, sample: int) -> float:
        """Mid-time of an acquisition after the injection of its cycle."""
        nominal = NOMINAL_HOURS[(sample + 2 * (self.number % 2)) % len(NOMINAL_HOURS)]
        rng = rng_for(self.root, "reconstruction benchmark hours", self.name, sample)
        return nominal * float(rng.uniform(0.95, 1.05))

    def cycles(self, ct_mm: tuple[float, float, float] = CT_SPACING_MM) -> list[DemoPatient]:
        """The patient once per treatment cycle, with the acquisitions of that cycle; CT voxels of `ct_mm`."""
        patient = draw_patient(self.root, self.number, ct_mm, self.phantom())
        curves = patient.curves
        if self.site().uptake:
            organs = [c for c in curves if not is_lesion(c) and c not in (REMAINDER, OUTSIDE_CT)]
            curves = outside_prior(curves, organs, self.root, self.name)
        out = []
        for first in range(0, self.samples, PER_CYCLE):
            cycle, last = first // PER_CYCLE, min(first + PER_CYCLE, self.samples)
            rng = rng_for(self.root, "reconstruction benchmark cycle", self.name, cycle)
            change = {c: float(np.exp(CYCLE_SPREAD * rng.standard_normal())) if cycle else 1.0 for c in curves}
            shots = tuple(
                Acquisition(f"s{n + 1:02d}-t{self.hours(n):.0f}", self.hours(n), self.shot(n).pose)
                for n in range(first, last)
            )
            out.append(replace(
                patient, curves={c: (change[c] * a, rates) for c, (a, rates) in curves.items()}, acquisitions=shots,
                injected_at=patient.injected_at + timedelta(days=CYCLE_DAYS * cycle),
            ))  # fmt: skip
        return out

    def on_ct(self, timepoint: str, u_mm: np.ndarray, v_mm: np.ndarray) -> np.ndarray:
        """(N, 2) true RAS (x, z) of image points (u, v) in mm from the image's centre, at the depth of y = 0."""
        patient = next(c for c in self.cycles() if any(a.name == timepoint for a in c.acquisitions))
        grid = scene_grid(patient, self.phantom(self.site().arms), load_camera(CAMERA).pixel_mm, SIM_MM)
        low, high = patient.grid.bounds_mm()
        centre = float(np.mean(grid.axis_mm(0))), 0.5 * float(low[2] + high[2])
        room = np.stack([u_mm + centre[0], np.zeros_like(u_mm), v_mm + centre[1]], axis=1)
        return self.shot(int(timepoint[1:3]) - 1).pose.to_patient(room)[:, [0, 2]]
