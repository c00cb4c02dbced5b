"""The page of the benchmark from the cells of a run.

    python -m benchmarks.reconstruction.table OUT --page docs/benchmark.md

Writes the page, and its figures into a folder of its name in ``figures`` beside it.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.reconstruction.anatomies import UNUSUAL_EVERY, root_seed
from benchmarks.reconstruction.figures import draw_figures
from benchmarks.reconstruction.real import NUMBER
from benchmarks.reconstruction.sections import BESIDE, shown_sections
from benchmarks.reconstruction.summary import load_cells, measures, with_interval

from planardose.io.files import write_text
from planardose.recon.scores import SSIM_SETTINGS

COMPARED = (
    "MAE", "MAE, unusual anatomies", "NRMSE", "SSIM", "hidden lesions, absolute error %", "hidden lesions, recovery",
    "hidden lesions of 2 mL and more, median error %", "hidden lesions of 2 mL and more, activity, median error %",
    *(f"activity error, {organs}, median %" for organs in ("lesions told", "kidneys", "glands", "liver")),
)  # fmt: skip
LEGEND = """Errors are |estimate / truth - 1| of the activity of an organ at the time of the acquisition. Hidden lesions
are not told to the chain, but to "lesion masks": estimate and truth are means inside the true lesion, recovery is the
mean of their ratio; "activity" is the lesion's MBq where each voxel of the map is split as the truth's is, which leaves
out what voxels of a lesion's size mix. MAE and NRMSE: over the body's voxels, over the mean truth there. SSIM: {ssim};
the scores of a body with uniform activity and of an empty image stand beside it: SSIM alone means little. Deviance:
that of the gate. `population network` is what the chain does by default, `unet` is trained on the patient for 200
steps. Intervals: estimate +- k standard uncertainties (k = 0.67, 1, 1.96), organs and told lesions together.
"""


def shown(value: float) -> str:
    return "" if not np.isfinite(value) else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def markdown(header: list[str], lines: list[list[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(r) + " |" for r in rows) + "\n"


def score_table(rows: pd.DataFrame, methods: list[str]) -> str:
    """Numbers of methods in one variant."""
    parts = {m: rows[rows.method == m] for m in methods}
    lines = []
    for name, number in measures().items():
        values = [number(parts[m]) for m in methods]
        if np.isfinite(values).any():
            lines.append([name, *[shown(v) for v in values]])
    return markdown(["", *_with_numbers(parts)], lines)


def _with_numbers(parts: dict[str, pd.DataFrame]) -> list[str]:
    """Names of methods, with the number of anatomies where not all have been computed."""
    numbers = {m: part.anatomy.nunique() for m, part in parts.items()}
    most = max(numbers.values())
    return [m if n == most else f"{m} ({n} of {most} anatomies)" for m, n in numbers.items()]


def ratio_text(rows: pd.DataFrame) -> str:
    """What the wrong pose, which registration has to find, costs beside the true one."""
    told = []
    for organs in ("kidneys", "liver", "glands"):
        number = measures()[f"activity error, {organs}, median %"]
        parts = {v: rows[(rows.variant == v) & (rows.method == "qplanar_mlem")] for v in ("mismatched", "aligned")}
        values = [number(part) for part in parts.values()]
        if np.isfinite(values).all():
            told.append(f"{organs} {values[0] / values[1]:.2f}")
    text = "Median organ errors of QPlanar + MLEM over those of the aligned case, where the CT has the images' pose: "
    return f"{text}{', '.join(told)}.\n\n" if told else ""


def difference_table(rows: pd.DataFrame, methods: list[str], against: str) -> str:
    """Paired differences to a method with their intervals."""
    methods = [m for m in methods if m != against and m not in BESIDE]
    reference, numbers, lines = rows[rows.method == against], measures(), []
    for name in COMPARED:
        cells = []
        for method in methods:
            change, low, high = with_interval(rows[rows.method == method], reference, numbers[name])
            interval = f" ({low:+.1f} to {high:+.1f})" if np.isfinite(low) else ""
            cells.append(f"{change:+.1f} %{interval}" if np.isfinite(change) else "")
        lines.append([name, *cells])
    return markdown(["", *methods], lines)


def registration_text(rows: pd.DataFrame, heads: list[dict], variant: str) -> str:
    """Residual shift, and how many acquisitions the registration refused."""
    cases = [h for h in heads if h["case"]["variant"] == variant and h["case"]["number"] != NUMBER]
    heads = [h for h in cases if h["group"] == "classical"]
    shift = rows[(rows.measure == "residual_shift_mm") & (rows.group == "classical")].value
    notes = [note for h in heads for note in h["registration"].values()]
    failed = sum(n.startswith("failed") for n in notes)
    text = (
        f"In-plane residual shift after the registration: median {shift.median():.1f} mm, 95th percentile "
        f"{shift.quantile(0.95):.1f} mm over {len(shift)} acquisitions. Refused as another patient's: {len(notes)}"
    )
    return text + (f", {failed} of them by their counts as well and left out of the table." if failed else ".")


def real_text(rows: pd.DataFrame) -> str:
    """The real CT apart: one anatomy, whose organs are no phantom's."""
    part = rows[(rows.anatomy == NUMBER) & (rows.variant == "mismatched")]
    if part.empty:
        return ""
    title = "## Mismatched, a real torso CT\n\nOne anatomy with drawn uptake; all lesions are hidden.\n\n"
    return title + score_table(part, [m for m in dict.fromkeys(part.method) if m]) + "\n"


def kept_text(heads: list[dict]) -> str:
    """What the trainings kept on the patient's own validation samples: the rest of the chain does not choose again."""
    lines = []
    for group in dict.fromkeys(h["group"] for h in heads if h.get("kept")):
        kept = [h.get("kept") or "not recorded" for h in heads if h["group"] == group]
        told = ", ".join(f"{name} {kept.count(name)}" for name in sorted(set(kept)))
        lines.append(f"- {group}: {told}, of {len(kept)} trainings")
    return "What was kept on the patient's own validation samples:\n\n" + "\n".join(lines) + "\n\n" if lines else ""


def seconds_text(heads: list[dict]) -> str:
    """Median seconds of the steps, per case or per acquisition."""
    lines = []
    for group in dict.fromkeys(h["group"] for h in heads):
        mine = [h for h in heads if h["group"] == group]
        each = [h["seconds"].get("reconstruct", np.nan) / max(h["acquisitions"], 1) for h in mine]
        text = f"{group}: reconstruct {np.median(each):.1f} s per acquisition"
        for step in dict.fromkeys(k for h in mine for k in h["seconds"] if k != "reconstruct"):
            spent = [h["seconds"][step] for h in mine if step in h["seconds"]]
            text += f", {step} {np.median(spent):.0f} s per patient"
        lines.append(f"- {text}")
    return "\n".join(lines) + "\n"


def page(rows: pd.DataFrame, heads: list[dict], figures: str, minutes: str) -> str:
    """The page's text."""
    first = heads[0]["case"]
    dates = sorted({h["date"] for h in heads})
    anatomies = sorted({h["case"]["number"] for h in heads} - {NUMBER})
    real = " and one real CT" if any(h["case"]["number"] == NUMBER for h in heads) else ""
    unusual, seeds = sum(n % UNUSUAL_EVERY == 0 for n in anatomies), max(h["train_seed"] for h in heads)
    split, seed = first["split"], first["seed"]
    facts = [
        f"Date {' to '.join(dict.fromkeys((dates[0], dates[-1])))}; machine: "
        f"{'; '.join(sorted({h['machine'] for h in heads}))}, load average {min(h['load'] for h in heads):g} to "
        f"{max(h['load'] for h in heads):g}; commit {', '.join(sorted({h['commit'] for h in heads}))}.",
        f"{len(anatomies)} anatomies ({unusual} of them outside the family's usual ranges){real} x {first['samples']} "
        f"acquisitions, split {split}, seed {seed} (root seed {root_seed(split, seed)}), {seeds} training seed(s). "
        f"{minutes}",
    ]
    text = "# Benchmark of the reconstruction\n\nIn silico: synthetic patients, Monte Carlo images. Written by "
    text += "`benchmarks/reconstruction/table.py`; the protocol is in `benchmarks/reconstruction/README.md`.\n\n"
    text += "\n".join(facts) + "\n\n" + LEGEND.format(ssim=SSIM_SETTINGS) + "\n"
    phantoms = rows[rows.anatomy != NUMBER]
    for variant in ("mismatched", "aligned", "matched"):
        part = phantoms[phantoms.variant == variant]
        if part.empty:
            continue
        text += f"## {variant.capitalize()}\n\n{registration_text(part, heads, variant)}\n\n"
        text += ratio_text(phantoms) if variant == "mismatched" else ""
        for section, methods in shown_sections([m for m in dict.fromkeys(part.method) if m]):
            text += f"### {section.title}\n\n{score_table(part, methods)}\n"
            text += f"Difference to `{section.reference}`, paired, with 95 % bootstrap intervals over anatomies:\n\n"
            text += difference_table(part, methods, section.reference) + "\n"
    text += real_text(rows) + kept_text(heads) + "## Time\n\n"
    text += f"`reinforced` and `diffusion` start from the network of `unet` where it is there.\n\n{seconds_text(heads)}"
    text += "\n## Figures\n\n"
    for name, caption in draw_captions():
        text += f"![{caption}]({figures}/{name}.png)\n\n{caption}\n\n"
    return text


def draw_captions() -> list[tuple[str, str]]:
    return [
        ("examples", "Coronal maximum projections of the truth and of methods, first anatomy, mismatched."),
        ("depth", "Mean absolute error against the depth below the nearer of the front and back surface."),
        ("calibration", "Share of organ activities inside intervals of each nominal share; the diagonal is perfect."),
        ("lesions", "Recovery of hidden lesions against their volume; lines are means by size."),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--page", type=Path, default=Path("docs/benchmark.md"))
    parser.add_argument("--note", default="", help="a sentence on the run, e.g. its minutes")
    a = parser.parse_args()
    rows, heads = load_cells(a.out)
    folder = a.page.parent / "figures" / a.page.stem
    draw_figures(rows[rows.anatomy != NUMBER], heads, folder)
    write_text(a.page, page(rows, heads, f"figures/{a.page.stem}", a.note))


if __name__ == "__main__":
    main()
