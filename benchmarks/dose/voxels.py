"""What the chain's voxels do to the photons' part of organ doses: self-absorbed energy at 10 mm beside finer voxels.

    python benchmarks/dose/voxels.py --photons 1e5 --nuclide 177Lu

An organ that is small beside a voxel shares its voxels with its neighbours, which then take some of what it would
absorb itself.
"""

import argparse

import numpy as np

from planardose.anatomy.build import build_model
from planardose.demo.patient import draw_patient, truth_of
from planardose.image import Volume
from planardose.library import load_nuclide
from planardose.sim.organ_photons import OrganPhotons, organ_photons

COARSE_MM = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photons", type=float, default=1e5, help="from each organ")
    parser.add_argument("--fine-mm", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--nuclide", default="177Lu")
    a = parser.parse_args()
    truth, nuclide = truth_of(draw_patient(a.seed, 1)), load_nuclide(a.nuclide)
    sampled, grid = truth.anatomy.sampled, truth.patient.grid
    ct, labels = (Volume(x, grid, "", "") for x in (sampled.hu.astype(np.float32), sampled.labels))

    def at(voxel_mm: float) -> tuple[np.ndarray, tuple[str, ...], OrganPhotons]:
        model = build_model(ct, labels, voxel_mm)
        nothing = np.zeros(len(model.organs))
        return model.volumes_ml(), model.organs, organ_photons(model, nuclide, nothing, a.photons, a.seed)

    volumes, organs, coarse = at(COARSE_MM)
    fine = at(a.fine_mm)[2]
    print(f"{a.nuclide}, keV per decay absorbed in the organ itself; electrons {nuclide.electron_kev:g} keV")
    print(f"{'organ':28s} {'mL':>8s} {COARSE_MM:6.0f} mm {a.fine_mm:6.0f} mm   ratio, its error")
    for n, organ in enumerate(organs):
        values = coarse.kev[n, n], fine.kev[n, n]
        relative = np.hypot(*(p.error_kev[n, n] / p.kev[n, n] for p in (coarse, fine)))
        ratio = values[0] / values[1]
        print(f"{organ:28s} {volumes[n]:8.1f} {values[0]:9.3f} {values[1]:9.3f} {ratio:8.3f} {ratio * relative:.3f}")


if __name__ == "__main__":
    main()
