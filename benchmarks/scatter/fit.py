"""Fit the numbers of ``data/physics/patient_scatter.yaml`` to the Monte Carlo on synthetic patients.

    python -m benchmarks.scatter.fit
    python -m benchmarks.scatter.fit --nuclide 161Tb --surroundings 25

The surroundings are those with the least spread (root mean square of the logarithm) of modelled over true photopeak
scatter, over organs and views; every organ is a case of its own. Then true scatter over the triple-energy-window
estimate, for drawn uptakes. Prints the spread for each width tried, and the lines for the file.
"""

import argparse

import numpy as np
from benchmarks.cases import organ_views, patient, present_organs, uptakes

from planardose.heads import face_positions_mm, opposed_heads
from planardose.library import Camera, Nuclide, load_camera, load_nuclide
from planardose.patient_model import PatientModel
from planardose.recon.projector import Projector
from planardose.recon.scatter import ScatterParameters
from planardose.sim.montecarlo import simulate

SURROUNDINGS_MM = (15.0, 20.0, 25.0, 30.0)
UPTAKES = 2  # per patient


def log_ratios(
    model: PatientModel, true: np.ndarray, camera: Camera, nuclide: Nuclide, surroundings: tuple[float, ...]
) -> np.ndarray:
    """(S, O, 2) log of modelled over true scatter per surroundings (mm), organ and view."""
    faces, organs = face_positions_mm(model, None), present_organs(model)
    out = np.empty((len(surroundings), len(organs), 2))
    for s, surroundings_mm in enumerate(surroundings):
        projector = Projector(model, camera, nuclide, faces, scatter=ScatterParameters(surroundings_mm, {}))
        activity = model.fractions[organs].astype(np.float64) * model.grid.voxel_ml
        modelled = np.array([projector.scatter(x).sum(axis=(1, 2)) for x in activity])
        out[s] = np.log(modelled / true[:, 1].sum(axis=(2, 3)))
    return out


def window_shares(model: PatientModel, camera: Camera, nuclide: Nuclide, histories: float, seed: int) -> list[float]:
    """True photopeak scatter over the triple-energy-window estimate, whole images of drawn uptakes."""
    windows, faces = (nuclide.photopeak, *nuclide.scatter_windows), face_positions_mm(model, None)
    shares = []
    for activity in uptakes(model, nuclide, seed, UPTAKES):
        setting = (model.partial_density, activity, model.grid, camera, nuclide, windows)
        views = simulate(*setting, opposed_heads(faces), histories, seed)
        true = (views.rate[:, 0] - views.primary[:, 0]).sum()
        beside = sum(views.rate[:, n + 1].sum() / w.width_kev for n, w in enumerate(nuclide.scatter_windows))
        shares.append(float(true / (beside * nuclide.photopeak.width_kev / 2)))
    return shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=3)
    parser.add_argument("--histories", type=float, default=4e5, help="per organ and per uptake")
    parser.add_argument("--camera", default="siemens_symbia_melp")
    parser.add_argument("--nuclide", default="177Lu")
    parser.add_argument("--surroundings", type=float, nargs="*", default=SURROUNDINGS_MM, help="mm, to try")
    given = parser.parse_args()
    camera, nuclide, surroundings = load_camera(given.camera), load_nuclide(given.nuclide), tuple(given.surroundings)
    ratios, shares = [], []
    for seed in range(1, given.patients + 1):
        model = patient(seed)
        true = organ_views(model, camera, nuclide, given.histories, seed, penetration=True)
        ratios.append(log_ratios(model, true, camera, nuclide, surroundings))
        shares += window_shares(model, camera, nuclide, given.histories, seed)
    logs = np.concatenate(ratios, axis=1).reshape(len(surroundings), -1)
    report(logs, shares, surroundings, nuclide.name)


def report(logs: np.ndarray, shares: list[float], surroundings: tuple[float, ...], nuclide: str) -> None:
    """Print the fit from log ratios (S, cases)."""
    spreads = np.sqrt((logs**2).mean(axis=1))
    for surroundings_mm, spread, row in zip(surroundings, spreads, logs, strict=True):
        print(f"surroundings {surroundings_mm:g} mm: spread {spread:.4f}, mean {row.mean():+.4f}, "
              f"largest {np.abs(row).max():.3f}")  # fmt: skip
    print(f"{logs.shape[1]} cases (organ, view); energy-window share of {len(shares)} uptakes: "
          f"{np.mean(shares):.4f} +- {np.std(shares, ddof=1):.4f}")  # fmt: skip
    print(f"surroundings_mm: {surroundings[int(spreads.argmin())]:.1f}")
    print(f"energy_window_share: {{{nuclide}: {np.mean(shares):.3f}}}")


if __name__ == "__main__":
    main()
