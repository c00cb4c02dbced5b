"""Organ views simulated once and mixed, beside direct simulation: time at equal error, and what texture makes of it.

    python -m benchmarks.montecarlo.mixing

A synthetic patient with drawn uptakes of 177Lu-PSMA-617, three windows, penetration on. *Even*: organs filled evenly,
where the mixture holds. *Drawn*: the virtual uptakes of the chain with texture, cortex, fat and hidden lesions, whose
photopeak scatter is compared with that of the mixture with equal organ totals.
"""

import argparse
import time

import numpy as np
from benchmarks.cases import administered, patient
from benchmarks.organ_views import views_of_maps

from planardose.heads import face_positions_mm, opposed_heads
from planardose.library import load_camera, load_nuclide
from planardose.sim.activity import activity_map
from planardose.sim.montecarlo import clear_error, simulate
from planardose.sim.uptake import CONCENTRATION, draw_samples
from planardose.units import MBQ_PER_KBQ

SEED, COMPARED = 5, 4
PER_ORGAN = 1e5  # histories


def cpu_seconds(call) -> tuple[float, object]:
    """CPU time of a call and what it returns."""
    began = time.process_time()
    result = call()
    return time.process_time() - began, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uptakes", type=int, default=40)
    parser.add_argument("--histories", type=float, default=1e6, help="per direct simulation")
    given = parser.parse_args()
    camera, nuclide, model = load_camera("siemens_symbia_melp"), load_nuclide("177Lu"), patient(SEED)
    windows, heads = (nuclide.photopeak, *nuclide.scatter_windows), opposed_heads(face_positions_mm(model, None))
    table = draw_samples(model, administered(nuclide), COMPARED, 0, 0.0, SEED, "")
    rows = table.to_dict("records")
    amounts = [np.array([r[CONCENTRATION + o] * MBQ_PER_KBQ for o in model.organs]) for r in rows]
    maps = model.fractions.astype(np.float64) * model.grid.voxel_ml
    setting = (model.grid, camera, nuclide, windows, heads)
    simulate(model.partial_density, maps[0], *setting, 1e4, 1)  # tables and compiled kernels

    def direct(activity: np.ndarray, seed: int):
        return cpu_seconds(lambda: simulate(model.partial_density, activity, *setting, given.histories, seed))

    even = [direct(np.tensordot(a, maps, axes=1), 100 + n) for n, a in enumerate(amounts)]
    each, error = np.mean([s for s, _ in even]), np.mean([v.clear_error for _, v in even])
    print(f"direct: {each:.2f} s per uptake of {given.histories:.2g} histories, error {100 * error:.2f} %")
    seconds, organs = cpu_seconds(
        lambda: views_of_maps(model.partial_density, maps, *setting, PER_ORGAN, range(len(maps)))
    )
    reached = np.mean([clear_error(*organs.mixed(a)) for a in amounts])
    print(f"{len(maps)} organs of {PER_ORGAN:.2g} histories: {seconds:.1f} s once, error {100 * reached:.2f} %")
    print(f"{given.uptakes} uptakes directly to that error: {given.uptakes * each * (error / reached) ** 2:.1f} s")
    for n, (row, amount) in enumerate(zip(rows, amounts, strict=True)):
        _, drawn = direct(activity_map(model, row), 200 + n)
        rate = organs.mixed(amount)[0]
        primary = np.tensordot(amount, organs.primary, axes=1)[:, 0]
        scatter, true = rate[:, 0] - primary, drawn.rate[:, 0] - drawn.primary[:, 0]
        noise = np.sqrt(((drawn.relative_error[:, 0] * drawn.rate[:, 0]) ** 2).sum() / (true**2).sum())
        off = np.sqrt(((scatter - true) ** 2).sum() / (true**2).sum())
        total = scatter.sum() / true.sum() - 1
        print(f"drawn uptake {n}: scatter of the mixture off by {100 * off:.1f} % (NRMSE), noise {100 * noise:.1f} %, "
              f"total {100 * total:+.1f} %")  # fmt: skip


if __name__ == "__main__":
    main()
