"""PyTomography's side of the comparison: runs in its own environment, knows nothing of planardose.

    .venv/bin/python theirs.py CASE.npz OUT.npz

Reads activity, attenuation (1/cm) and Gaussian widths (cm) over distance on a square grid whose first axis points to
the anterior head; writes both views and the times.
"""

import sys
import time

import numpy as np
import pytomography
import torch
from pytomography.metadata.SPECT import SPECTObjectMeta, SPECTProjMeta, SPECTPSFMeta
from pytomography.projectors.SPECT import SPECTSystemMatrix
from pytomography.transforms.SPECT import SPECTAttenuationTransform, SPECTPSFTransform

ANTERIOR_DEG, POSTERIOR_DEG = 270.0, 90.0  # their angles: at 270 the detector stands at the end of the first axis


def main(case_path: str, out_path: str) -> None:
    torch.set_num_threads(1)
    pytomography.set_device("cpu")
    case = np.load(case_path)
    activity, mu = (torch.as_tensor(case[k], dtype=torch.float32) for k in ("activity", "mu_per_cm"))
    voxel_cm, shape = float(case["voxel_cm"]), activity.shape
    widths = (case["distance_cm"], case["sigma_cm"])
    start = time.perf_counter()
    object_meta = SPECTObjectMeta([voxel_cm] * 3, list(shape))
    proj_meta = SPECTProjMeta(
        tuple(shape[1:]), [voxel_cm] * 2, [ANTERIOR_DEG, POSTERIOR_DEG], np.asarray(case["radii_cm"])
    )
    psf = SPECTPSFMeta((), sigma_fit=lambda r: np.interp(r, *widths))
    system = SPECTSystemMatrix(
        [SPECTAttenuationTransform(mu), SPECTPSFTransform(psf)], [], object_meta, proj_meta
    )  # fmt: skip
    views = system.forward(activity)
    ready = time.perf_counter() - start
    times = {"forward": lambda: system.forward(activity), "adjoint": lambda: system.backward(views)}
    for name, call in times.items():
        taken = []
        for _ in range(int(case["repeats"])):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
        times[name] = np.median(taken)
    np.savez(out_path, views=views.numpy(), first_s=ready, forward_s=times["forward"], adjoint_s=times["adjoint"],
             version=pytomography.__version__, torch=torch.__version__)  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
