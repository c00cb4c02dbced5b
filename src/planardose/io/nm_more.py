"""Views of an NM acquisition beside its opposed pair: oblique and lateral ones, as StartAngle tells them."""

import numpy as np

from planardose import plausible
from planardose.errors import InputError
from planardose.io.nm_heads import BESIDE, Head
from planardose.planar import EnergyWindow, MoreViews, columns_to

LPS_OF_RAS = np.array([-1.0, -1.0, 1.0])
ALIKE = 0.9  # cosine between a direction in the header and the expected one


def without_more(heads: list[Head]) -> tuple[list[Head], list[Head]]:
    """The heads of the pair, and those that stood beside it."""
    beside = [h for h in heads if h.angle == BESIDE]
    return [h for h in heads if h.angle != BESIDE], beside


def more_views(
    heads: list[Head], windows: tuple[EnergyWindow, ...], shape: tuple[int, int], where: str
) -> tuple[MoreViews | None, list[str]]:
    """The views beside the pair in the order of their heads, and notes on what their header does not say.

    Parameters
    ----------
    heads : list of Head
        Of `without_more`; none gives None.
    windows : tuple of EnergyWindow
        Of the pair.
    shape : (int, int)
        Rows and columns of the pair.
    where : str

    Raises
    ------
    InputError
        If a view lacks a window, has another matrix, or contradicts itself about its orientation.
    """
    if not heads:
        return None, []
    notes, counts = [], []
    for head in heads:
        name = f"the view at {head.angle_deg:g} degrees"
        images = {EnergyWindow(round(w.low_kev, 3), round(w.high_kev, 3)): image for w, image in head.frames}
        if set(images) != set(windows):
            raise InputError(where, f"{name} has other energy windows than the pair", "every window in every view")
        if any(image.shape != shape for image in images.values()):
            raise InputError(where, f"{name} has another matrix than the pair", f"{shape[0]} x {shape[1]} pixels")
        if head.along_row is None:
            notes.append(f"{name} has no image orientation: taken as the camera sees it, row 0 the head")
        counts.append([_as_seen(images[w], head, name, where) for w in windows])
    angles, distances = tuple(h.angle_deg for h in heads), [h.radial_mm for h in heads]
    allowed = plausible.HEAD_DISTANCE_MM
    known = all(d is not None and allowed.low <= d <= allowed.high for d in distances)
    return MoreViews(angles, np.array(counts, dtype=np.float32), tuple(distances) if known else None), notes


def _as_seen(image: np.ndarray, head: Head, name: str, where: str) -> np.ndarray:
    """Image (rows, columns) as the head sees it, row 0 the patient's head."""
    if head.along_row is None:
        return image
    across, down = float(head.along_row @ (LPS_OF_RAS * columns_to(head.angle_deg))), -float(head.down[2])
    if across > ALIKE and down > ALIKE:
        return image
    if across < -ALIKE and down < -ALIKE:  # turned by half a turn in the plane
        return image[::-1, ::-1]
    raise InputError(
        where,
        f"{name} has an image orientation that is not that of a camera there",
        "StartAngle and ImageOrientationPatient that agree",
        "give the images as NPZ + JSON",
    )
