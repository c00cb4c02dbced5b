"""Fit the numbers of ``data/physics/patient_scatter.yaml`` to the Monte Carlo on synthetic patients.

    python benchmarks/scatter/fit.py --patients 3 --uptakes 2 --histories 2e6

Prints, per patient and uptake, modelled over true photopeak scatter for several path attenuations, and true scatter
over the triple-energy-window estimate; then the path attenuation that makes the mean ratio 1.
"""

import argparse
from pathlib import Path

import numpy as np

from planardose.anatomy.build import build_model
from planardose.anatomy.phantom import draw_phantom
from planardose.heads import face_positions_mm
from planardose.image import Grid, Volume
from planardose.library import load_camera, load_nuclide
from planardose.patient_model import PatientModel
from planardose.recon.projector import Projector
from planardose.recon.scatter import kernel
from planardose.sim.activity import activity_map
from planardose.sim.montecarlo import simulate_views
from planardose.sim.tracer import load_tracer
from planardose.sim.uptake import draw_samples

ATTENUATIONS = (0.4, 0.55, 0.7, 0.85, 1.0)
CT_MM, GRID_MM, INJECTED_MBQ = 5.0, 10.0, 7400.0


def patient(seed: int) -> PatientModel:
    """Patient model of a synthetic anatomy."""
    phantom = draw_phantom(np.random.default_rng(seed))
    low, high = phantom.extent_mm(20.0)
    shape = tuple(int(n) for n in np.ceil((high - low) / CT_MM))
    grid = Grid.axis_aligned(shape, CT_MM, low + CT_MM / 2)
    sampled = phantom.on_grid(grid)
    return build_model(Volume(sampled.hu, grid, "CT", "HU"), Volume(sampled.labels, grid, "labels", "1"), GRID_MM)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=3)
    parser.add_argument("--uptakes", type=int, default=2)
    parser.add_argument("--histories", type=float, default=2e6)
    parser.add_argument("--camera", default="siemens_symbia_melp")
    given = parser.parse_args()
    camera, nuclide = load_camera(given.camera), load_nuclide("177Lu")
    windows, rows = (nuclide.photopeak, *nuclide.scatter_windows), []
    for seed in range(1, given.patients + 1):
        model = patient(seed)
        faces = face_positions_mm(model, None)
        projector = Projector(model, camera, nuclide, faces)
        table = draw_samples(
            model, load_tracer("177Lu-PSMA-617"), nuclide, INJECTED_MBQ, given.uptakes, 0, 0.0, seed, ""
        )
        for row in table.to_dict("records"):
            activity = activity_map(model, row)
            setting = (model.partial_density, activity, model.grid, camera, nuclide, windows, faces)
            views = simulate_views(*setting, given.histories, seed)
            true = float((views.rate[:, 0] - views.primary[:, 0]).sum())
            energy_windows = float((views.rate[:, 1] + views.rate[:, 2]).sum()) * nuclide.photopeak.width_kev / 2
            energy_windows /= nuclide.scatter_windows[0].width_kev
            ratios = []
            for share in ATTENUATIONS:
                projector.scatter_kernel = kernel(camera, nuclide, (GRID_MM,) * 3, share)
                ratios.append(projector.scatter(activity).sum() / true)
            rows.append([*ratios, true / energy_windows])
            print(seed, int(row["sample"]), np.round(rows[-1], 4).tolist(), flush=True)
    mean = np.mean(rows, axis=0)
    fitted = float(np.interp(-1.0, -mean[:-1], ATTENUATIONS))
    print(f"path_attenuation {fitted:.3f}, energy_window_share {mean[-1]:.3f}  ({Path(__file__).name}, {given})")


if __name__ == "__main__":
    main()
