"""The figure of a training."""

from pathlib import Path

from planardose.io.files import atomic
from planardose.learn.loop import COLUMNS

LINES = {"zero output": ":", "population": "--", "patient": "-"}  # what can be kept


def plot_training(path: Path, rows: list[tuple[float, ...]], scores: dict[str, dict], title: str) -> None:
    """Loss and body-masked error of what can be kept: as lines beside those of the training, or, without one, as bars.

    Parameters
    ----------
    path : Path
        PNG.
    rows : list of tuple
        As `loop.COLUMNS`; the first row is the network that training starts from.
    scores : dict
        With keys as `loop.COLUMNS`, of what can be kept (`LINES`).
    title : str
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    table = {name: [r[n] for r in rows] for n, name in enumerate(COLUMNS)}
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    if len(rows) == 1:
        _bars(left, scores, "validation_loss", "loss")
        _bars(right, scores, "validation_mae", "body MAE / mean activity")
    else:
        _curves(left, right, table, scores)
    figure.suptitle(title, fontsize=10)
    with atomic(path) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)


def _bars(axes, scores: dict[str, dict], column: str, label: str) -> None:
    shown = {name: scores[name][column] for name in LINES if name in scores}
    bars = axes.barh(list(shown), list(shown.values()), color=["#7f7f7f", "#1f77b4"], height=0.5)
    axes.bar_label(bars, fmt="%.4g", padding=4, fontsize=9)
    axes.set_xlim(0, 1.2 * max(shown.values()))
    axes.set_xlabel(label)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)


def _curves(left, right, table: dict[str, list[float]], scores: dict[str, dict]) -> None:
    left.plot(table["step"][1:], table["training_loss"][1:], "o-", color="#7f7f7f", label="training (mean since last)")
    left.plot(table["step"], table["validation_loss"], "o-", color="#1f77b4", label="validation")
    left.set_ylabel("loss")
    right.plot(table["step"], table["validation_mae"], "o-", color="#1f77b4", label="network")
    right.set_ylabel("body MAE / mean activity")
    for name, style in LINES.items():
        if name in scores:
            for axes, column in ((left, "validation_loss"), (right, "validation_mae")):
                axes.axhline(scores[name][column], color="#d95f02" if style == "-" else "#1f77b4", ls=style, label=name)
    for axes in (left, right):
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
