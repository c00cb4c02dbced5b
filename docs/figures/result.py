"""Draw docs/figures/result.png from a finished demo: two planar views in, a 3D map out, the truth beside it.

python docs/figures/result.py demo P01 t24
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np

from planardose.io.planar_file import load_pair

FOLDER, PATIENT, TIMEPOINT = Path(sys.argv[1]), sys.argv[2], sys.argv[3]


def coronal(path: Path, how) -> tuple[np.ndarray, list[float]]:
    """Image (z, x) seen from the front, patient's right on the left, and its extent in mm."""
    image = nib.load(path)
    data, affine = np.asarray(image.dataobj, dtype=float), image.affine
    x = affine[0, 3] + affine[0, 0] * np.array([-0.5, data.shape[0] - 0.5])
    z = affine[2, 3] + affine[2, 2] * np.array([-0.5, data.shape[2] - 0.5])
    return how(data).T, [x[0], x[1], z[0], z[1]]


def show(axis, image, extent, title, colours, top):
    axis.imshow(
        image, origin="lower", extent=extent, cmap=colours, vmin=0, vmax=top, aspect="equal", interpolation="nearest"
    )
    axis.set_title(title, fontsize=10)
    axis.set_xlim(extent[1], extent[0])
    axis.axis("off")


truth, area = coronal(FOLDER / "truth" / PATIENT / f"{TIMEPOINT}_activity.nii.gz", lambda a: a.max(axis=1))
top = float(np.percentile(truth[truth > 0], 99.5))
pair = load_pair(FOLDER / "results" / PATIENT / "planar" / f"{TIMEPOINT}.npz")
views = np.sqrt(pair.counts[:, 0])
rows = np.flatnonzero(views.sum(axis=(0, 2)) > 0.01 * views.sum(axis=(0, 2)).max())

figure, axes = plt.subplots(1, 5, figsize=(13, 6.2), constrained_layout=True)
for axis, view, name in zip(axes[:2], views, ("anterior", "posterior"), strict=True):
    axis.imshow(view[rows[0] : rows[-1]], cmap="gray_r", vmax=float(np.percentile(view, 99.9)), aspect="equal")
    axis.set_title(f"measured, {name}", fontsize=10)
    axis.axis("off")
for axis, method in zip(axes[2:4], ("qplanar_mlem", "unet"), strict=True):
    image, extent = coronal(
        FOLDER / "results" / PATIENT / "recon" / f"{TIMEPOINT}_{method}.nii.gz", lambda a: a.max(axis=1)
    )
    show(axis, image, extent, f"{method}, maximum from the front", "magma", top)
show(axes[4], truth, area, "truth, maximum from the front", "magma", top)
for axis in axes[2:]:
    axis.set_ylim(area[2], area[3])
figure.savefig(Path(__file__).with_name("result.png"), dpi=110)
