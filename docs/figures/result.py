"""Draw docs/figures/result.png from a finished demo: two planar views in, a 3D map out, the truth beside it.

python docs/figures/result.py demo P02 t24
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np

from planardose.io.planar_file import load_pair
from planardose.report.text import method_name

METHODS = ("qplanar_mlem", "unet")
FOLDER, PATIENT, TIMEPOINT = Path(sys.argv[1]), sys.argv[2], sys.argv[3]


def coronal(path: Path, how) -> tuple[np.ndarray, list[float]]:
    """Image (z, x) seen from the front, patient's right on the left, and its extent in mm."""
    image = nib.load(path)
    data, affine = np.asarray(image.dataobj, dtype=float), image.affine
    x = affine[0, 3] + affine[0, 0] * np.array([-0.5, data.shape[0] - 0.5])
    z = affine[2, 3] + affine[2, 2] * np.array([-0.5, data.shape[2] - 0.5])
    return how(data).T, [x[0], x[1], z[0], z[1]]


def show(axis, image, extent, title, colours, top, sides):
    """One panel in mm, head up; `sides` are the letters at its left and right."""
    drawn = axis.imshow(image, origin="lower", extent=extent, cmap=colours, vmin=0, vmax=top, interpolation="nearest")
    axis.set_facecolor("black" if colours == "magma" else "white")
    axis.set_title(title, fontsize=11)
    for place, letter in zip((0.04, 0.96), sides, strict=True):
        colour = "white" if colours == "magma" else "black"
        axis.text(place, 0.98, letter, transform=axis.transAxes, ha="center", va="top", color=colour, weight="bold")
    axis.set_xticks([])
    axis.set_yticks([])
    return drawn


truth, area = coronal(FOLDER / "truth" / PATIENT / f"{TIMEPOINT}_activity.nii.gz", lambda a: a.max(axis=1) / 1000)
top = float(np.percentile(truth[truth > 0], 99.5))
pair = load_pair(FOLDER / "results" / PATIENT / "planar" / f"{TIMEPOINT}.npz")
views = pair.counts[:, 0]
row, column = (pair.pixel_mm[n] * np.arange(views.shape[n + 1]) for n in (0, 1))
seen = views.sum(axis=(0, 2)) > 0.01 * views.sum(axis=(0, 2)).max()
head, middle = row[seen][0], float((column * views.sum(axis=(0, 1))).sum() / views.sum())
tall, wide = abs(area[3] - area[2]), abs(area[1] - area[0])

figure, axes = plt.subplots(1, 5, figsize=(13, 6.6), layout="constrained")
for axis, view, name, sides in zip(axes[:2], views, ("anterior", "posterior"), ("RL", "LR"), strict=True):
    extent = [column[0], column[-1], row[-1], row[0]]
    bright = float(np.percentile(view, 99.5))
    drawn = show(axis, view[::-1], extent, f"measured, {name}", "gray_r", bright, sides)
    axis.set_xlim(middle - wide / 2, middle + wide / 2)
    axis.set_ylim(head - 20 + tall, head - 20)
    figure.colorbar(drawn, ax=axis, orientation="horizontal", shrink=0.9, label="counts")
maps = [(method_name(m), FOLDER / "results" / PATIENT / "recon" / f"{TIMEPOINT}_{m}.nii.gz") for m in METHODS]
found = [(name, *coronal(path, lambda a: a.max(axis=1) / 1000)) for name, path in maps]
for axis, (name, image, extent) in zip(axes[2:], (*found, ("truth", truth, area)), strict=True):
    drawn = show(axis, image, extent, f"{name}, maximum", "magma", top, "RL")
    axis.set_xlim(area[1], area[0])
    axis.set_ylim(area[2], area[3])
    figure.colorbar(drawn, ax=axis, orientation="horizontal", shrink=0.9, label="kBq/mL")
figure.savefig(Path(__file__).with_name("result.png"), dpi=110)
