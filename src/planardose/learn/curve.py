"""The figure of a training."""

from pathlib import Path

from planardose.io.files import atomic
from planardose.learn.loop import COLUMNS


def plot_training(path: Path, rows: list[tuple[float, ...]], patient: str) -> None:
    """Loss and body-masked error against the steps, with the untrained network as the line to beat.

    Parameters
    ----------
    path : Path
        PNG.
    rows : list of tuple
        As `loop.COLUMNS`; the first row is the untrained network.
    patient : str
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    table = {name: [r[n] for r in rows] for n, name in enumerate(COLUMNS)}
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(table["step"][1:], table["training_loss"][1:], "o-", color="#7f7f7f", label="training (mean since last)")
    left.plot(table["step"], table["validation_loss"], "o-", color="#1f77b4", label="validation")
    left.axhline(table["validation_loss"][0], color="#1f77b4", ls=":", label="zero output")
    left.set_ylabel("loss")
    right.plot(table["step"], table["validation_mae"], "o-", color="#1f77b4", label="network")
    right.axhline(table["validation_mae"][0], color="#1f77b4", ls=":", label="zero output")
    right.set_ylabel("body MAE / mean activity")
    for axes in (left, right):
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    figure.suptitle(f"Training of {patient}: validation on uptakes that were not trained on", fontsize=10)
    with atomic(path) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)
