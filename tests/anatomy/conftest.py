"""Small CTs with known content."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from planardose.image import Grid, Volume


@pytest.fixture
def shared() -> Path:
    """Folder of the shared data; the test is skipped where there is none."""
    folder = Path(os.environ.get("PLANARDOSE_SHARED", Path(__file__).parents[2] / ".." / "shared"))
    if not folder.is_dir():
        pytest.skip("no shared data")
    return folder


@pytest.fixture
def torso(shared) -> tuple[Volume, Volume]:
    """The real CT (HU) and its labels."""
    folder = shared / "data" / "ct_torso"
    images = [nib.load(folder / f) for f in ("ct.nii.gz", "labels_totalsegmentator_v2.nii.gz")]
    return tuple(
        Volume(np.asarray(image.dataobj).astype(np.int16), Grid(image.shape, image.affine), quantity, unit)
        for image, quantity, unit in zip(images, ("CT number", "label"), ("HU", "1"), strict=True)
    )


@pytest.fixture(scope="session")
def scene(tmp_path_factory) -> tuple[Path, Grid, str]:
    """What `region_scene.write_scene` tells; no test may change its files."""
    from region_scene import write_scene  # highdicom takes long to import

    return write_scene(tmp_path_factory.mktemp("scene") / "ct")
