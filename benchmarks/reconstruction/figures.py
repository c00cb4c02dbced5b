"""Figures of the page: examples, error against depth, calibration of intervals, lesion recovery against size."""

import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from benchmarks.reconstruction.summary import SIZES_ML
from scipy.special import ndtri

VARIANT = "mismatched"
COLOURS = (*matplotlib.colormaps["tab10"].colors, *matplotlib.colormaps["Dark2"].colors)
NOMINAL = np.array([0.2, 0.35, 0.5, 0.68, 0.8, 0.9, 0.95, 0.99])


DRAWN = (
    "conjugate_view", "qplanar", "qplanar_mlem", "mlem", "population network", "unet", "diffusion", "resunet",
    "resunet_diffusion", "qplanar_mlem, prior image",
)  # fmt: skip


def draw_figures(rows: pd.DataFrame, heads: list[dict], folder: Path) -> None:
    """Write the PNG files of the page into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    variant = VARIANT if (rows.variant == VARIANT).any() else rows.variant.iloc[0]
    rows = rows[rows.variant == variant]
    methods = [m for m in DRAWN if (rows.method == m).any()]
    colours = dict(zip(methods, COLOURS, strict=False))
    _examples([h for h in heads if h["case"]["variant"] == variant], methods, folder / "examples.png")
    for draw, name in ((_depth, "depth"), (_calibration, "calibration"), (_lesions, "lesions")):
        figure, axes = plt.subplots(figsize=(8.0, 3.8), layout="constrained")
        draw(axes, rows, colours)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0))
        figure.savefig(folder / f"{name}.png", dpi=130, metadata={"Software": None})
        plt.close(figure)


def _examples(heads: list[dict], methods: list[str], path: Path) -> None:
    first = min((h["case"]["number"] for h in heads if h["images"]), default=None)
    images: dict[str, list] = {}
    for head in heads:
        if head["case"]["number"] == first and head["train_seed"] <= 1:
            images |= head["images"]
    shown = [m for m in ("truth", *methods) if m in images]
    if not shown:
        return
    size = (1.6 * len(shown) + 0.8, 3.4)
    figure, axes = plt.subplots(1, len(shown), figsize=size, layout="constrained", squeeze=False)
    top = 0.6 * np.max(images["truth"][0])
    for ax, name in zip(axes[0], shown, strict=True):
        drawn = ax.imshow(np.array(images[name][0])[:, ::-1], cmap="gray_r", vmin=0, vmax=top, interpolation="nearest")
        ax.set_title("\n".join(textwrap.wrap(name, 18)), fontsize=8, verticalalignment="bottom")
        ax.set_axis_off()
    bar = figure.colorbar(drawn, ax=axes[0], shrink=0.6)
    bar.set_label("kBq/mL, maximum along y", fontsize=8)
    figure.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(figure)


def _depth(axes, rows: pd.DataFrame, colours: dict) -> None:
    part = rows[rows.measure == "mae_at_depth"]
    for method, colour in colours.items():
        mine = part[part.method == method]
        if mine.empty:
            continue
        mean = mine.groupby(mine.region.str.split("-").str[0].astype(float)).value.mean()
        axes.plot(mean.index + 10, mean.to_numpy(), "o-", color=colour, label=method, markersize=3)
    axes.set_xlabel("depth below the nearer surface (front or back), mm")
    axes.set_ylabel("MAE / mean truth in the body")
    axes.set_ylim(bottom=0)


def _calibration(axes, rows: pd.DataFrame, colours: dict) -> None:
    part = rows[(rows.measure == "activity_mbq") & rows.u.notna()]
    axes.plot([0, 100], [0, 100], color="0.7", linewidth=1)
    for method, colour in colours.items():
        mine = part[part.method == method]
        if mine.empty:
            continue
        z = ((mine.value - mine.truth) / mine.u).abs().to_numpy()
        inside = [(z <= k).mean() for k in ndtri(0.5 + NOMINAL / 2)]
        axes.plot(100 * NOMINAL, 100 * np.array(inside), "o-", color=colour, label=method, markersize=3)
    axes.set_xlabel("nominal share of the interval, %")
    axes.set_ylabel("organs and known lesions inside, %")


def _lesions(axes, rows: pd.DataFrame, colours: dict) -> None:
    part = rows[rows.measure == "hidden_lesion_bq_ml"]
    for method, colour in colours.items():
        mine = part[part.method == method]
        if mine.empty:
            continue
        ratio = mine.value / mine.truth
        axes.plot(mine.volume_ml, ratio, "o", color=colour, markersize=3, alpha=0.35)
        size = np.digitize(mine.volume_ml, SIZES_ML)
        means = [(mine.volume_ml[size == n].mean(), ratio[size == n].mean()) for n in np.unique(size)]
        axes.plot(*zip(*means, strict=True), "-", color=colour, label=method)
    axes.axhline(1.0, color="0.7", linewidth=1)
    axes.set_xscale("log")
    axes.set_xticks([2, 3, 5, 10], ["2", "3", "5", "10"])
    axes.minorticks_off()
    axes.set_xlabel("volume of the lesion, mL")
    axes.set_ylabel("estimate / truth")
    axes.set_ylim(bottom=0)
