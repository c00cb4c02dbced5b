"""How well a simulated SPECT, reconstructed by our OSEM, recovers what was in it.

    python -m benchmarks.spect.recover --seed 5101 --patients 2

Demo patients at about 24 h: 60 views by the Monte Carlo with noise on 8 mm voxels and the site's true camera;
OSEM on 10 mm with the catalogue's camera, attenuation from the SPECT/CT's noisy CT, modelled scatter. Per patient:
total over the truth's in the field (the SPECT's own calibration is 3 % uncertain), scores, and per organ wholly in the
field the activity inside its true outline over the true one: what blur carries out is missing.
"""

import argparse
import time

import numpy as np

from planardose.commands.make_demo import SPECT_HOURS
from planardose.demo.images import true_camera
from planardose.demo.patient import anatomy_on, draw_patient, truth_of
from planardose.demo.spect import DemoSpect, SpectSettings, pose_of, spect_of
from planardose.organs import is_lesion
from planardose.overlap import collected
from planardose.recon.scores import map_scores
from planardose.units import BQ_PER_MBQ

WHOLE = 0.99  # of an organ in the field


def organ_ratios(spect: DemoSpect, patient, acquisition, seed: int) -> dict[str, tuple[float, float]]:
    """Organ -> (volume in mL, activity inside its outline over the true one)."""
    fine, grid = spect.truth.grid, spect.volume.grid
    anatomy = anatomy_on(patient, fine, pose_of(patient, acquisition, seed))
    out = {}
    for n, name in enumerate(anatomy.classes):
        mask = anatomy.sampled.body & (anatomy.index == n)
        volumes = collected(mask, fine, grid)
        whole = mask.sum() * fine.voxel_ml
        if whole > 0 and volumes.sum() >= WHOLE * whole:
            true = float(spect.truth.data[mask].sum()) * fine.voxel_ml
            out[name] = (whole, float((spect.volume.data * volumes).sum()) / true)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=5101)
    parser.add_argument("--patients", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=SpectSettings.iterations)
    options = parser.parse_args()
    settings = SpectSettings(iterations=options.iterations)
    for number in range(1, options.patients + 1):
        truth = truth_of(draw_patient(options.seed, number))
        patient = truth.patient
        acquisition = min(patient.acquisitions, key=lambda a: abs(a.hours - SPECT_HOURS))
        volumes = dict(zip(truth.anatomy.classes, truth.volume_ml.tolist(), strict=True))
        start = time.process_time()
        spect = spect_of(patient, volumes, acquisition, true_camera(options.seed), options.seed, settings)
        seconds = time.process_time() - start
        there = collected(spect.truth.data, spect.truth.grid, spect.volume.grid) / spect.volume.grid.voxel_ml
        scores = map_scores(spect.volume.data, there, there > 0)
        held = float(there.sum()) * spect.volume.grid.voxel_ml / BQ_PER_MBQ
        print(f"{patient.pseudonym} {acquisition.name}: {held:.0f} MBq in the field, total x "
              f"{spect.volume.data.sum() / there.sum():.3f}, MAE {scores['mae']:.3f}, NRMSE {scores['nrmse']:.3f}, "
              f"SSIM {scores['ssim']:.4f}, {seconds:.0f} s of one core")  # fmt: skip
        found = organ_ratios(spect, patient, acquisition, options.seed)
        lesions = [r for o, (_, r) in found.items() if is_lesion(o)]
        for organ, (ml, ratio) in found.items():
            if ml > 100 and not is_lesion(organ):
                print(f"  {organ:16} {ml:7.0f} mL  {ratio:.3f}")
        print(f"  {len(lesions)} lesions: median {np.median(lesions):.2f}" if lesions else "  no lesion in the field")


if __name__ == "__main__":
    main()
