"""Which head is anterior, and how its image lies: from the header, or from the user where the header cannot decide."""

from collections import Counter

import numpy as np
from pydicom.dataset import Dataset
from scipy.ndimage import gaussian_filter

from planardose.config import Hand
from planardose.errors import InputError
from planardose.io.by_hand import decide
from planardose.io.nm_heads import DESCRIPTIONS, Head
from planardose.planar import VIEWS

PRONE = {"P", "PRONE", "PRONE POSITION", "1240000", "F-10310"}  # PatientPosition; PS3.16 CID 20
MIRROR_MARGIN = 0.02  # by which a mirrored posterior view must fit better; simulated patients: 0.02 to 0.10
ALONG = 0.9  # cosine between two directions that are one
BY_PROJECTION = "AP and PA in the descriptions are taken as anterior and posterior: look whether the images show it"
MIRROR_LEAST = 0.7  # correlation below which the two views are too unlike to judge


def views_of(heads: list[Head], hand: Hand, where: str, key: str) -> tuple[list[str], list[str]]:
    """View of each head, and notes on what was decided by hand against or without the header.

    StartAngle and the view code decide; where neither is there, or one angle stands in all files, the words in the
    descriptions of one-head files, then opposed image orientations. Sources that contradict each other are refused as
    swapped heads.

    Raises
    ------
    InputError
        Naming ``head_order`` where the header cannot decide or contradicts itself; or naming the missing view.
    """
    do = decide(key, "head_order")
    if len(heads) == 1:
        missing = VIEWS[0] if "posterior" in (heads[0].angle, heads[0].code) else VIEWS[1]
        raise InputError(
            where, f"the {missing} view is missing: one head in the file", "an anterior and a posterior view"
        )
    words, by_projection = _words(heads, where, do if hand.head_order is None else None)
    said, notes = _said(heads, words, by_projection)
    if hand.head_order is not None:
        views = _by_hand(heads, hand.head_order, where)
        against = any(v is not None and v != w for v, w in zip(said, views, strict=True))
        return views, [f"head_order {hand.head_order} by hand{', against the header' if against else ''}"]
    for head in heads:
        _check_head(head, where, do)
    _check_views(said, where, do)
    seen = [head.seen_from for head in heads]
    if None not in seen and len(set(seen)) == 2 and seen != said:
        raise InputError(
            where,
            f"swapped heads: the header calls head 1 {said[0]}, but its image orientation is that of the "
            f"{seen[0]} view",
            "a header that agrees with itself",
            do,
        )
    for n, (word, view) in enumerate(zip(words, said, strict=True), start=1):
        if set(words) == set(VIEWS) and word != view:
            raise InputError(
                where,
                f"swapped heads: the header calls file {n} {view}, its description says {word}",
                "a header that agrees with itself",
                do,
            )
    return said, notes


def _words(heads: list[Head], where: str, do: str | None) -> tuple[list[str | None], bool]:
    """The view of each head by the words of its descriptions, and whether AP or PA alone name one.

    A description that names one view for all heads ("WB post Lu") tells nothing. Two of one head that contradict each
    other are refused with what to `do`; without it, neither counts.
    """
    if not all(head.words for head in heads):
        return [None] * len(heads), False
    telling = [words for words in zip(*(head.words for head in heads), strict=True) if len({v for v, _ in words}) > 1]
    named = [{view: by_projection for view, by_projection in own if view} for own in zip(*telling, strict=True)]
    if do is not None and any(len(own) > 1 for own in named):
        raise InputError(where, f"{' and '.join(DESCRIPTIONS)} of a file name different views",
                         "descriptions that agree with each other", do)  # fmt: skip
    views = [next(iter(own)) if len(own) == 1 else None for own in named] or [None] * len(heads)
    return views, any(any(own.values()) for own in named)


def _said(heads: list[Head], words: list[str | None], by_projection: bool) -> tuple[list[str | None], list[str]]:
    """What the header calls each head, by the best of its sources; and notes where one is doubtful."""
    said = [head.angle or head.code for head in heads]
    one_angle = len({head.angle_deg for head in heads}) == 1 and not any(head.code for head in heads)
    if set(words) == set(VIEWS) and one_angle:
        told = [] if said[0] is None else [f"StartAngle {heads[0].start_angle:g} of every head: views by description"]
        return words, told + [BY_PROJECTION] * by_projection
    if all(v is None for v in said):
        said = words
    if all(v is None for v in said) and len({h.seen_from for h in heads}) == 2:
        said = [head.seen_from for head in heads]
    return said, []


def _check_head(head: Head, where: str, do: str) -> None:
    """Refuse a head whose StartAngle and view code disagree."""
    if head.angle and head.code and head.angle != head.code:
        raise InputError(
            where,
            f"swapped heads: StartAngle puts head {head.detector} {head.angle}, its view code says {head.code}",
            "a header that agrees with itself",
            do,
        )


def _check_views(views: list[str | None], where: str, do: str) -> None:
    if None in views:
        raise InputError(
            where, "the header does not say which head is anterior", "StartAngle or a view code for every head", do
        )
    for view, other in (VIEWS, VIEWS[::-1]):
        if other not in views:
            raise InputError(
                where,
                f"the {other} view is missing: {len(views)} heads, all called {view}",
                "an anterior and a posterior view",
                do,
            )


def _by_hand(heads: list[Head], order: str, where: str) -> list[str]:
    """Views from the order of the detectors in every two-head file, or of the two one-head files of each window."""
    first = VIEWS.index(order.removesuffix("_first"))
    in_file = Counter(h.file for h in heads)
    pairs: dict[object, list[Head]] = {}
    for h in heads:
        of_one = tuple(window for window, _ in h.frames) if in_file[h.file] == 1 else h.file
        pairs.setdefault(of_one, []).append(h)
    if any(len(pair) != 2 for pair in pairs.values()):
        raise InputError(
            where,
            f"head_order cannot order {len(heads)} heads in {len(in_file)} files",
            "two heads in a file, or one head in each of the two files of a window",
            "put one acquisition into the folder",
        )
    return [VIEWS[first if any(h is pair[0] for pair in pairs.values()) else 1 - first] for h in heads]


def as_seen(image: np.ndarray, head: Head, view: str, believe: bool, where: str) -> np.ndarray:
    """Image (rows, columns) turned so that row 0 is the head.

    `believe`: the header's orientations are those of the views. Where they are not and the rows run towards the head,
    left and right cannot be told, and the image is refused with `InputError`.
    """
    if head.down is None or (not believe and head.down[2] < ALONG) or head.down[2] < -ALONG:
        return image
    if head.down[2] < ALONG:
        raise InputError(
            where,
            f"the rows of the {view} view do not run along the patient (ImageOrientationPatient)",
            "rows from the head down",
            "turn the images, or give them as NPZ + JSON",
        )
    if not believe or head.seen_from != view:
        raise InputError(
            where,
            "the rows run towards the head, in an image orientation that contradicts the views",
            "rows from the head down",
            "give the images as NPZ + JSON",
        )
    return image[::-1, ::-1]


def orientation_notes(heads: list[Head], views: list[str], hand: Hand, key: str) -> tuple[bool, list[str]]:
    """Whether the header's orientations are those of the views as the camera sees them, and notes if not."""
    seen = [head.seen_from for head in heads]
    if seen == views:
        return True, []
    if hand.flip_posterior is not None:
        return False, []
    why = (
        "no image orientation in the header"
        if None in seen
        else "the header's image orientations are not those of opposed views"
    )
    return False, [
        f"{why}: views taken as the camera sees them, row 0 the head; {key}.flip_posterior decides otherwise"
    ]


def posterior_looks_mirrored(ras: np.ndarray) -> bool:
    """Whether the posterior view fits the anterior one clearly better when mirrored.

    Both views show one patient: in patient coordinates their outlines and organs overlap at one shift. Compares the
    highest correlation over lateral shifts of the smoothed square roots of the counts, as stored and mirrored.

    Parameters
    ----------
    ras : (2, x, z) array
        Counts of the two views in one window, `PlanarPair.ras` order.
    """
    smooth = [gaussian_filter(np.sqrt(view), 2.0) for view in ras]
    anterior, posterior = (s - s.mean() for s in smooth)
    stored, mirrored = (_best_correlation(anterior, p) for p in (posterior, posterior[::-1]))
    return mirrored >= MIRROR_LEAST and mirrored - stored > MIRROR_MARGIN


def _best_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Largest normalised correlation of two (x, z) images over shifts along x."""
    n = 2 * a.shape[0]
    product = np.fft.irfft(np.fft.rfft(a, n, axis=0) * np.conj(np.fft.rfft(b, n, axis=0)), n, axis=0).sum(axis=1)
    scale = np.sqrt((a**2).sum() * (b**2).sum())
    return float(product.max() / scale) if scale > 0 else 0.0


def position_notes(files: list[Dataset]) -> list[str]:
    """A note where the patient lay prone: some cameras then count StartAngle from the couch, not from the back."""
    told = []
    for ds in files:
        told.append(str(ds.get("PatientPosition") or "")[2:])
        for item in ds.get("PatientOrientationCodeSequence") or []:
            modifiers = item.get("PatientOrientationModifierCodeSequence") or []
            told += [str(x.get("CodeValue") or "") for x in modifiers]
            told += [str(x.get("CodeMeaning") or "").upper() for x in modifiers]
    if not PRONE & set(told):
        return []
    return ["the header says that the patient lay prone: check that the views are named right; the couch is modelled "
            "behind the patient"]  # fmt: skip
