"""Measured disagreement of the analytic projector and its scatter term with the Monte Carlo.

    python -m benchmarks.projector.compare
    python -m benchmarks.projector.compare --patients 1 --histories 1e5 --real --nuclide 161Tb

On synthetic patients with other seeds than the scatter fit's (1 to 3), with and without collimator penetration. Per
organ, evenly filled: analytic over Monte Carlo totals of each view, primary, scatter and both, mean and standard
deviation over the patients; then images of drawn uptakes: totals, and root mean square difference over the root mean
square of the Monte Carlo image, whose own noise is told beside it.
"""

import argparse

import numpy as np
from benchmarks.cases import organ_views, patient, present_organs, uptakes

from planardose.heads import face_positions_mm, opposed_heads
from planardose.library import Camera, Nuclide, load_camera, load_nuclide
from planardose.planar import VIEWS
from planardose.recon.projector import Projector
from planardose.sim.montecarlo import Options, simulate

FIRST_SEED, UPTAKES = 11, 3  # uptakes per patient


def organ_ratios(model, camera: Camera, nuclide: Nuclide, histories: float, seed: int, penetration: bool) -> dict:
    """Organ -> (3, 2) analytic over Monte Carlo totals: primary, scatter, both; per view."""
    true = organ_views(model, camera, nuclide, histories, seed, penetration).sum(axis=(3, 4))
    projector = Projector(model, camera, nuclide, face_positions_mm(model, None), penetration=penetration)
    organs = present_organs(model)
    seen = projector.organ_responses(model.fractions[organs])
    ours = np.stack([seen.primary, seen.scatter], axis=1).sum(axis=(3, 4))
    both = [np.concatenate([x, x.sum(axis=1, keepdims=True)], axis=1) for x in (ours, true)]
    return dict(zip([model.organs[o] for o in organs], both[0] / both[1], strict=True))


def image_rows(model, camera: Camera, nuclide: Nuclide, histories: float, seed: int, penetration: bool) -> list:
    """Per uptake: totals ratio of both views, NRMSE of primary and of all photopeak counts, the Monte Carlo's noise."""
    faces, rows = face_positions_mm(model, None), []
    projector = Projector(model, camera, nuclide, faces, penetration=penetration)
    for activity in uptakes(model, nuclide, seed, UPTAKES):
        setting = (model.partial_density, activity, model.grid, camera, nuclide, (nuclide.photopeak,))
        views = simulate(*setting, opposed_heads(faces), histories, seed, Options(penetration=penetration))
        primary = projector.forward(projector.tensor(activity)).numpy().astype(np.float64)
        total, true = primary + projector.scatter(activity), views.rate[:, 0]
        noise = np.sqrt(((views.relative_error[:, 0] * true) ** 2).sum() / (true**2).sum())
        ratios = total.sum(axis=(1, 2)) / true.sum(axis=(1, 2))
        rows.append([*ratios, nrmse(primary, views.primary[:, 0]), nrmse(total, true), noise])
    return rows


def nrmse(image: np.ndarray, reference: np.ndarray) -> float:
    """Root mean square difference over the reference's root mean square."""
    return float(np.sqrt(((image - reference) ** 2).sum() / (reference**2).sum()))


def told(values: list) -> str:
    """Mean and standard deviation over cases (N,)."""
    spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return f"{np.mean(values):.3f} +- {spread:.3f}"


def print_organs(cases: list[dict]) -> None:
    """One line per organ, lesions together, and one over all."""
    names = dict.fromkeys(n for c in cases for n in c)
    groups = {n: [c[n] for c in cases if n in c] for n in names if not n.startswith("lesion")}
    groups["lesions"] = [c[n] for c in cases for n in names if n.startswith("lesion") and n in c]
    groups["ALL"] = [r for c in cases for r in c.values()]
    print(f"{'organ':26}{'cases':>6}  " + "  ".join(f"{p + ' ' + v[:4]:16}" for p in ("primary", "scatter", "both")
                                                   for v in VIEWS))  # fmt: skip
    for name, rows in groups.items():
        if rows:
            told_all = [told([r[p, v] for r in rows]) for p in range(3) for v in range(2)]
            print(f"{name:26}{len(rows):6}  " + "  ".join(f"{t:16}" for t in told_all), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=3)
    parser.add_argument("--histories", type=float, default=4e5, help="per organ; five times as many per image")
    parser.add_argument("--camera", default="siemens_symbia_melp")
    parser.add_argument("--nuclide", default="177Lu")
    parser.add_argument("--real", action="store_true", help="with penetration alone")
    given = parser.parse_args()
    camera, nuclide = load_camera(given.camera), load_nuclide(given.nuclide)
    seeds = range(FIRST_SEED, FIRST_SEED + given.patients)
    models = {seed: patient(seed) for seed in seeds}
    for penetration in (True,) if given.real else (True, False):
        how = "with" if penetration else "without"
        print(f"{given.nuclide}, {given.camera}, {how} penetration, seeds {seeds[0]} to {seeds[-1]}")
        print_organs([organ_ratios(m, camera, nuclide, given.histories, s, penetration) for s, m in models.items()])
        rows = [r for s, m in models.items()
                for r in image_rows(m, camera, nuclide, 5 * given.histories, s, penetration)]  # fmt: skip
        columns = np.array(rows).T
        names = ("totals anterior", "totals posterior", "NRMSE primary", "NRMSE all", "Monte Carlo noise")
        print(f"{len(rows)} images of drawn uptakes:")
        for name, values in zip(names, columns, strict=True):
            print(f"  {name:18}{np.mean(values):.4f} +- {np.std(values, ddof=1):.4f}, worst {worst(values):.4f}")


def worst(values: np.ndarray) -> float:
    """Farthest from its ideal: 1 for ratios, 0 for errors."""
    ideal = 1.0 if np.median(values) > 0.5 else 0.0
    return float(values[np.abs(values - ideal).argmax()])


if __name__ == "__main__":
    main()
