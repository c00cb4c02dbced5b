"""How much of what blur does to a patient's SPECTs is the same at all time points: `shared` in `data/spect.yaml`.

    python -m benchmarks.spect.shared --seed 5101 --patients 6

Demo patients with perturbed segmentations. At every time point the true map is blurred by a Gaussian, given correlated
noise, and its organs are recovered as `spect-activity` does it. The errors, over the activity that the blur moved, of
organs seen at three time points or more are split into a part that all time points of a patient have in common and the
rest. How often the truth of an organ recovered as empty lies inside its uncertainty is printed too.
"""

import argparse

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

from planardose.anatomy.build import build_model
from planardose.config import Config
from planardose.demo.images import perturbed_labels
from planardose.demo.patient import concentrations_kbq_ml, draw_patient, truth_of
from planardose.image import Volume
from planardose.recon.blur_recovery import recovered
from planardose.recon.emission import OnGrid, estimated_fwhm_mm, on_grid, smoothed
from planardose.recon.organ_totals import in_ct
from planardose.steps.spect_activity import WHOLE, spect_uncertainty
from planardose.units import BQ_PER_MBQ

FWHM_MM, NOISE, NOISE_FWHM_MM = 15.0, 0.3, 9.0  # of the image; its noise as white one of that size, smoothed
LEAST_MBQ, LEAST_TIMES = 0.3, 3
OUTLIER = 1.0  # errors of more than the moved activity count as that: organs that the blur hides


def organs_of(seed: int, number: int) -> pd.DataFrame:
    """True and recovered activity, moved activity and uncertainty of the organs of one patient at all times, MBq."""
    truth = truth_of(draw_patient(seed, number))
    patient, sampled, grid = truth.patient, truth.anatomy.sampled, truth.patient.grid
    known = np.isin(sampled.labels, [x.label for x in patient.phantom.lesions if x.known])
    labels = np.where(known, sampled.labels, perturbed_labels(patient, truth, seed))
    ct = Volume(sampled.hu, grid, "CT number", "HU")
    model = build_model(ct, Volume(labels, grid, "label", "1"), Config().grid_mm, patient.pseudonym)
    volumes = dict(zip(truth.anatomy.classes, truth.volume_ml.tolist(), strict=True))
    tables = []
    for n, acquisition in enumerate(patient.acquisitions):
        mean = concentrations_kbq_ml(patient, truth.anatomy.classes, acquisition.hours)
        white = np.random.default_rng([seed, number, n]).standard_normal(grid.shape)
        noise = 1.0 + NOISE * gaussian_filter(white, NOISE_FWHM_MM / 2.355 / grid.spacing_mm)
        image = np.maximum(smoothed(truth.map_of(mean) * 1e3, FWHM_MM, grid) * noise, 0.0)
        found = on_grid(Volume(image, grid, "activity concentration", "Bq/mL"), model.grid)
        of_ct = OnGrid(in_ct(model, found.per_ml), in_ct(model, found.covered))
        per_voxel = found.per_ml * (model.grid.voxel_ml / BQ_PER_MBQ)
        organs = recovered(found, model, estimated_fwhm_mm(of_ct, model), per_voxel)
        true = {c: float(m) * volumes[c] * 1e-3 for c, m in zip(truth.anatomy.classes, mean, strict=True)}
        table = pd.DataFrame({
            "patient": patient.pseudonym, "organ": model.organs, "time": acquisition.name, "found": organs.mbq,
            "spilt": organs.spilt_mbq, "u": spect_uncertainty(organs.mbq, organs).total_mbq,
            "true": [true.get(o, np.nan) for o in model.organs],
        })  # fmt: skip
        tables.append(table[(organs.share >= WHOLE) & (table.true > 0)])
    return pd.concat(tables)


def shared_part(table: pd.DataFrame) -> tuple[float, int]:
    """Part of the variance of the relative error that the time points of a patient have in common; number of errors."""
    seen = table[table.true > LEAST_MBQ].assign(e=lambda t: ((t.found - t.true) / t.spilt).clip(-OUTLIER, OUTLIER))
    seen = seen.groupby(["patient", "organ"]).filter(lambda g: len(g) >= LEAST_TIMES)
    groups = seen.groupby(["patient", "organ"]).e
    within = float(((seen.e - groups.transform("mean")) ** 2).sum() / (len(seen) - groups.ngroups))
    return 1.0 - within / float((seen.e**2).mean()), len(seen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=5101)
    parser.add_argument("--patients", type=int, default=6)
    options = parser.parse_args()
    table = pd.concat([organs_of(options.seed, n) for n in range(1, options.patients + 1)], ignore_index=True)
    shared, number = shared_part(table)
    print(f"shared {shared:.2f} of the variance of {number} errors")
    empty = table[table.found < 1e-3 * table.true]
    held = ", ".join(f"{(empty.true < n * empty.u).mean():.2f} inside {n} u" for n in (1, 2))
    print(f"{len(empty)} of {len(table)} recovered as empty: {held}")


if __name__ == "__main__":
    main()
