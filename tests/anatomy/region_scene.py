"""A body with organs as balls on a CT, for tests of structure sets and segmentations."""

from pathlib import Path

import numpy as np
from region_files import Roi, contours_of, ct_files

from planardose.image import Grid, Volume
from planardose.io.ct import read_ct
from planardose.io.dicom_ct import write_ct
from planardose.io.dicom_new import Identity

NAME = "Quillfeather"
SEG, LES = "P01 segmentation", "P01 lesions"
ORGANS = {5: (60.0, 10.0, 150.0), 3: (-70.0, -20.0, 130.0), 2: (50.0, -50.0, 90.0), 207: (-60.0, 40.0, 210.0)}


def write_scene(folder: Path) -> tuple[Path, Grid, str]:
    """A CT series of 40 x 30 x 24 voxels with a patient's name, its grid as read, and its frame of reference."""
    grid = Grid.axis_aligned((40, 30, 24), (8.0, 8.0, 10.0), (-160.0, -110.0, 35.0))
    x, y = np.meshgrid(grid.axis_mm(0), grid.axis_mm(1), indexing="ij")
    hu = np.where(np.hypot(x / 150, y / 105) < 1, 40.0, -1000.0)[:, :, None] * np.ones(24)
    noise = np.random.default_rng(1).normal(0, 10, grid.shape)
    write_ct(folder, Volume(hu + noise, grid, "CT number", "HU"), Identity(f"{NAME}^Ada", "4711"))
    return folder, read_ct(folder, "ct").grid, str(ct_files(folder)[0].FrameOfReferenceUID)


def balls(grid: Grid, centres: dict[int, tuple], radius: float = 24.0) -> np.ndarray:
    """Labels of balls, one for each centre in RAS mm."""
    index = np.stack(np.indices(grid.shape), -1)
    ras = index @ grid.ras_from_voxel[:3, :3].T + grid.ras_from_voxel[:3, 3]
    labels = np.zeros(grid.shape, dtype=np.int16)
    for n, centre in centres.items():
        labels[((ras - centre) ** 2).sum(-1) < radius**2] = n
    return labels


def rois(labels: np.ndarray, grid: Grid, names: dict[int, str], kinds: dict[int, str] | None = None) -> list[Roi]:
    return [Roi(name, contours_of(labels == n, grid), (kinds or {}).get(n, "")) for n, name in names.items()]


def no_labels(grid: Grid) -> Volume:
    return Volume(np.zeros(grid.shape, dtype=np.int16), grid, "label", "1")
