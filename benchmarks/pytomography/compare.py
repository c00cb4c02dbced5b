"""Our projector and PyTomography's on one torso: agreement and time, side by side.

    make -C benchmarks/pytomography

Attenuated and blurred primaries of both views of a synthetic torso, one torch thread each. PyTomography's response is a
Gaussian, truncated at 3 sigma and sampled at pixel centres; it is given the width that our oracle has at each distance
(`physics.collimator.fwhm_mm`), our attenuation map and, since it has none, our sensitivity. The Monte Carlo's
primaries are the reference for both.
"""

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from benchmarks.cases import patient, uptakes

from planardose.heads import face_positions_mm, opposed_heads
from planardose.library import load_camera, load_nuclide
from planardose.physics.attenuation import mu_per_mm
from planardose.physics.collimator import fwhm_mm
from planardose.recon.projector import Projector
from planardose.sim.montecarlo import Options, simulate
from planardose.units import FWHM_PER_SIGMA

SEED, REPEATS, MM_PER_CM = 21, 15, 10.0
DISTANCES_MM = np.arange(0.0, 801.0, 10.0)


def median_s(call: Callable[[], object]) -> float:
    """Median time of `REPEATS` calls, s."""
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def square(array: np.ndarray, size: int) -> np.ndarray:
    """(I, J, K) turned to (y, x, z) and padded with zeros to (size, size, K), as PyTomography wants it."""
    turned = np.swapaxes(array, 0, 1)
    before = [(size - n) // 2 for n in turned.shape[:2]]
    after = [size - n - b for n, b in zip(turned.shape[:2], before, strict=True)]
    return np.pad(turned, (*zip(before, after, strict=True), (0, 0)))


def theirs(python: Path, activity: np.ndarray, mu: np.ndarray, camera, energy_kev, grid, faces) -> dict:
    """Views (2, I, K) in units of activity and times, from PyTomography in its own interpreter."""
    size = max(grid.shape[:2])
    before = (size - grid.shape[1]) // 2, (size - grid.shape[0]) // 2
    middle = grid.axis_mm(1)[0] + ((size - 1) / 2 - before[0]) * grid.spacing_mm[1]
    sigma = [fwhm_mm(camera, float(d), energy_kev) / FWHM_PER_SIGMA for d in DISTANCES_MM]
    with tempfile.TemporaryDirectory() as folder:
        case, out = Path(folder) / "case.npz", Path(folder) / "out.npz"
        np.savez(
            case, activity=square(activity, size), mu_per_cm=square(mu * MM_PER_CM, size),
            voxel_cm=grid.spacing_mm[0] / MM_PER_CM, radii_cm=np.abs(np.array(faces) - middle) / MM_PER_CM,
            distance_cm=DISTANCES_MM / MM_PER_CM, sigma_cm=np.array(sigma) / MM_PER_CM, repeats=REPEATS,
        )  # fmt: skip
        subprocess.run([python, Path(__file__).with_name("theirs.py"), case, out], check=True)
        result = dict(np.load(out))
    columns = slice(before[1], before[1] + grid.shape[0])
    posterior = result["views"][1][::-1]  # seen from behind: columns run the other way
    result["views"] = np.stack([result["views"][0][columns], posterior[columns]])
    return result


def figures(views: np.ndarray, reference: np.ndarray) -> list[str]:
    """Totals over the reference's per view, and root mean square difference over root mean square, as text."""
    totals = views.sum(axis=(1, 2)) / reference.sum(axis=(1, 2))
    nrmse = np.sqrt(((views - reference) ** 2).sum() / (reference**2).sum())
    return [f"{totals[0]:.4f}", f"{totals[1]:.4f}", f"{100 * nrmse:.2f} %"]


def our_side(model, camera, nuclide, faces, activity: np.ndarray, penetration: bool) -> tuple:
    """Our views (2, I, K), the Monte Carlo's primaries, our sensitivity, and s to the first views, forward, adjoint."""
    start = time.perf_counter()
    projector = Projector(model, camera, nuclide, faces, penetration=penetration)
    x = projector.tensor(activity)
    with torch.no_grad():
        views = projector.forward(x)
        first = time.perf_counter() - start
        times = first, median_s(lambda: projector.forward(x)), median_s(lambda: projector.adjoint(views))
    setting = (model.partial_density, activity, model.grid, camera, nuclide, (nuclide.photopeak,))
    true = simulate(*setting, opposed_heads(faces), 1e4, SEED, Options(penetration=penetration)).primary[:, 0]
    return views.numpy().astype(np.float64), true, projector.sensitivity, times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--theirs", type=Path, required=True, help="Python with PyTomography")
    parser.add_argument("--grids-mm", type=float, nargs="+", default=[10.0, 4.8])
    parser.add_argument("--camera", default="siemens_symbia_melp")
    given = parser.parse_args()
    torch.set_num_threads(1)
    camera, nuclide = load_camera(given.camera), load_nuclide("177Lu")
    energy = nuclide.imaged_line().energy_kev
    rows = [["projector", "reference", "anterior", "posterior", "NRMSE", "first call", "forward", "adjoint"]]
    for grid_mm in given.grids_mm:
        model = patient(SEED, grid_mm)
        faces, activity = face_positions_mm(model, None), next(uptakes(model, nuclide, SEED, 1))
        print(f"grid {model.grid.shape} of {grid_mm:g} mm, {given.camera}, one thread", flush=True)
        ours = {p: our_side(model, camera, nuclide, faces, activity, p) for p in (False, True)}
        for penetration, (views, true, _, times) in ours.items():
            name = f"ours, {'with' if penetration else 'no'} penetration"
            rows.append([name, "Monte Carlo", *figures(views, true), *(f"{1e3 * t:.1f} ms" for t in times)])
        mu = mu_per_mm(model.partial_density.astype(np.float64), energy)
        other = theirs(given.theirs, activity, mu, camera, energy, model.grid, faces)
        times = [f"{1e3 * float(other[k]):.1f} ms" for k in ("first_s", "forward_s", "adjoint_s")]
        name = f"PyTomography {other['version']}"
        for penetration, (views, true, sensitivity, *_) in ours.items():
            scaled, lead = other["views"] * sensitivity, "with" if penetration else "no"
            rows.append([name, f"Monte Carlo, {lead} penetration", *figures(scaled, true), *times])
            rows.append([name, f"ours, {lead} penetration", *figures(scaled, views), *times])
        widths = [max(len(r[n]) for r in rows) for n in range(len(rows[0]))]
        print("\n".join("  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in rows), flush=True)
        del rows[1:]


if __name__ == "__main__":
    main()
