"""Draw docs/figures/orientation.png: one source in the CT frame and in both views."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from planardose.planar import PlanarPair

COLUMNS, SLICES = 40, 60
x, z = np.meshgrid(np.arange(COLUMNS) - 19.5, np.arange(SLICES) - 29.5, indexing="ij")


def blob(x0, z0, width, height):
    """Gaussian blob (x, z) centred at (x0, z0), in voxels."""
    return height * np.exp(-((x - x0) ** 2 + (z - z0) ** 2) / (2 * width**2))


body = ((x / 17) ** 2 + (z / 29) ** 2 < 1) * 1.0
right_kidney = blob(8, 4, 2.2, 9)
head_mark = blob(0, 24, 3.0, 5)
ras = np.stack([body + 0.7 * right_kidney + head_mark, body + right_kidney + head_mark])[:, None]
anterior, posterior = PlanarPair.counts_from_ras(ras)[:, 0]

figure, axes = plt.subplots(1, 3, figsize=(9.5, 4.6), constrained_layout=True)
panels = [
    (
        ras[1, 0].T[::-1, :],
        "CT frame (RAS), x to the right of the page",
        "$-x$, patient's left",
        "$+x$, patient's right",
    ),
    (anterior, "anterior view, as the camera sees it", "patient's right", "patient's left"),
    (posterior, "posterior view, as the camera sees it", "patient's left", "patient's right"),
]
for axis, (image, title, left, right) in zip(axes, panels, strict=True):
    axis.imshow(image, cmap="gray_r", aspect="equal")
    axis.set_title(title, fontsize=9)
    axis.set_xticks([0, image.shape[1] - 1], [left, right], fontsize=8)
    axis.set_yticks([0, image.shape[0] - 1], ["head", "feet"], fontsize=8)
axes[0].set_yticks([0, SLICES - 1], ["$+z$, head", "$-z$, feet"], fontsize=8)
for axis, label in zip(axes[1:], ("column 0, row 0", "column 0, row 0"), strict=True):
    axis.annotate(label, (0, 0), (6, 5), fontsize=7, arrowprops={"arrowstyle": "->", "lw": 0.8})
figure.savefig(Path(__file__).with_suffix(".png"), dpi=130)
