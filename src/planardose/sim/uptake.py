"""Virtual uptakes: everything random about a sample is drawn here, into one row of a table, and used elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from planardose.image import Grid
from planardose.patient_model import PatientModel
from planardose.seeds import rng_for, seed_for
from planardose.sim.tracer import Prior, Tracer, exponentials_at
from planardose.units import MBQ_PER_KBQ, sphere_radius_mm

CONCENTRATION = "c_"  # prefix of the concentration columns, kBq/mL
HOURS_RANGE = (1.0, 168.0)  # hours after the injection, log-uniform: no time point of the sheet enters
LOG10_COUNTS_RANGE = (4.4, 6.7)  # photopeak counts per head, from MEGP at 168 h to MELP at 1-4 h
PRIOR_WEIGHT, FOCUS = "prior_weight", "f_"  # columns of a patient with a prior image
PRIOR_WEIGHTS = (0.4, 1.1)  # how much of the image's texture the therapy's uptake shares
PRIOR_UNLIKE = 0.15  # of the samples share nothing with it
FOCUS_SPREAD = 0.6  # standard deviation of the logarithm of a focus's excess: another tracer, another hour
FOCUS_GONE = 0.15  # of the foci are not there at the therapy
MAX_HIDDEN = 12
MOST_IN_BODY = 0.95  # of the administered activity, decay-corrected: priors of organs do not know of each other


@dataclass(frozen=True)
class Sphere:
    """A hidden lesion: centre in RAS mm (3,), radius in mm, concentration in kBq/mL."""

    centre_mm: tuple[float, float, float]
    radius_mm: float
    kbq_ml: float


def write_spheres(spheres: list[Sphere]) -> str:
    """One table cell: ``x:y:z:radius:kbq_ml`` joined by ``|``; empty text for none."""
    return "|".join(":".join(f"{v:.8g}" for v in (*s.centre_mm, s.radius_mm, s.kbq_ml)) for s in spheres)


def read_spheres(cell) -> list[Sphere]:
    """Inverse of `write_spheres`; an empty cell (text or NaN, as pandas reads it) is no lesion."""
    if not isinstance(cell, str) or not cell:
        return []
    values = [[float(v) for v in part.split(":")] for part in cell.split("|")]
    return [Sphere((v[0], v[1], v[2]), v[3], v[4]) for v in values]


@dataclass(frozen=True)
class Administered:
    """A tracer in a patient: `mbq` of it at the injection, decaying with the half-life of its nuclide."""

    tracer: Tracer
    half_life_h: float
    mbq: float

    def draw_curves(
        self, prior: Prior, count: int, rng: np.random.Generator
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Concentration curves of `count` organs of one group: (amplitudes in kBq/mL, rates per h) of exponentials.

        The logarithms of the concentration at the tracer's reference time and of the half-life are normal, correlated
        within the group by `prior.correlation`.
        """
        shared, own = rng.standard_normal(2), rng.standard_normal((count, 2))
        z = np.sqrt(prior.correlation) * shared + np.sqrt(1 - prior.correlation) * own
        reference = prior.kbq_ml_per_mbq[0] * np.exp(prior.kbq_ml_per_mbq[1] * z[:, 0]) * self.mbq
        biological = prior.biological_h[0] * np.exp(prior.biological_h[1] * z[:, 1])
        curves = [prior.curve(t, self.half_life_h) for t in biological]
        at_h = self.tracer.reference_h
        return [(c * a / exponentials_at(a, r, at_h), r) for c, (a, r) in zip(reference, curves, strict=True)]

    def share_allowed(self, total_mbq: float, hours: float) -> float:
        """Factor (at most 1) on all concentrations that keeps the body below `MOST_IN_BODY` of what is left of it."""
        most = MOST_IN_BODY * self.mbq * 0.5 ** (hours / self.half_life_h)
        return min(1.0, most / total_mbq) if total_mbq > 0 else 1.0


def _site_centre(fraction: np.ndarray, grid: Grid, rng: np.random.Generator) -> tuple[float, float, float]:
    cumulative = np.cumsum(fraction, dtype=np.float64)
    voxel = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
    index = np.array(np.unravel_index(min(voxel, cumulative.size - 1), grid.shape)) + rng.uniform(-0.5, 0.5, 3)
    point = grid.ras_from_voxel[:3, :3] @ index + grid.ras_from_voxel[:3, 3]
    return float(point[0]), float(point[1]), float(point[2])


def draw_hidden(model: PatientModel, given: Administered, hours: float, rng: np.random.Generator) -> list[Sphere]:
    """Hidden lesions of one sample: spheres centred in the site organs that the model has, inside the CT.

    Parameters
    ----------
    model : PatientModel
    given : Administered
        The tracer's `hidden` holds number, sites and volumes, its `lesions` the prior of their concentration.
    hours : float
        After the injection.
    rng : Generator

    Returns
    -------
    list of Sphere
        Empty where none is drawn, or the model has none of the sites.
    """
    hidden = given.tracer.hidden
    sites = [s for s in hidden.sites if s in model.organs]
    sites = [s for s in sites if model.fractions[model.organs.index(s), :, :, model.ct_slices].max() > 0.5]
    number = min(int(rng.poisson(hidden.mean_number)), MAX_HIDDEN)
    if not sites or number == 0:
        return []
    probability = np.array([hidden.sites[s] for s in sites])
    chosen = rng.choice(len(sites), size=number, p=probability / probability.sum())
    volumes = hidden.volume_ml[0] * np.exp(hidden.volume_ml[1] * rng.standard_normal(number))
    curves = given.draw_curves(given.tracer.lesions, number, rng)
    kbq_ml = [exponentials_at(*c, hours) for c in curves]
    grid = model.ct_grid
    return [
        Sphere(
            _site_centre(model.fractions[model.organs.index(sites[s])][:, :, model.ct_slices], grid, rng),
            sphere_radius_mm(float(np.clip(v, *hidden.volume_range_ml))),
            float(c),
        )
        for s, v, c in zip(chosen, volumes, kbq_ml, strict=True)
    ]


def _draw_concentrations(
    model: PatientModel, given: Administered, hours: float, rng: Callable[[str], np.random.Generator]
) -> dict[str, float]:
    """kBq/mL of every organ of the model, drawn group by group; `rng` gives each group its own generator."""
    members: dict[Prior, list[str]] = {}
    for organ in model.organs:
        members.setdefault(given.tracer.prior_of(organ), []).append(organ)
    drawn = {}
    for prior, organs in members.items():
        slots = prior.organs or tuple(organs)  # the whole group is drawn, whichever of its organs the model has
        curves = given.draw_curves(prior, len(slots), rng(prior.name))
        drawn |= {o: float(exponentials_at(*curves[slots.index(o)], hours)) for o in organs}
    total_mbq = float(np.dot([drawn[o] for o in model.organs], model.volumes_ml())) * MBQ_PER_KBQ
    share = given.share_allowed(total_mbq, hours)
    return {o: share * drawn[o] for o in model.organs}


def _draw_row(
    model: PatientModel, given: Administered, shift_mm: float, root: int, patient: str, sample: int
) -> dict:
    """All that is random about one sample; each part has its own generator, so that no draw moves another."""

    def rng(part: str) -> np.random.Generator:
        return rng_for(root, f"sample_uptake {part}", patient, sample)

    general, texture = rng("general"), given.tracer.texture
    hours = float(np.exp(general.uniform(*np.log(HOURS_RANGE))))
    row = {
        "hours": hours,
        "log10_counts": general.uniform(*LOG10_COUNTS_RANGE),
        "shift_x_mm": shift_mm * general.standard_normal(),
        "shift_z_mm": shift_mm * general.standard_normal(),
        "texture_seed": seed_for(root, "sample_uptake texture", patient, sample),
        "texture_cv": general.uniform(*texture.cv),
        "texture_mm": general.uniform(*texture.length_mm),
        "medulla": general.uniform(*texture.medulla),
        "fat": general.uniform(*texture.fat),
    }
    drawn = _draw_concentrations(model, given, hours, rng)
    row |= {CONCENTRATION + o: c for o, c in drawn.items()}
    spheres = draw_hidden(model, given, hours, rng("hidden"))
    return row | {"lesions": write_spheres(spheres)}


def with_prior(table: pd.DataFrame, contrasts: tuple[tuple[str, float], ...], root: int, patient: str) -> pd.DataFrame:
    """The table of `draw_samples` with columns for a prior image: prior_weight, and the excess ``f_<n>`` of each focus.

    Parameters
    ----------
    table : DataFrame
    contrasts : tuple of (str, float)
        Per focus the organ that it lies in, and its peak excess over that organ's mean in the image.
    root, patient
        As `draw_samples`.
    """
    rows = []
    for sample in table.to_dict("records"):
        rng = rng_for(root, "sample_uptake prior", patient, int(sample["sample"]))
        alike = rng.random() >= PRIOR_UNLIKE
        row = {PRIOR_WEIGHT: rng.uniform(*PRIOR_WEIGHTS) if alike else 0.0}
        for n, (organ, contrast) in enumerate(contrasts, start=1):
            drawn, there = np.exp(FOCUS_SPREAD * rng.standard_normal()), rng.random() >= FOCUS_GONE
            row[f"{FOCUS}{n}"] = float(sample[CONCENTRATION + organ] * contrast * drawn * (alike and there))
        rows.append(row)
    return pd.concat([table, pd.DataFrame(rows)], axis=1)


def draw_samples(
    model: PatientModel,
    given: Administered,
    samples: int,
    validation: int,
    shift_mm: float,
    root: int,
    patient: str,
) -> pd.DataFrame:
    """Table of virtual uptakes of one patient, one row per sample; the last `validation` rows are for validation.

    Parameters
    ----------
    model : PatientModel
    given : Administered
        Its activity scales all concentrations.
    samples, validation : int
    shift_mm : float
        Standard deviation of the residual misalignment per in-plane axis.
    root : int
        Root seed; a row depends on it, the patient and the sample's number only.
    patient : str
        Pseudonym.

    Returns
    -------
    DataFrame
        Columns: sample, split (``train`` | ``validation``), hours after injection, log10_counts (photopeak, per head),
        shift_x_mm, shift_z_mm, texture_seed, texture_cv, texture_mm (correlation length), medulla (ratio to cortex),
        fat (ratio to lean tissue in the same class),
        ``c_<organ>`` in kBq/mL for every organ of the model, lesions (see `read_spheres`).
    """
    rows = []
    for sample in range(samples):
        row = _draw_row(model, given, shift_mm, root, patient, sample)
        rows.append({"sample": sample, "split": "train" if sample < samples - validation else "validation"} | row)
    return pd.DataFrame(rows)
