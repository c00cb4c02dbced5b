"""Figures of the validation page."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from planardose.io.files import atomic
from planardose.library import load_camera
from planardose.physics import attenuation
from planardose.physics.collimator import fwhm_mm
from planardose.validation import collimator, matter, samplers
from planardose.validation.check import Effort, demands
from planardose.validation.references import xcom_per_cm

BLUE, RED, GREY = "#1f5a94", "#b5372b", "#555555"
LABELS = {"soft_tissue": "soft tissue", "nai": "NaI"}


@dataclass(frozen=True)
class Figure:
    """A figure below a group's table: file name without suffix, caption, and what draws it into a list of axes."""

    name: str
    caption: str
    columns: int
    draw: Callable[[list[Axes], Effort], None]


def _attenuation(axes: list[Axes], effort: Effort) -> None:
    energies = np.geomspace(50.0, 500.0, 300)
    colours = plt.cm.viridis(np.linspace(0.0, 0.85, len(matter.MATERIALS)))
    for material, colour in zip(matter.MATERIALS, colours, strict=True):
        mu = attenuation.linear_attenuation_per_mm(material, energies) * attenuation.MM_PER_CM
        axes[0].loglog(energies, mu, color=colour, lw=1.5, label=LABELS.get(material, material))
        points = [xcom_per_cm(material, e) for e in matter.ENERGIES_KEV]
        axes[0].plot(matter.ENERGIES_KEV, points, "o", color=colour, ms=5, mfc="white")
    axes[0].plot([], [], "o", color=GREY, ms=5, mfc="white", label="NIST XCOM")
    axes[0].set(xlabel="energy / keV", ylabel="linear attenuation / cm$^{-1}$", xlim=(50, 500))
    axes[0].set_xticks([50, 100, 200, 500], ["50", "100", "200", "500"])
    axes[0].minorticks_off()
    axes[0].legend(fontsize=8)


def _angles(axes: list[Axes], effort: Effort) -> None:
    energy = samplers.ENERGIES_KEV[1]
    for axis, process in zip(axes, samplers.ANGLES, strict=True):
        angles = np.rad2deg(2 * np.arcsin(samplers.half_sines(process, energy, effort)))
        top = {"compton": 180.0, "rayleigh": 40.0}[process]
        counts, edges = np.histogram(angles, 60, (0.0, top))
        width = edges[1] - edges[0]
        fine = np.deg2rad(np.linspace(0.0, 180.0, 4001))
        density = samplers.ANGLES[process][1](energy, np.sin(fine / 2)) * np.cos(fine / 2) / 2
        density /= np.trapezoid(density, np.rad2deg(fine))
        axis.stairs(counts / angles.size / width, edges, color=BLUE, fill=True, alpha=0.35, label="sampled")
        axis.plot(np.rad2deg(fine), density, color=RED, lw=1.3, label="density")
        axis.set(xlabel=f"{process.capitalize()} angle / degrees", ylabel="share per degree")
        axis.set(xlim=(0, top), ylim=(0, None))
        axis.legend(fontsize=8)


def _fwhm(axes: list[Axes], effort: Effort) -> None:
    distances = np.linspace(0.0, 25.0, 60)
    for short, colour in zip(collimator.WIDTHS, (BLUE, RED), strict=True):
        camera = load_camera(collimator.CAMERAS[short])
        widths = [fwhm_mm(camera, d * collimator.MM_PER_CM, camera.reference_kev) for d in distances]
        axes[0].plot(distances, widths, color=colour, lw=1.5, label=f"{short.upper()}, planardose")
        points = [demands()[f"line_fwhm_{short}_{d}"].reference for d in collimator.DISTANCES_CM]
        axes[0].plot(
            collimator.DISTANCES_CM, points, "o", color=colour, ms=6, mfc="white", label=f"{short.upper()}, reference"
        )
    axes[0].set(xlabel="distance from the face / cm", ylabel="FWHM of a line / mm", xlim=(0, 25), ylim=(0, None))
    axes[0].legend(fontsize=8)


FIGURES: dict[str, tuple[Figure, ...]] = {
    "matter": (
        Figure("attenuation", "Linear attenuation coefficients (lines) and NIST XCOM (circles).", 1, _attenuation),
    ),
    "samplers": (
        Figure("angles", "Angles drawn by the transport at 208.37 keV, and the densities that they are tested against.",
               2, _angles),
    ),
    "collimator": (Figure("line_fwhm", "Width of a line source over distance, and the reference.", 1, _fwhm),),
}


def draw(figure: Figure, folder: Path, effort: Effort) -> Path:
    """Write one figure as PNG into a folder; returns its path."""
    width = 5.4 if figure.columns == 1 else 4.2 * figure.columns
    with plt.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        canvas, axes = plt.subplots(1, figure.columns, figsize=(width, 3.5), layout="constrained", squeeze=False)
        figure.draw(list(axes[0]), effort)
        path = folder / f"{figure.name}.png"
        with atomic(path) as temporary:
            canvas.savefig(temporary, dpi=110, format="png", metadata={"Software": None})
        plt.close(canvas)
    return path
