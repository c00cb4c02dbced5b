"""The CT of the cohort sheet, from DICOM or NIfTI, checked to be in Hounsfield units."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from planardose import plausible
from planardose.errors import InputError, no_such_file, readable
from planardose.image import Grid, Volume
from planardose.io.dicom_ct_read import read_ct_series
from planardose.io.files import is_nifti
from planardose.io.nifti import read_volume

HU_RANGE = (-1024, 3071)  # 12 bits with the usual offset: beyond lie padding, noise in air, and metal
TOLERATED_LOW_HU = -1250  # reconstruction noise and sharp kernels reach below -1024 in air
BIN_HU = 10
THIN_HU = -500  # below lies air or lung
RESAMPLE = "resample again with -1024 HU outside"
PAD = "set PixelPaddingValue of every slice to the stored number of these pixels, which are then read as air"


def read_ct(path: Path, where: str) -> Volume:
    """Read a CT in HU from a DICOM folder or a NIfTI file.

    Returns
    -------
    Volume
        (I, J, K) float32 HU as stored, not clipped; any orientation.

    Raises
    ------
    InputError
        As `read_volume`, `read_ct_series`, `check_hu` and `check_corners`.
    """
    with readable(where):
        if not path.exists():
            raise no_such_file(where, "a DICOM folder or a NIfTI file")
        nifti = path.is_file() and is_nifti(path)
        volume = read_volume(path, "CT number", "HU", where) if nifti else read_ct_series(path, where)
    _check_spacing(volume.grid, where)
    check_hu(volume.data, where)
    check_corners(volume.data, where, RESAMPLE if nifti else PAD)
    return volume


def _check_spacing(grid: Grid, where: str) -> None:
    """Refuse voxels, or a volume, of a size that no CT in mm has."""
    for size in grid.spacing_mm:
        plausible.CT_VOXEL_MM.check(float(size), f"{where} voxel size")
    for size in sorted(grid.spacing_mm * grid.shape)[1:]:  # along one axis there may be a few slices only
        plausible.CT_EXTENT_MM.check(float(size), f"{where} extent")


def clip_hu(volume: Volume) -> tuple[Volume, dict]:
    """Clip to `HU_RANGE` and round to int16; with the number of clipped voxels and the range found."""
    low, high = HU_RANGE
    data = volume.data
    found = {
        "hu_range": list(HU_RANGE),
        "hu_found": [float(data.min()), float(data.max())],
        "voxels_below": int(np.count_nonzero(data < low)),
        "voxels_above": int(np.count_nonzero(data > high)),
        "voxels": int(data.size),
    }
    return replace(volume, data=np.rint(np.clip(data, low, high)).astype(np.int16)), found


def check_corners(data: np.ndarray, where: str, do: str = RESAMPLE) -> None:
    """Refuse a CT whose surroundings are filled with the number of tissue, as resampling with a default of 0 does.

    Noise never gives four of the eight corners the very same number; a crop within the body has no air. `do` is what
    the user can do about it.
    """
    corners = data[np.ix_(*[(0, -1)] * 3)]
    values, counts = np.unique(corners[corners > THIN_HU], return_counts=True)
    if counts.max(initial=0) >= 4 and np.count_nonzero(data < THIN_HU) >= 0.05 * data.size:
        filled = values[counts.argmax()]
        raise InputError(
            where,
            f"{counts.max()} of the 8 corners hold {filled:g} HU: what lies outside the scan is filled with it",
            "air there, near -1000 HU",
            do,
        )


def check_hu(data: np.ndarray, where: str) -> None:
    """Refuse numbers that cannot be Hounsfield units, from where air and soft tissue lie in the histogram.

    A tight crop may hold no air and a lung crop little soft tissue, so that neither peak is asked for by height:

    1. some voxels are below -20 HU (air or fat): raw stored values, 8-bit images, attenuation maps, MR have none;
    2. the density of voxels in -150..150 HU is at least that of both flanks (-600..-300 and 200..500 HU);
    3. where 5 % or more of the voxels are below -300 HU, their peak lies in -1100..-550 HU (air or lung);
    4. no more than 1 % of the voxels lie below -1250 HU, but for one padding value;
    5. no more than 40 % lie above 600 HU: bone and metal never fill so much, air with the wrong sign does.

    Real CTs reach below -1200 and above 3000 HU in single voxels; those are clipped and counted, never refused.

    Raises
    ------
    InputError
        With the range and the most frequent value found.
    """
    if not np.isfinite(data).all():
        raise InputError(where, f"{np.count_nonzero(~np.isfinite(data))} CT values are NaN or infinite", "finite HU")
    values = data[data >= TOLERATED_LOW_HU]
    low = data[data < TOLERATED_LOW_HU]
    stray = np.count_nonzero(low != low.min()) / data.size if low.size else 0.0
    edges = np.arange(TOLERATED_LOW_HU, HU_RANGE[1] + BIN_HU, BIN_HU, dtype=np.float64)
    counts = np.histogram(np.minimum(values, HU_RANGE[1]), edges)[0]
    if values.size == 0 or stray > 0.01 or not _looks_like_hu(counts, edges[:-1] + BIN_HU / 2):
        mode = edges[int(np.argmax(counts))] + BIN_HU / 2 if values.size else float(data.min())
        raise InputError(
            where,
            f"the values are not Hounsfield units: {data.min():g} to {data.max():g}, most often near {mode:g}",
            "air near -1000 HU and soft tissue near 0 to 60 HU",
            "apply the rescale slope and intercept",
        )


def _looks_like_hu(counts: np.ndarray, centre: np.ndarray) -> bool:
    total = counts.sum()

    def density(low: float, high: float) -> float:
        inside = (centre > low) & (centre < high)
        return counts[inside].sum() / inside.sum()

    negative = counts[centre < -20].sum() >= 0.005 * total
    soft = density(-150, 150)
    tissue = soft > 0 and soft >= density(200, 500) and soft >= density(-600, -300)
    thin = centre < -300
    smooth = np.convolve(counts * thin, np.ones(5), "same")
    peak = centre[int(np.argmax(smooth))]
    mineral = counts[centre > 600].sum() <= 0.4 * total
    return bool(negative and tissue and mineral and (counts[thin].sum() < 0.05 * total or -1100 <= peak <= -550))
