"""QPlanar and QPlanar + MLEM on Monte Carlo views: what the analytic projector's disagreement costs in activity.

    python -m benchmarks.projector.qplanar

Synthetic patients with drawn uptakes (texture and hidden lesions included), penetration on, exact anatomy and head
positions, Poisson noise. Prints the error of large organs and lungs, of the total activity, and of the map.
"""

import argparse

import numpy as np
from benchmarks.cases import administered, patient

from planardose.heads import face_positions_mm, opposed_heads
from planardose.library import load_camera, load_nuclide
from planardose.recon.acquired import acquired_from
from planardose.recon.mlem import mlem
from planardose.recon.projector import Projector
from planardose.recon.qplanar import qplanar, with_modelled_scatter
from planardose.sim.activity import activity_map
from planardose.sim.montecarlo import simulate
from planardose.sim.uptake import CONCENTRATION, draw_samples
from planardose.units import MBQ_PER_KBQ

FIRST_SEED, UPTAKES, DRAWS, EXPOSURE_S, MLEM_ITERATIONS = 21, 3, 3, 145.0, 4
ORGANS = ("liver", "kidney_left", "kidney_right", "spleen", "lungs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=3)
    parser.add_argument("--histories", type=float, default=3e6, help="per uptake")
    parser.add_argument("--camera", default="siemens_symbia_melp")
    given = parser.parse_args()
    camera, nuclide = load_camera(given.camera), load_nuclide("177Lu")
    windows, errors, totals, maps = (nuclide.photopeak, *nuclide.scatter_windows), [], [], []
    for seed in range(FIRST_SEED, FIRST_SEED + given.patients):
        model = patient(seed)
        faces, volumes, body = face_positions_mm(model, None), model.volumes_ml(), model.body
        projector = Projector(model, camera, nuclide, faces)
        responses = projector.organ_responses(model.fractions)
        organs = [model.organs.index(o) for o in ORGANS if o in model.organs]
        table = draw_samples(model, administered(nuclide), UPTAKES, 0, 0.0, seed, "")
        for n, row in enumerate(table.to_dict("records")):
            activity = activity_map(model, row)
            true = volumes * [row[CONCENTRATION + o] * MBQ_PER_KBQ for o in model.organs]
            setting = (model.partial_density, activity, model.grid, camera, nuclide, windows)
            expected = simulate(*setting, opposed_heads(faces), given.histories, 500 + n).rate * EXPOSURE_S
            for draw in range(DRAWS):
                counts = np.random.default_rng(draw).poisson(expected).astype(np.float64)
                step = float(model.grid.spacing_mm[0])
                acquired = acquired_from(counts, windows, EXPOSURE_S, nuclide, step)
                fit = qplanar(projector, model, acquired, responses)
                modelled = with_modelled_scatter(acquired, fit, responses)
                found = mlem(projector, modelled, fit.map(model), MLEM_ITERATIONS)
                errors.append((fit.concentrations * volumes)[organs] / true[organs] - 1)
                totals.append((fit.concentrations * volumes).sum() / activity.sum() - 1)
                off, mean = (found - activity)[body], activity[body].mean()
                maps.append([np.abs(off).mean() / mean, np.sqrt((off**2).mean()) / mean])
    errors = np.array(errors)
    print(f"{len(totals)} acquisitions of {given.patients} patients; organ errors of QPlanar, median and mean:")
    for name, column in zip(ORGANS, errors.T, strict=True):
        print(f"  {name:14}{100 * np.median(column):+6.1f} % {100 * column.mean():+6.1f} %")
    print(f"median absolute error {100 * np.median(np.abs(errors)):.2f} %, total {100 * np.mean(totals):+.2f} +- "
          f"{100 * np.std(totals):.2f} %; QPlanar + MLEM MAE {np.mean(maps, axis=0)[0]:.4f}, "
          f"NRMSE {np.mean(maps, axis=0)[1]:.4f}")  # fmt: skip


if __name__ == "__main__":
    main()
