"""The pixels of NM images: their counts, their size, and what is odd about them."""

import numpy as np
from pydicom.dataset import Dataset

from planardose.errors import InputError
from planardose.io.dicom_padding import padding
from planardose.io.dicom_read import numbers, pixels, rescale, words_of
from planardose.io.planar_file import check_matrix

SAME_PIXEL = 0.001  # relative difference of pixel sizes that headers round differently
ODD_TOTAL = 0.01  # of the counts: a larger difference from CountsAccumulated is noted
SIZES = ("PixelSpacing", "ImagerPixelSpacing")  # in the detector's plane, which parallel holes do not magnify
AS_NPZ = "give the images as NPZ + JSON with pixel_mm"


def counts_of(ds: Dataset, where: str) -> np.ndarray:
    """(frames, rows, columns) float32 counts, 0 where the header calls a pixel at the edge padding."""
    images = pixels(ds, where)
    if int(ds.get("SamplesPerPixel") or 1) != 1:
        raise InputError(where, "a colour image", "counts", "export the acquired images, not a screen shot")
    images = images.reshape(-1, *images.shape[-2:])
    slope, intercept = rescale(ds, where)
    counts = images.astype(np.float32) * slope + intercept
    if ds.get("PixelPaddingValue"):
        counts[np.array([padding(ds, image) for image in images])] = 0.0
    return counts.astype(np.float32)


def spacing_of(ds: Dataset, where: str) -> tuple[float, float]:
    """Pixel size (row, column), mm."""
    name = next((n for n in SIZES if ds.get(n) not in (None, "")), None)
    if name is None:
        raise InputError(where, "no PixelSpacing in the header", "the pixel size in mm", AS_NPZ)
    return numbers(ds, name, 2, where)


def pixel_mm(files: list[Dataset], shape: tuple[int, ...], where: str) -> tuple[float, float]:
    """Pixel size (row, column), mm, of images of `shape` (rows, columns): one for all files, and a plausible one."""
    sizes = [spacing_of(ds, where) for ds in files]
    if any(max(along) > (1 + SAME_PIXEL) * min(along) for along in zip(*sizes, strict=True)):
        raise InputError(
            where, f"PixelSpacing {sizes}", "one PixelSpacing (row, column) in mm", "or give the images as NPZ + JSON"
        )
    check_matrix(sizes[0], shape, f"{where} PixelSpacing")
    return sizes[0]


def pixel_notes(files: list[Dataset], counts: np.ndarray, where: str) -> list[str]:
    """Notes on derived images, totals, saturation, and what was made of the stored numbers."""
    notes = []
    if any("DERIVED" in words_of(ds, "ImageType") for ds in files):
        notes.append("ImageType says DERIVED: are these the counts as they were acquired?")
    totals = [str(ds.get("CountsAccumulated") or "") for ds in files]
    if all(t.isdigit() for t in totals) and abs(sum(map(int, totals)) - counts.sum()) > ODD_TOTAL * counts.sum():
        notes.append(f"CountsAccumulated {sum(map(int, totals))}, but the pixels sum to {counts.sum():.0f}")
    for ds in files:
        stored = 2 ** (int(ds.BitsStored) - int(ds.get("PixelRepresentation") or 0)) - 1
        slope, intercept = rescale(ds, where)
        full = int(np.count_nonzero(counts_of(ds, where) >= stored * slope + intercept))
        if full:
            notes.append(f"{full} pixels at the largest storable value {stored}: saturated")
        if (slope, intercept) != (1.0, 0.0):
            notes.append(f"RescaleSlope {slope:g} and RescaleIntercept {intercept:g} are applied: are these counts?")
        if ds.get("PixelPaddingValue"):
            notes.append("pixels at the edge that hold PixelPaddingValue are taken as 0")
        if ds.get("PixelSpacing") in (None, ""):
            notes.append("no PixelSpacing in the header: ImagerPixelSpacing is taken")
    return notes
