"""Photon energy per decay in organs of a synthetic patient, cross doses both ways, and speed beside imaging.

    python benchmarks/dose/organs.py --photons 1e6 --nuclide 177Lu

Orientation from the literature for 177Lu (OpenDose and others): self kidney 2.7 to 3.0 keV per decay, liver 6 to 7. The
last column is what photons would add to an organ's self-dose, as % of the electrons' (`missing_self_percent` in
``data/dosimetry.yaml``).
"""

import argparse
import time

import numpy as np

from planardose.anatomy.materials import partial_density_from_hu
from planardose.anatomy.phantom import draw_phantom
from planardose.heads import opposed_heads
from planardose.image import Grid
from planardose.library import load_camera, load_nuclide
from planardose.organs import label_of_name
from planardose.sim.montecarlo import simulate
from planardose.sim.photon_dose import photon_dose

ORGANS = ("kidney_right", "kidney_left", "liver", "spleen")
VOXEL_MM, AROUND_MM, REPEATS = 6.0, 20.0, 3


def patient(seed: int) -> tuple[np.ndarray, np.ndarray, Grid]:
    """Partial densities (3, I, J, K), organ masks (R, I, J, K) and grid of a synthetic patient."""
    phantom = draw_phantom(np.random.default_rng(seed))
    low, high = phantom.extent_mm(AROUND_MM)
    grid = Grid.covering(low, high, VOXEL_MM)
    sampled = phantom.on_grid(grid)
    density = (partial_density_from_hu(sampled.hu) * sampled.body).astype(np.float32)
    return density, np.stack([sampled.labels == label_of_name()[n] for n in ORGANS]), grid


def cpu_seconds(work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photons", type=float, default=1e6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nuclide", default="177Lu")
    arguments = parser.parse_args()
    density, organs, grid = patient(arguments.seed)
    nuclide, camera = load_nuclide(arguments.nuclide), load_camera("siemens_symbia_melp")
    masses = (organs * density.sum(axis=0)).sum(axis=(1, 2, 3)) * grid.voxel_ml
    print("source          target          mass g   keV/decay       keV/decay/g, error %   % of electrons")
    for name, source in zip(ORGANS, organs, strict=True):
        dose = photon_dose(density, source, grid, nuclide.lines, arguments.photons, arguments.seed, organs)
        for target, mass, kev, error in zip(
            ORGANS, masses, dose.region_kev_per_decay, dose.region_error_kev, strict=True
        ):
            own = f"{100 * kev / nuclide.electron_kev:14.1f}" if target == name else ""
            print(f"{name:15s} {target:15s} {mass:6.0f} {kev:10.4f} {kev / mass:18.3e} {100 * error / kev:8.1f} {own}")
    source = organs.any(axis=0).astype(float)
    low, high = grid.bounds_mm()
    heads, ratios = opposed_heads((high[1] + 10.0, low[1] - 10.0)), []
    for seed in range(REPEATS):
        there = cpu_seconds(lambda: photon_dose(density, source, grid, nuclide.lines, arguments.photons, seed))  # noqa: B023
        here = cpu_seconds(lambda: simulate(density, source, grid, camera, nuclide, (nuclide.photopeak,), heads,
                                            arguments.photons, seed))  # noqa: B023
        ratios.append((arguments.photons / there, there / here))
    rate, ratio = np.median(ratios, axis=0)
    print(f"{rate / 1e6:.2f} million photons per second and core; time of dose mode over imaging {ratio:.2f}")


if __name__ == "__main__":
    main()
