"""Dead time of a camera with other nuclides, or another collimator, than it was measured with.

    python -m benchmarks.dead_time.rates --histories 2e4
    python -m benchmarks.dead_time.rates --histories 2e4 --camera siemens_symbia_he

A dead time on the rate of primary photons in a window holds all events that make the camera deaf, in whatever window
they fall. Prints, per nuclide, events above 40 keV over the photopeak's rate less the scatter that the windows beside
it tell, as the chain takes it for that of the primary photons (synthetic patients, drawn uptakes, Monte Carlo), and the
dead time measured with 177Lu times the ratio of the two: what a detector is deaf after one event is taken to be the
same behind every collimator. Then the same of a source in air, where little scatters.
"""

import argparse

import numpy as np
from benchmarks.cases import patient, uptakes

from planardose.heads import face_positions_mm, opposed_heads
from planardose.library import HIGHEST_LINE_KEV, LOWEST_IMAGED_KEV, Camera, Nuclide, load_camera, load_nuclide
from planardose.physics.scatter_windows import primary_weights
from planardose.physics.sensitivity import air_sensitivity_cps_per_mbq
from planardose.planar import EnergyWindow
from planardose.sim.montecarlo import simulate

ALL = EnergyWindow(LOWEST_IMAGED_KEV, HIGHEST_LINE_KEV)
FIRST_SEED = 11
MEASURED_WITH = "177Lu"


def over_primaries(camera: Camera, nuclide: Nuclide, patients: int, histories: float) -> tuple[list[float], float]:
    """Events above 40 keV over the photopeak's rate less its scatter: one per synthetic patient, and in air."""
    windows = (nuclide.photopeak, *nuclide.scatter_windows)
    weights, ratios = primary_weights(windows, 0, nuclide), []
    for seed in range(FIRST_SEED, FIRST_SEED + patients):
        model = patient(seed)
        heads = opposed_heads(face_positions_mm(model, None))
        for activity in uptakes(model, nuclide, seed, 1):
            setting = (model.partial_density, activity, model.grid, camera, nuclide, (*windows, ALL))
            views = simulate(*setting, heads, histories, seed)
            *beside, events = views.rate.sum(axis=(0, 2, 3))
            ratios.append(float(events / (weights @ beside)))
    *beside, events = (air_sensitivity_cps_per_mbq(camera, nuclide, w) for w in (*windows, ALL))
    return ratios, float(events / (weights @ beside))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--camera", default="siemens_symbia_melp", help="of the dead times to compute")
    parser.add_argument("--measured", default="siemens_symbia_melp", help="with whose collimator one was measured")
    parser.add_argument("--nuclides", nargs="+", default=["177Lu", "99mTc", "123I", "111In", "161Tb", "131I"])
    parser.add_argument("--patients", type=int, default=1)
    parser.add_argument("--histories", type=float, default=1e5)
    given = parser.parse_args()
    camera, measured, first = load_camera(given.camera), load_camera(given.measured), load_nuclide(MEASURED_WITH)
    known, _ = over_primaries(measured, first, given.patients, given.histories)
    us = measured.tau_in(first.photopeak, first) / float(np.mean(known))
    print(f"{measured.name}, {first.name}: events over primaries' rate {np.mean(known):.2f}", flush=True)
    for nuclide in map(load_nuclide, given.nuclides):
        ratios, in_air = over_primaries(camera, nuclide, given.patients, given.histories)
        ratio = float(np.mean(ratios))
        print(f"{nuclide.name}: events over primaries' rate {ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f}), "
              f"dead time {us * ratio:.2f} us; in air {in_air:.2f}, {us * in_air:.2f} us", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
