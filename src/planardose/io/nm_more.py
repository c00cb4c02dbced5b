"""Views of an NM acquisition beside its opposed pair: oblique and lateral ones, as StartAngle tells them."""

import numpy as np

from planardose import plausible
from planardose.config import Hand
from planardose.errors import InputError
from planardose.frames import lps_from_ras
from planardose.io.by_hand import decide
from planardose.io.nm_heads import BESIDE, Head
from planardose.planar import VIEWS, EnergyWindow, MoreViews, columns_to

ALIKE = 0.9  # cosine between a direction in the header and the expected one
CLOSER_DEG = 10.0  # a head this much farther off the axis than another one of its view is an oblique one
ASSUMED = "taken as the camera sees it, row 0 the head"


def without_more(heads: list[Head], hand: Hand, where: str, key: str) -> tuple[list[Head], list[Head]]:
    """The heads of the pair, and those that stood beside it; all are of the pair where `head_order` needs them.

    Raises
    ------
    InputError
        If no pair is left, or a head beside it carries the view code of one of the pair.
    """
    oblique = [h.angle == BESIDE or (h.angle in VIEWS and _farther(h, heads)) for h in heads]
    beside, pair = ([h for h, o in zip(heads, oblique, strict=True) if o == kind] for kind in (True, False))
    if hand.head_order is not None and len(pair) < len(VIEWS):
        return heads, []
    do = decide(key, "head_order")
    if beside and len(pair) < len(VIEWS):
        angles = ", ".join(f"{h.start_angle:g}" for h in heads if h.angle_deg is not None)
        raise InputError(where, f"heads at StartAngle {angles}: no pair from front and back", "180 and 0", do)
    for head in beside:
        if head.code is not None:
            told = f"StartAngle {head.start_angle:g} puts head {head.detector} beside the pair"
            raise InputError(where, f"{told}, its code says {head.code}", "a header that agrees with itself", do)
    return pair, beside


def _farther(head: Head, heads: list[Head]) -> bool:
    """Whether another head of the same view stood clearly closer to its axis: then this one is oblique."""
    return head.off_axis_deg > min(h.off_axis_deg for h in heads if h.angle == head.angle) + CLOSER_DEG


def more_views(
    heads: list[Head], windows: tuple[EnergyWindow, ...], shape: tuple[int, int], believe: bool, where: str
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
    believe : bool
        Whether the orientations of the pair's images are those of its views; if not, no orientation counts.
    where : str

    Raises
    ------
    InputError
        If a view lacks a window, has one twice, has another matrix, has no counts, or contradicts itself about its
        orientation.
    """
    if not heads:
        return None, []
    notes, frames = [], {}
    for head in heads:
        name = f"the view at {head.angle_deg:g} degrees"
        if not believe or head.along_row is None:
            notes.append(f"{name} has no image orientation to go by: {ASSUMED}")
        for window, image in head.frames:
            slot = frames.setdefault(round(head.angle_deg, 1), {})
            if window in slot:
                problem = f"{name} has several frames in the window {window.low_kev:g}-{window.high_kev:g} keV"
                raise InputError(where, problem, "one frame per view and window", "give one acquisition")
            if image.shape != shape:
                problem = f"{name} has {image.shape[0]} x {image.shape[1]} pixels"
                raise InputError(where, problem, f"the pair's {shape[0]} x {shape[1]}", "leave the view out")
            slot[window] = _as_seen(image, head, name, where) if believe else image
    for angle, slot in frames.items():
        if set(slot) != set(windows):
            problem = f"the view at {angle:g} degrees has other energy windows than the pair"
            raise InputError(where, problem, "every window in every view", "leave the view out")
        if not all(image.any() for image in slot.values()):
            raise InputError(where, f"the view at {angle:g} degrees has a frame without counts", "images with counts")
    counts = np.array([[slot[w] for w in windows] for slot in frames.values()], dtype=np.float32)
    radial = {round(h.angle_deg, 1): h.radial_mm for h in heads}
    allowed = plausible.HEAD_DISTANCE_MM
    known = all(d is not None and allowed.low <= d <= allowed.high for d in radial.values())
    if not known:
        notes.append("no usable RadialPosition for every view beside the pair: the default distance is used")
    return MoreViews(tuple(frames), counts, tuple(radial.values()) if known else None), notes


def _as_seen(image: np.ndarray, head: Head, name: str, where: str) -> np.ndarray:
    """Image (rows, columns) as the head sees it, row 0 the patient's head."""
    if head.along_row is None:
        return image
    expected = lps_from_ras[:3, :3] @ columns_to(head.angle_deg)
    across, down = float(head.along_row @ expected), -float(head.down[2])
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
