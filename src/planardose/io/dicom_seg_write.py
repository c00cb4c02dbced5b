"""Write labels as a DICOM segmentation (SEG): one binary segment for each, on the slices that it has voxels in.

With pydicom alone: highdicom's writer wants source images, which a NIfTI CT has not, and copies who they are of.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import pack_bits
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from scipy import ndimage

import planardose
from planardose.image import Volume
from planardose.io.dicom_new import new_dataset, save_dataset, uid_of
from planardose.io.dicom_nm_write import code_item
from planardose.io.dicom_slices_write import Slices
from planardose.io.dicom_study import LATER, Study
from planardose.organ_codes import ALTERED, ANATOMY, CYST, LESION, codes_of_organ, side_of
from planardose.organs import LESION_BASE, lesion_name, name_of_label

SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_SERIES = 9100  # before those of dose and activity
BYTE = 8  # frames of any size whose bits fill whole bytes together


@dataclass(frozen=True)
class Author:
    """Who drew the labels.

    Parameters
    ----------
    algorithm : str
        Of the organs, e.g. ``"TotalSegmentator 2.18.0"``; empty where the user gave them.
    comment : str
        ContentDescription, at most 64 characters.
    """

    algorithm: str
    comment: str


def write_segments(path: Path, labels: Volume, study: Study, at: datetime, author: Author) -> None:
    """Write a label map as a segmentation (PS3.3 A.51), segments in the order of their labels.

    Parameters
    ----------
    path : Path
    labels : Volume
        (I, J, K), in our numbering, on the CT's grid, with one label or more; frames are its slices along k.
    study : Study
        With the CT's slices in the order of k, where it is DICOM.
    at : datetime
        Written as the date of series and content.
    author : Author
    """
    slices = Slices.of(labels)
    ds = _new(study, at, author.comment)
    images = np.ascontiguousarray(slices.frames)
    boxes = {label: box for label, box in enumerate(ndimage.find_objects(images), start=1) if box}
    ds.SegmentSequence = Sequence([_segment(n, label, author) for n, label in enumerate(boxes, start=1)])
    ds.Rows, ds.Columns = images.shape[1:]
    ds.SharedFunctionalGroupsSequence = Sequence([_shared(slices)])
    frames, packed, waiting = [], [], []
    of_ct = study.slices if len(study.slices) == slices.count else (None,) * slices.count
    for n, (label, box) in enumerate(boxes.items(), start=1):
        for k in range(box[0].start, box[0].stop):
            image = images[k] == label
            if not image.any():
                continue
            frames.append(_frame(n, k, slices, of_ct[k]))
            waiting.append(image.view(np.uint8))
            if len(waiting) == BYTE:
                packed.append(pack_bits(np.array(waiting), pad=False))
                waiting = []
    packed.append(pack_bits(np.array(waiting)) if waiting else b"")
    ds.NumberOfFrames, ds.PerFrameFunctionalGroupsSequence = len(frames), Sequence(frames)
    pixels = b"".join(packed)
    ds.PixelData = pixels + b"\0" * (len(pixels) % 2)
    study.take(ds)
    save_dataset(path, ds)


def _new(study: Study, at: datetime, comment: str) -> Dataset:
    ds = new_dataset(SEGMENTATION_STORAGE, LATER, study.identity, at)
    del ds.AcquisitionDate, ds.AcquisitionTime
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "SEG", "planardose", "planardose"
    ds.DeviceSerialNumber, ds.SoftwareVersions = planardose.__version__, planardose.__version__
    ds.SeriesNumber, ds.InstanceNumber, ds.SeriesDescription = LABEL_SERIES, 1, "planardose organs and lesions"
    ds.ImageType, ds.ContentLabel, ds.ContentDescription = ["DERIVED", "PRIMARY"], "LABELS", comment
    ds.ContentCreatorName, ds.SegmentationType, ds.SegmentsOverlap = "", "BINARY", "NO"
    ds.LossyImageCompression, ds.BurnedInAnnotation = "00", "NO"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 1, 1, 0, 0
    organization = Dataset()
    organization.DimensionOrganizationUID = uid_of("planardose", "segments and positions")
    ds.DimensionOrganizationSequence = Sequence([organization])
    ds.DimensionIndexSequence = Sequence([
        _index("ReferencedSegmentNumber", "SegmentIdentificationSequence", organization),
        _index("ImagePositionPatient", "PlanePositionSequence", organization),
    ])  # fmt: skip
    return ds


def _index(what: str, group: str, organization: Dataset) -> Dataset:
    item = Dataset()
    item.DimensionIndexPointer, item.FunctionalGroupPointer = Tag(what), Tag(group)
    item.DimensionOrganizationUID = organization.DimensionOrganizationUID
    item.DimensionDescriptionLabel = what
    return item


def _segment(number: int, label: int, author: Author) -> Dataset:
    item, lesion = Dataset(), label > LESION_BASE
    name = lesion_name(label - LESION_BASE) if lesion else name_of_label()[label]
    item.SegmentNumber, item.SegmentLabel = number, name
    item.SegmentAlgorithmType = "MANUAL" if lesion or not author.algorithm else "AUTOMATIC"
    if item.SegmentAlgorithmType == "AUTOMATIC":
        item.SegmentAlgorithmName = author.algorithm
    kind = code_item(*(LESION if lesion else codes_of_organ()[name][0]))
    category = ALTERED if kind.CodeValue in (LESION[0], CYST) else ANATOMY
    item.SegmentedPropertyCategoryCodeSequence = Sequence([code_item(*category)])
    side = None if lesion else side_of(name)
    if side:
        kind.SegmentedPropertyTypeModifierCodeSequence = Sequence([code_item(*side)])
    item.SegmentedPropertyTypeCodeSequence = Sequence([kind])
    return item


def _shared(slices: Slices) -> Dataset:
    """What all frames share: size of the pixels, orientation."""
    measures, plane, item = Dataset(), Dataset(), Dataset()
    slices.put_size(measures)
    measures.SpacingBetweenSlices = measures.SliceThickness
    plane.ImageOrientationPatient = slices.orientation
    item.PixelMeasuresSequence, item.PlaneOrientationSequence = Sequence([measures]), Sequence([plane])
    return item


def _frame(number: int, k: int, slices: Slices, of_ct: tuple[str, str, str] | None) -> Dataset:
    """Functional groups of one segment on slice k, derived from the CT's slice (`Study.slices`) where it is known."""
    content, position, segment, item = Dataset(), Dataset(), Dataset(), Dataset()
    content.DimensionIndexValues = [number, k + 1]
    position.ImagePositionPatient = slices.position(k)
    segment.ReferencedSegmentNumber = number
    item.FrameContentSequence, item.PlanePositionSequence = Sequence([content]), Sequence([position])
    item.SegmentIdentificationSequence = Sequence([segment])
    if of_ct:
        source, derivation = Dataset(), Dataset()
        source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = of_ct[1:]
        source.PurposeOfReferenceCodeSequence = Sequence(
            [code_item("121322", "Source image for image processing operation", "DCM")]
        )
        derivation.SourceImageSequence = Sequence([source])
        derivation.DerivationCodeSequence = Sequence([code_item("113076", "Segmentation", "DCM")])
        item.DerivationImageSequence = Sequence([derivation])
    return item
