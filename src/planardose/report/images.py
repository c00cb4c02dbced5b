"""Matplotlib figures as PNG in data URIs. Patient's right is on the left of every coronal and axial picture."""

import base64
import io
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import map_coordinates

from planardose.image import Grid, Volume

DISPLAY_MM = 4.0
BODY_HU = (-400.0, 500.0)
INK = "#1d2733"
VIEW_NAMES = ("anterior", "posterior")

matplotlib.rcParams.update(
    {"font.family": "DejaVu Sans", "font.size": 8, "text.color": INK, "axes.edgecolor": "#c9d1da"}
)


@dataclass(frozen=True)
class ViewPair:
    """Measured and re-projected photopeak counts of one time point, and the standard deviation of their difference.

    Each (2, I, K), on the columns and slices of the model's grid.
    """

    name: str
    measured: np.ndarray
    expected: np.ndarray
    sigma: np.ndarray
    spacing_mm: tuple[float, float]


@dataclass(frozen=True)
class BeforeAfter:
    """Counts as registered and the organ-wise fit to them, and what the fit leaves before and after, in sigma.

    Each (2, I, K), on the columns and slices of the model's grid.
    """

    counts: np.ndarray
    fitted: np.ndarray
    before: np.ndarray
    after: np.ndarray
    spacing_mm: tuple[float, float]


def png_uri(figure: Figure, dpi: int = 110) -> str:
    """The figure as a ``data:`` URI."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor=figure.get_facecolor(), metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def file_uri(content: bytes) -> str:
    """A PNG file as a ``data:`` URI."""
    return "data:image/png;base64," + base64.b64encode(content).decode()


def views_figure(views: ViewPair) -> str:
    """Both views: measured, re-projected, difference in units of its standard deviation."""
    height_mm = views.measured.shape[2] * views.spacing_mm[1]
    width_mm = views.measured.shape[1] * views.spacing_mm[0]
    panel = 1.75
    tall = panel * height_mm / width_mm
    figure = Figure(figsize=(6 * panel + 0.9, tall + 0.95), layout="constrained")
    axes = figure.subplots(1, 6)
    for view in range(2):
        measured, expected = views.measured[view], views.expected[view]
        bright = measured[measured > 0]
        top = max(float(np.quantile(bright, 0.985)), 1.0) if bright.size else 1.0  # a full bladder may saturate
        deviation = (measured - expected) / views.sigma[view]
        panels = [
            (measured, "measured", "gray_r", 0, top),
            (expected, "re-projected", "gray_r", 0, top),
            (deviation, "difference / σ", "RdBu_r", -5, 5),
        ]
        for n, (image, title, colours, low, high) in enumerate(panels):
            # as the camera sees it: the anterior view has the patient's right on its left
            shown = image[::-1] if view == 0 else image
            drawn = _panel(axes[3 * view + n], shown, views.spacing_mm, colours, low, high)
            axes[3 * view + n].set_title(f"{VIEW_NAMES[view]}, {title}", fontsize=7)
            sides(axes[3 * view + n], "RL" if view == 0 else "LR", INK)
            _bar(figure, axes[3 * view + n], drawn, "σ" if n == 2 else "counts")
    return png_uri(figure)


def registration_figure(views: BeforeAfter) -> str:
    """Both views, small: counts, fit, and what is left of their difference before and after the registration."""
    panel = 1.15
    tall = panel * views.counts.shape[2] * views.spacing_mm[1] / (views.counts.shape[1] * views.spacing_mm[0])
    figure = Figure(figsize=(8 * panel, tall + 0.45), layout="constrained")
    axes = figure.subplots(1, 8)
    for view in range(2):
        bright = views.counts[view][views.counts[view] > 0]
        top = max(float(np.quantile(bright, 0.985)), 1.0) if bright.size else 1.0
        panels = [
            (views.counts[view], "measured", "gray_r", 0, top),
            (views.fitted[view], "fitted", "gray_r", 0, top),
            (views.before[view], "residual before", "RdBu_r", -5, 5),
            (views.after[view], "residual after", "RdBu_r", -5, 5),
        ]
        for n, (image, title, colours, low, high) in enumerate(panels):
            shown = image[::-1] if view == 0 else image  # as the camera sees it
            _panel(axes[4 * view + n], shown, views.spacing_mm, colours, low, high)
            axes[4 * view + n].set_title(f"{VIEW_NAMES[view]}, {title}" if n == 0 else title, fontsize=6)
            sides(axes[4 * view + n], "RL" if view == 0 else "LR", INK)
    return png_uri(figure, dpi=90)


def display_grid(grid: Grid) -> Grid:
    """A fine grid for pictures that fills the box of the model's CT part."""
    low, high = grid.bounds_mm()
    shape = tuple(int(n) for n in np.maximum(np.floor((high - low) / DISPLAY_MM), 1))
    return Grid.axis_aligned(shape, DISPLAY_MM, low + DISPLAY_MM / 2)


def resampled(volume: Volume, grid: Grid, outside: float, order: int = 1) -> np.ndarray:
    """(I, J, K) float32: values of `volume` at the voxel centres of `grid`, trilinear or (`order` 0) the nearest."""
    voxel_from_voxel = np.linalg.inv(volume.grid.ras_from_voxel) @ grid.ras_from_voxel
    index = np.indices(grid.shape, dtype=np.float32).reshape(3, -1)
    points = voxel_from_voxel[:3, :3] @ index + voxel_from_voxel[:3, 3:]
    # centres of the outermost voxels: what lies up to half a voxel beyond them takes their value
    limits = np.array(volume.grid.shape)[:, None] - 0.5
    inside = ((points > -0.5) & (points < limits)).all(axis=0)
    values = map_coordinates(volume.data, points, order=order, mode="nearest", output=np.float32)
    return np.where(inside, values, outside).reshape(grid.shape).astype(np.float32)


def activity_figure(ct: np.ndarray, maps: list[tuple[str, np.ndarray]], hollow: np.ndarray) -> str:
    """Coronal maximum projection of the activity at each time point, over the CT; display grid, kBq/mL.

    `hollow` (bool, same shape) are the voxels of bladder and bowel, which may saturate the scale.
    """
    columns = min(len(maps), 5)
    rows = -(-len(maps) // columns)
    tall = 1.9 * ct.shape[2] / ct.shape[0]
    figure = Figure(figsize=(1.9 * columns + 0.3, (tall + 0.7) * rows), layout="constrained")
    for n, (name, activity) in enumerate(maps):
        axes = figure.add_subplot(rows, columns, n + 1)
        drawn = _overlay(axes, ct.mean(axis=1), activity.max(axis=1), _top(activity, hollow, 1))
        axes.set_title(name, fontsize=8)
        _bar(figure, axes, drawn, "kBq/mL")
    return png_uri(figure)


def dose_figure(ct: np.ndarray, dose: np.ndarray, hollow: np.ndarray) -> str:
    """Coronal and sagittal maximum projections and the axial slice that holds most dose, over the CT; Gy.

    `hollow` as for `activity_figure`.
    """
    wide, deep, tall = ct.shape
    inches = min(4.2 / tall, 2.6 / wide)
    figure = Figure(figsize=(inches * (2.6 * wide + deep) + 0.5, inches * tall + 0.95), layout="constrained")
    axes = figure.subplots(1, 3, width_ratios=[wide, deep, 1.6 * wide])
    level = int(np.where(hollow, 0.0, dose).sum(axis=(0, 1)).argmax())
    drawn = (
        _overlay(axes[0], ct.mean(axis=1), dose.max(axis=1), _top(dose, hollow, 1)),
        _overlay(axes[1], ct.mean(axis=0), dose.max(axis=0), _top(dose, hollow, 0), mirrored=False),
        _overlay(axes[2], ct[:, :, level], dose[:, :, level], max(float(dose[:, :, level].max()), 1e-9)),
    )
    titles = (
        "coronal, maximum",
        "sagittal, maximum",
        f"axial, {DISPLAY_MM * level / 10:.0f} cm above the CT's lower end",
    )
    for a, image, title in zip(axes, drawn, titles, strict=True):
        a.set_title(title, fontsize=8)
        _bar(figure, a, image, "Gy")
    return png_uri(figure)


def spect_figure(ct: np.ndarray, spect: np.ndarray, ours: np.ndarray) -> str:
    """Coronal maximum projections of a SPECT and of a map at its resolution on one scale, and their mean difference.

    Only the slices in which the SPECT is not empty.
    """
    field = np.flatnonzero(spect.any(axis=(0, 1)))
    ct, spect, ours = (x[:, :, field[0] : field[-1] + 1] for x in (ct, spect, ours))
    tall = 2.5 * ct.shape[2] / ct.shape[0]
    figure = Figure(figsize=(7.8, tall + 1.0), layout="constrained")
    axes = figure.subplots(1, 3)
    top = max(float(np.quantile(spect.max(axis=1), 0.999)), 1e-9)
    for a, image, title in zip(axes, (spect, ours), ("SPECT", "planar, at the SPECT's resolution"), strict=False):
        drawn = _overlay(a, ct.mean(axis=1), image.max(axis=1), top)
        a.set_title(title, fontsize=8)
        _bar(figure, a, drawn, "kBq/mL")
    difference = (ours - spect).mean(axis=1)
    limit = max(float(np.quantile(spect.mean(axis=1), 0.995)), 1e-9)
    drawn = _panel(axes[2], difference[::-1], (1.0, 1.0), "RdBu_r", -limit, limit)
    axes[2].set_title("planar − SPECT, mean along depth", fontsize=8)
    sides(axes[2], "RL", INK)
    _bar(figure, axes[2], drawn, "kBq/mL")
    return png_uri(figure)


def _top(values: np.ndarray, hollow: np.ndarray, axis: int) -> float:
    """End of the colour scale: what a maximum projection shows outside hollow organs."""
    return max(float(np.quantile(np.where(hollow, 0.0, values).max(axis=axis), 0.999)), 1e-9)


def _overlay(axes, ct: np.ndarray, hot: np.ndarray, top: float, mirrored: bool = True):
    """CT in grey, the map on top, transparent where it is cold; (u, v) arrays, u mirrored when it runs to the right."""
    if mirrored:
        ct, hot = ct[::-1], hot[::-1]
    axes.imshow(np.clip(ct.T, *_window(ct)), origin="lower", cmap="gray", interpolation="bilinear")
    share = np.clip(hot.T / top, 0, 1) ** 0.5
    drawn = axes.imshow(
        hot.T,
        origin="lower",
        cmap="inferno",
        vmin=0,
        vmax=top,
        alpha=np.clip(1.4 * share, 0, 0.9),
        interpolation="bilinear",
    )
    frame(axes)
    sides(axes, "RL" if mirrored else "PA", "#ffffff")
    return drawn


def _window(ct: np.ndarray) -> tuple[float, float]:
    body = ct[ct > BODY_HU[0] - 500]
    low, high = np.quantile(body, [0.02, 0.995]) if body.size else BODY_HU
    return float(low), float(max(high, low + 1))


def _panel(axes, image: np.ndarray, spacing_mm: tuple[float, float], colours: str, low: float, high: float):
    drawn = axes.imshow(
        image.T,
        origin="lower",
        cmap=colours,
        vmin=low,
        vmax=high,
        aspect=spacing_mm[1] / spacing_mm[0],
        interpolation="nearest",
    )
    frame(axes)
    return drawn


def frame(axes) -> None:
    """No ticks."""
    axes.set_xticks([])
    axes.set_yticks([])


def sides(axes, letters: str, colour: str) -> None:
    """A letter in either upper corner."""
    axes.text(0.03, 0.97, letters[0], transform=axes.transAxes, va="top", color=colour, fontsize=7, weight="bold")
    axes.text(
        0.97, 0.97, letters[1], transform=axes.transAxes, va="top", ha="right", color=colour, fontsize=7, weight="bold"
    )


def _bar(figure, axes, drawn, unit: str) -> None:
    bar = figure.colorbar(
        matplotlib.cm.ScalarMappable(drawn.norm, drawn.cmap), ax=axes, orientation="horizontal", fraction=0.04, pad=0.02
    )
    bar.ax.tick_params(labelsize=6.5, length=2)
    bar.set_label(unit, fontsize=6.5, labelpad=1)
