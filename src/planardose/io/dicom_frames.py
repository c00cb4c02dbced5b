"""The frames of an enhanced multi-frame object (PS3.3 C.7.6.16) as the single images that a reader of slices takes."""

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from planardose.errors import InputError
from planardose.io.dicom_read import pixels

PER_FRAME, SHARED = "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"
MACROS = {  # functional group -> what a single image has of it
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing",),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept", "RescaleType"),
}
OF_THE_WHOLE = (PER_FRAME, SHARED, "PixelData", "NumberOfFrames")


def single_images(ds: Dataset, where: str) -> list[Dataset]:
    """The frames of an enhanced object, each with its place and scale; any other object as it is.

    Parameters
    ----------
    ds : Dataset
    where : str
        Sheet row and column, for errors.

    Raises
    ------
    InputError
        Where pixels cannot be decoded, or are not as many as the frames that the header describes.
    """
    groups = list(ds.get(PER_FRAME) or [])
    if not groups:
        return [ds]
    images = pixels(ds, where)
    images = images.reshape(-1, *images.shape[-2:])
    if len(images) != len(groups):
        problem = f"an enhanced object with {len(images)} frames describes {len(groups)}"
        raise InputError(where, problem, "a description of every frame", "export the series again")
    shared = (ds.get(SHARED) or [Dataset()])[0]
    common = {element.tag: element for element in ds if element.keyword not in OF_THE_WHOLE}
    return [_single(common, group, shared, image) for group, image in zip(groups, images, strict=True)]


def _single(common: dict, group: Dataset, shared: Dataset, image) -> Dataset:
    """One frame (rows, columns) with the elements common to all, and those of its own and the shared groups."""
    single = Dataset()
    single.update(common)
    for macro, names in MACROS.items():
        holder = (group.get(macro) or shared.get(macro) or [Dataset()])[0]
        for name in names:
            if name in holder:
                setattr(single, name, holder[name].value)
    single.PixelData = image.tobytes()
    single.file_meta = FileMetaDataset()
    single.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return single
