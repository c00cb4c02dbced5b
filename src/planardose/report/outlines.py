"""The outlines that masses and doses rest on, drawn on the CT: what a reviewer must have seen."""

from dataclasses import dataclass, replace

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from planardose.image import Grid, Volume
from planardose.organs import colour_of, is_lesion, source_name
from planardose.report.images import BODY_HU, frame, png_uri, resampled, sides
from planardose.report.text import is_key, organ_name, organ_order

PIXEL_MM = 2.0
LEAST_LUMINANCE = 0.78  # of outlines; soft tissue has 0.5 in the window below
SOFT_TISSUE_HU = (-160.0, 240.0)
COLUMNS = 4
MOST_LESIONS = 6
AROUND_KIDNEYS = 30  # pixels of the coronal plane above and below
FRONT, HEAD = 1, 2  # axes of RAS


@dataclass(frozen=True)
class Section:
    """A plane through the CT: its name, the axis that it is across, and the place on it, mm RAS."""

    name: str
    axis: int
    at_mm: float


def outlines_figure(ct: Volume, labels: Volume) -> str:
    """Each organ of the first screen in the axial slice of its largest outline, and the kidneys in the coronal one.

    Parameters
    ----------
    ct, labels : Volume
        HU and labels on one grid; of more lesions than `MOST_LESIONS` the first are shown.

    Returns
    -------
    str
        A data URI.
    """
    groups = _groups(labels)
    chosen = [_largest(name, labels, numbers, HEAD) for name, numbers in groups.items()]
    chosen = [replace(s, name=f"{s.name}, z {s.at_mm:.0f} mm") for s in chosen]
    if kidneys := groups.get("Kidneys"):
        chosen.insert(0, _largest("Kidneys, coronal", labels, kidneys, FRONT))
    low, high = ct.grid.bounds_mm()
    rows = max(-(-len(chosen) // COLUMNS), 1)
    figure = Figure(figsize=(2.3 * COLUMNS, 1.75 * rows), layout="constrained")
    for n, section in enumerate(chosen):
        grid = _plane(section, low, high)
        _draw(figure.add_subplot(rows, COLUMNS, n + 1), section, resampled(ct, grid, -1000.0),
              resampled(labels, grid, 0.0, order=0).astype(int))  # fmt: skip
    return png_uri(figure)


def _groups(labels: Volume) -> dict[str, list[int]]:
    """Title -> labels of one kind of key organ, left and right together, each lesion by itself."""
    found = {n: source_name(n) for n in map(int, np.unique(labels.data)) if n > 0}
    groups: dict[str, list[int]] = {}
    for number, source in sorted(found.items(), key=lambda x: organ_order(x[1])):
        if is_key(source):
            kind = source.removesuffix("_left").removesuffix("_right")
            groups.setdefault(organ_name(kind) + ("s" if kind != source else ""), []).append(number)
    lesions = [name for name, numbers in groups.items() if is_lesion(found[numbers[0]])]
    return {name: numbers for name, numbers in groups.items() if name not in lesions[MOST_LESIONS:]}


def _largest(name: str, labels: Volume, numbers: list[int], axis: int) -> Section:
    """The plane across `axis` in which these labels cover most."""
    affine = labels.grid.ras_from_voxel
    along = int(np.argmax(np.abs(affine[axis, :3])))
    covered = np.isin(labels.data, numbers).sum(axis=tuple({0, 1, 2} - {along}))
    largest = np.flatnonzero(covered == covered.max())
    slice_ = int(largest[len(largest) // 2])
    inside = np.argwhere(np.isin(labels.data.take(slice_, axis=along), numbers)).mean(axis=0)
    return Section(name, axis, float(affine[axis] @ [*np.insert(inside, along, slice_), 1.0]))


def _bright(source: str) -> np.ndarray:
    """(3,) colour of an organ, mixed with white until it stands out from soft tissue, on grey paper too."""
    colour = np.array(to_rgb(colour_of(source)))
    luminance = colour @ (0.299, 0.587, 0.114)
    white = max(LEAST_LUMINANCE - luminance, 0.0) / (1.0 - luminance)
    return colour + white * (1.0 - colour)


def _plane(section: Section, low: np.ndarray, high: np.ndarray) -> Grid:
    """One layer of small voxels over the CT's box."""
    shape = np.maximum(np.floor((high - low) / PIXEL_MM), 1).astype(int)
    first = low + PIXEL_MM / 2
    shape[section.axis], first[section.axis] = 1, section.at_mm
    return Grid.axis_aligned(tuple(shape), PIXEL_MM, first)


def _draw(axes, section: Section, ct: np.ndarray, labels: np.ndarray) -> None:
    """CT in grey, outlines in the organs' colours, cropped to the body."""
    ct, labels = (np.squeeze(x, axis=section.axis)[::-1].T for x in (ct, labels))  # patient's right on the left
    axes.imshow(ct, origin="lower", cmap="gray", vmin=SOFT_TISSUE_HU[0], vmax=SOFT_TISSUE_HU[1])
    sources = {int(n): source_name(int(n)) for n in np.unique(labels) if n > 0}
    for number, source in sources.items():
        if is_key(source):
            axes.contour(labels == number, levels=[0.5], colors=[_bright(source)], linewidths=1.1)
    shown = (ct > BODY_HU[0]) | (labels > 0)
    if section.axis == FRONT:
        kidneys = np.isin(labels, [n for n, source in sources.items() if source.startswith("kidney")]).any(axis=1)
        shown[: max(kidneys.argmax() - AROUND_KIDNEYS, 0)] = False
        shown[len(kidneys) - kidneys[::-1].argmax() + AROUND_KIDNEYS :] = False
    rows, columns = (np.flatnonzero(shown.any(axis=axis)) for axis in (1, 0))
    axes.set_xlim(columns[0] - 1, columns[-1] + 1)
    axes.set_ylim(rows[0] - 1, rows[-1] + 1)
    axes.set_title(section.name, fontsize=8)
    axes.set_anchor("N")
    frame(axes)
    sides(axes, "RL", "#ffffff")
