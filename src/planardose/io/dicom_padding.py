"""Pixels of a DICOM image that hold nothing: its padding."""

import numpy as np
from pydicom.dataset import Dataset
from scipy import ndimage


def padding(ds: Dataset, image: np.ndarray) -> np.ndarray | bool:
    """Pixels (rows, columns) of PixelPaddingValue, up to PixelPaddingRangeLimit, that reach the image's edge.

    Inside the body the same stored value may be tissue. Numbers of the other signedness are those of the same bits.
    """
    value = ds.get("PixelPaddingValue")
    if value in (None, ""):
        return False
    limit = ds.get("PixelPaddingRangeLimit")
    ends = [np.int64(int(x)).astype(image.dtype) for x in (value, value if limit in (None, "") else limit)]
    parts, _ = ndimage.label((image >= min(ends)) & (image <= max(ends)))
    at_edge = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    return np.isin(parts, at_edge[at_edge > 0])
