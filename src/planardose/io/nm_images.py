"""Which objects of a file or folder are the planar images, and whether they hold the counts as they were acquired."""

from collections.abc import Callable

import numpy as np
from pydicom.dataset import Dataset

from planardose.errors import InputError
from planardose.io.dicom_headers import check_one_patient
from planardose.io.dicom_read import PIXELS, is_picture, pixels, words_of
from planardose.io.dicom_terms import IMAGE_TYPES, modalities_of, term
from planardose.io.nm_pixels import ODD_TOTAL
from planardose.library import Camera

FLOATS = PIXELS[1:]
STILL_OR_SWEPT = ("STATIC", "WHOLE BODY")
COUNTS = ("", "NONE", "CNTS", "PROPCNTS")  # Units of images that are counts, beside none
TWICE = {"DECY": "decay", "ATTN": "attenuation", "SCAT": "scatter"}  # CorrectedImage: what would be corrected twice
WHOSE_FRAMES = (  # what else must agree for equal pixels to be a copy of an image
    "DetectorVector", "EnergyWindowVector", "DetectorInformationSequence", "EnergyWindowInformationSequence", "ImageID",
    "SeriesDescription",
)  # fmt: skip


def planar_images(datasets: list[Dataset], camera: Camera | None, where: str) -> tuple[list[Dataset], list[str]]:
    """Planar NM images in the order of series, instance and name, each once, and notes on what was left out.

    Pictures and tomographic, dynamic, gated or transmission images are left out where planar ones are beside them;
    alone they are refused, or used if they hold counts. Copies (another UID or encoding, the same counts) count once.

    Parameters
    ----------
    datasets : list of Dataset
        Of any modality.
    camera : Camera or None
        Whether its dead time is known decides about images corrected for it.
    where : str
        Sheet row and column, for errors.

    Raises
    ------
    InputError
        No NM image, none that is planar and uncorrected, or several patients.
    """
    images = [ds for ds in datasets if str(ds.get("Modality") or "NM") == "NM" and "PixelData" in ds]
    if not images:
        seen = modalities_of(datasets)
        if any(name in ds for ds in datasets for name in FLOATS):
            raise InputError(
                where,
                f"no NM image with PixelData among {len(datasets)} DICOM files, but pixels of floating-point numbers",
                "counts, which are whole numbers",
                "export the images as they were acquired, or give the counts as NPZ + JSON",
            )
        raise InputError(
            where, f"no NM image among {len(datasets)} DICOM files (modalities {seen})", "planar NM images"
        )
    images, pictures = _without(images, is_picture, "picture", "screen or secondary capture")
    images, others = _without(images, _is_other_kind, "NM object", "tomographic, dynamic, gated or transmission")
    check_one_patient(images, where)
    for ds in images:
        _check_kind(ds, where)
        _check_uncorrected(ds, camera, where)
    found: list[Dataset] = []
    for ds in images:
        if not any(_is_copy(ds, other, where) for other in found):
            found.append(ds)
    found.sort(key=lambda ds: (int(ds.get("SeriesNumber") or 0), int(ds.get("InstanceNumber") or 0)))
    return found, pictures + others


def _without(
    images: list[Dataset], unwanted: Callable[[Dataset], bool], noun: str, kinds: str
) -> tuple[list[Dataset], list[str]]:
    """The images but for the unwanted ones, and a note; all where there are no others."""
    kept = [ds for ds in images if not unwanted(ds)] or images
    n = len(images) - len(kept)
    return kept, [f"{n} {noun}{'s' * (n > 1)} ({kinds}) left out"] if n else []


def _kind(ds: Dataset) -> tuple[str, str]:
    """Values 3 and 4 of ImageType, empty where they are not there: how and of what the image was acquired."""
    kind = [*words_of(ds, "ImageType"), "", "", "", ""]
    return kind[2], kind[3]


def _is_other_kind(ds: Dataset) -> bool:
    acquired, source = _kind(ds)
    return acquired not in (*STILL_OR_SWEPT, "") or source == "TRANSMISSION"


def _check_kind(ds: Dataset, where: str) -> None:
    acquired, source = _kind(ds)
    if acquired not in (*STILL_OR_SWEPT, ""):
        raise InputError(
            where,
            f"image type {term(acquired, IMAGE_TYPES)}",
            "a planar STATIC or WHOLE BODY acquisition",
            "give the planar images, not a tomographic, dynamic or gated study",
        )
    if source == "TRANSMISSION":
        raise InputError(where, "a transmission image", "an emission image", "give the images of the patient's photons")


def _check_uncorrected(ds: Dataset, camera: Camera | None, where: str) -> None:
    """Refuse images that are no counts of the patient's photons as the camera saw them.

    Images with their dead time corrected are right for a camera whose file states none: nothing corrects them again.
    """
    raw = "raw counts, corrected for uniformity and energy at most"
    found = set(words_of(ds, "CorrectedImage"))
    if str(ds.get("Units") or "") not in COUNTS:
        raise InputError(where, "Units of another kind than counts", raw, "export the images as they were acquired")
    if str(ds.get("DecayCorrection") or "NONE") != "NONE":
        found.add("DECY")
    done = [f"{name} ({key})" for key, name in TWICE.items() if key in found]
    if done:
        raise InputError(
            where,
            f"CorrectedImage or DecayCorrection says that the images are corrected for {' and '.join(done)}",
            raw,
            "export them as they were acquired (all of that is corrected here), or give the counts as NPZ + JSON",
        )
    if "DTIM" in found and camera is not None and camera.states_dead_time:
        raise InputError(
            where,
            "CorrectedImage says that the images are corrected for dead time (DTIM), which is corrected here too",
            raw,
            "export them without it, or name a copy of the camera's file without tau_us, tau_by_kev and "
            "tau_computed_by_kev",
        )
    if is_picture(ds) and int(ds.get("BitsStored") or 16) <= 8:
        total = str(ds.get("CountsAccumulated") or "")
        if not total.isdigit() or abs(int(total) - pixels(ds, where).sum(dtype=np.float64)) > ODD_TOTAL * int(total):
            raise InputError(
                where,
                "a secondary capture of 8 bits: grey values, whose sum is not CountsAccumulated",
                raw,
                "export the NM images themselves, not a picture of them",
            )


def _is_copy(ds: Dataset, other: Dataset, where: str) -> bool:
    """Whether two objects hold the same counts of the same heads and windows: noise never repeats itself."""
    if ds == other:
        return True
    if any(ds.get(name) != other.get(name) for name in WHOSE_FRAMES):
        return False
    ours, theirs = pixels(ds, where), pixels(other, where)
    return bool(ours.any()) and np.array_equal(ours, theirs)
