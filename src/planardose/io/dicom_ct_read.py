"""Read a CT series from a folder of DICOM files, as scanners, archives and anonymisers leave them."""

from pathlib import Path

from pydicom.dataset import Dataset

from planardose.errors import InputError
from planardose.image import Volume
from planardose.io.dicom_frames import single_images
from planardose.io.dicom_read import is_picture, read_datasets, understood, words_of
from planardose.io.dicom_slices import one_series, volume_of_slices
from planardose.io.dicom_terms import modalities_of

UNSCANNED_HU = -1024.0


def read_ct_series(path: Path, where: str) -> Volume:
    """Read the one CT series of a folder (or its subfolders) into HU: single slices or an enhanced multi-frame object.

    Slices are grouped by frame of reference, orientation, matrix and pixel size; a group whose positions repeat is
    split by series. Localizers and objects that are no CT are left out. The spacing comes from positions alone.

    Parameters
    ----------
    path : Path
        Folder, or a file of it.
    where : str
        Sheet row and column, for errors.

    Returns
    -------
    Volume
        (I, J, K) float32 HU, i along a row of pixels, j down the rows, k along the slices; oblique and sheared
        (tilted gantry) series keep their affine.

    Raises
    ------
    InputError
        No or several CT series, several patients, missing slices, uneven spacing, broken files.
    """
    datasets = read_datasets(path, where)
    with understood(where):
        return volume_of_slices(_ct_slices(datasets, where), "CT", "CT number", "HU", UNSCANNED_HU, where)


def read_ct_slices(path: Path, where: str) -> list[Dataset]:
    """The slices of which `read_ct_series` makes its volume, in its order; raises as it does."""
    datasets = read_datasets(path, where)
    with understood(where):
        return one_series(_ct_slices(datasets, where), "CT", where)


def _ct_slices(datasets: list[Dataset], where: str) -> list[Dataset]:
    """The CT images of a folder but for localizers and pages: images of no place where others have one.

    Scanners put dose reports and protocols into the series' folder, some of them as CT images.
    """
    images = [image for ds in datasets if _is_ct_image(ds) for image in single_images(ds, where)]
    if not images:
        seen = modalities_of(datasets)
        raise InputError(where, f"no CT image among {len(datasets)} DICOM files (modalities {seen})", "one CT series")
    return [ds for ds in images if not _is_page(ds)] or images


def _is_ct_image(ds: Dataset) -> bool:
    """An axial or oblique CT image with pixels; an empty SOPClassUID or Modality is no obstacle."""
    if is_picture(ds) and not ds.get("ImagePositionPatient"):
        return False
    modality = str(ds.get("Modality") or "CT")
    return modality == "CT" and "PixelData" in ds and "LOCALIZER" not in words_of(ds, "ImageType")


def _is_page(ds: Dataset) -> bool:
    return not ds.get("ImagePositionPatient") and not ds.get("ImageOrientationPatient")
