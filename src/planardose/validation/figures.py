"""Figures of the validation page."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from planardose.io.files import atomic
from planardose.library import Camera, load_camera
from planardose.physics import attenuation
from planardose.physics.collimator import fwhm_mm, geometric_efficiency
from planardose.physics.detector import detection_efficiency
from planardose.physics.head_response import head_kernel
from planardose.planar import EnergyWindow
from planardose.units import BQ_PER_MBQ
from planardose.validation import collimator, crystal, dose, matter, samplers, transport
from planardose.validation.check import Effort, demands
from planardose.validation.references import xcom_per_cm
from planardose.validation.scenes import bare, layered_phantom, liver_in_torso, lutetium, melp, simulate, totals

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
        camera = collimator.without_gap(short)
        widths = [fwhm_mm(camera, d * collimator.MM_PER_CM, camera.reference_kev) for d in distances]
        axes[0].plot(distances, widths, color=colour, lw=1.5, label=f"{short.upper()}, planardose")
        points = [demands()[f"line_fwhm_{short}_{d}"].reference for d in collimator.DISTANCES_CM]
        axes[0].plot(
            collimator.DISTANCES_CM, points, "o", color=colour, ms=6, mfc="white", label=f"{short.upper()}, reference"
        )
    axes[0].set(xlabel="distance from the face / cm", ylabel="FWHM of a line / mm", xlim=(0, 25), ylim=(0, None))
    axes[0].legend(fontsize=8)


def _forced(axes: list[Axes], effort: Effort) -> None:
    edges = np.arange(100.0, 261.0, 8.0)
    windows = tuple(EnergyWindow(a, b) for a, b in pairwise(edges))
    scene = layered_phantom()
    forced = totals(scene, effort, 5e5, windows=windows)
    analog = totals(scene, effort, 5e6, windows=windows, analog_deg=transport.ANALOG_DEG)
    per = scene.activity.sum() * np.diff(edges)
    axes[0].stairs(forced.rate / per, edges, color=BLUE, lw=1.5, label="forced detection")
    axes[0].stairs(forced.primary / per, edges, color=GREY, lw=1, ls=":", label="of it unscattered")
    middle = 0.5 * (edges[1:] + edges[:-1])
    axes[0].errorbar(middle, analog.rate / per, analog.error / per, fmt="o", ms=3.5, color=RED, label="analog")
    axes[0].set(xlabel="energy / keV", ylabel="cps / MBq / keV, both views", xlim=(100, 260), ylim=(0, None))
    axes[0].legend(fontsize=8)


def _spectrum(axes: list[Axes], effort: Effort) -> None:
    edges = np.arange(40.0, 361.0, 2.0)
    nuclide, camera = lutetium(), melp()
    energies, per_decay = (np.array([getattr(x, k) for x in nuclide.lines]) for k in ("energy_kev", "per_decay"))

    def rate(chosen: Camera) -> np.ndarray:
        holes = BQ_PER_MBQ * geometric_efficiency(chosen) * per_decay
        counted = [holes @ detection_efficiency(chosen, EnergyWindow(a, b), energies) for a, b in pairwise(edges)]
        return np.array(counted) / np.diff(edges)

    axes[0].stairs(rate(camera), edges, color=BLUE, lw=1.3, label="with cover and glass behind")
    axes[0].stairs(rate(bare(camera, camera.crystal_mm)), edges, color=GREY, lw=1, ls="--", label="bare crystal")
    low, high = nuclide.photopeak.low_kev, nuclide.photopeak.high_kev
    axes[0].axvspan(low, high, color=RED, alpha=0.1, lw=0, label="photopeak window")
    axes[0].axvline(demands()["backscatter_edge"].reference, color=RED, lw=0.8, ls=":", label="208 keV turned back")
    axes[0].set(xlabel="deposited energy / keV", ylabel="cps / MBq / keV", xlim=(40, 360), yscale="log")
    axes[0].legend(fontsize=8)

    deposits, edge = crystal.backscatter_deposits(effort), demands()["backscatter_edge"].reference
    axes[1].hist(deposits[deposits > 0], np.arange(0.0, 209.0, 2.0), color=BLUE, alpha=0.5)
    axes[1].axvline(edge, color=RED, lw=1, label=f"{edge} keV")
    axes[1].set(xlabel="deposited energy / keV", ylabel="photons", xlim=(0, 208))
    axes[1].set_title("208 keV photons that meet the glass first", fontsize=9)
    axes[1].legend(fontsize=8)


def _responses(axes: list[Axes], effort: Effort) -> None:
    pixel, half = 1.5, 75
    cases = (("melp", 208.37, 0.1), ("melp", 364.49, 0.1), ("he", 364.49, 0.1))
    for axis, (short, energy, share) in zip(axes, cases, strict=True):
        camera = load_camera(collimator.CAMERAS[short])
        window = EnergyWindow((1 - share) * energy, (1 + share) * energy)
        kernel = head_kernel(camera, window, energy, 100.0, (pixel, pixel))
        middle, image = kernel.shape[0] // 2, np.full((2 * half + 1,) * 2, kernel.min())
        reach = min(half, middle)
        part = kernel[middle - reach : middle + reach + 1, middle - reach : middle + reach + 1]
        image[half - reach : half + reach + 1, half - reach : half + reach + 1] = part
        extent = [-(half + 0.5) * pixel, (half + 0.5) * pixel] * 2
        relative = np.maximum(image.T / image.max(), 1e-5)
        shown = axis.imshow(relative, norm=LogNorm(1e-5, 1), extent=extent, cmap="magma")
        axis.set(xlabel="mm", title=f"{short.upper()}, {energy:.0f} keV")
        axis.title.set_fontsize(9)
    axes[0].figure.colorbar(shown, ax=axes, shrink=0.8)


def _views(axes: list[Axes], effort: Effort) -> None:
    scene = liver_in_torso()
    views = simulate(scene, effort, 2e6, penetration=True, couch_mm=melp().couch_mm)
    low, high = scene.grid.bounds_mm()
    extent = [low[0], high[0], low[2], high[2]]
    images = (("anterior", views.rate[0, 0]), ("posterior", views.rate[1, 0]),
              ("anterior, scattered", views.rate[0, 0] - views.primary[0, 0]))  # fmt: skip
    top = max(image.max() for _, image in images)
    for axis, (title, image) in zip(axes, images, strict=True):
        axis.imshow(image.T, origin="lower", extent=extent, cmap="gray_r", vmin=0, vmax=top)
        axis.set_title(title, fontsize=9)
        axis.set(xlabel="x / mm (right +)", ylabel="z / mm" if axis is axes[0] else "")


def _spheres(axes: list[Axes], effort: Effort) -> None:
    colours = plt.cm.viridis(np.linspace(0.0, 0.8, len(dose.MASSES_G)))
    for mass, colour in zip(dose.MASSES_G, colours, strict=True):
        found = [dose.sphere(mass, "water", e, replace(effort, scale=0.1)) for e in dose.ENERGIES_KEV]
        axes[0].errorbar(dose.ENERGIES_KEV, [f.ours for f in found], [f.u_ours for f in found], color=colour,
                         marker=".", lw=1.2, label=f"{mass} g")  # fmt: skip
        listed = [f.reference for f in found]
        axes[0].plot(dose.ENERGIES_KEV, listed, "o", color=colour, mfc="none", ms=7)
    axes[0].plot([], [], "o", color=GREY, mfc="none", ms=7, label="listed")
    axes[0].set(xlabel="photon energy / keV", ylabel="self-absorbed fraction", xscale="log", ylim=(0, None))
    axes[0].set_xticks(dose.ENERGIES_KEV, [str(e) for e in dose.ENERGIES_KEV])
    axes[0].minorticks_off()
    axes[0].legend(fontsize=8)


FIGURES: dict[str, tuple[Figure, ...]] = {
    "matter": (
        Figure("attenuation", "Linear attenuation coefficients (lines) and NIST XCOM (circles).", 1, _attenuation),
    ),
    "samplers": (
        Figure("angles", "Angles drawn by the transport at 208.37 keV, and the densities that they are tested against.",
               2, _angles),
    ),
    "transport": (
        Figure("forced", "177Lu in the layered phantom, in windows of 8 keV: forced detection, and photons that leave "
               "toward a head by themselves.", 1, _forced),
    ),
    "crystal": (
        Figure("spectrum", "Left: spectrum of 177Lu in air behind MELP, geometric. Right: what 208 keV photons deposit "
               "that the glass behind the crystal sends back.", 2, _spectrum),
    ),
    "collimator": (
        Figure("line_fwhm", "Width of a line source over distance, and the reference.", 1, _fwhm),
        Figure("responses", "Point source at 10 cm, 20 % window, relative to the brightest pixel: septal penetration "
               "shows the lattice's symmetry.", 3, _responses),
    ),
    "camera": (
        Figure("views", "Even activity in the liver of the design anatomy, 177Lu photopeak, MELP; the scattered part "
               "on the same scale.", 3, _views),
    ),
    "dose": (Figure("spheres", "Self-absorbed photon fractions in water and the listed values.", 1, _spheres),),
}  # fmt: skip


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
