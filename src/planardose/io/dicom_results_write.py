"""Write a patient's results in DICOM: the dose map as RT Dose, an activity map as a reconstructed NM image."""

from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

import planardose
from planardose.image import Volume
from planardose.io.dicom_new import NM_IMAGE_STORAGE, new_dataset, save_dataset
from planardose.io.dicom_nm_write import code_item, put_nuclide
from planardose.io.dicom_slices_write import Slices, decimals
from planardose.io.dicom_study import LATER, Study
from planardose.io.dicom_tomographic_write import LARGEST, put_pixels, put_recon_tomo

RT_DOSE_STORAGE = "1.2.840.10008.5.1.4.1.1.481.2"
DOSE_SERIES, ACTIVITY_SERIES = 9101, 9102  # numbers beyond those of a scanner in the same study


def write_dose(path: Path, dose: Volume, study: Study, at: datetime, comment: str, comments: str) -> None:
    """Write a dose map in Gy as RT Dose (PS3.3 A.18): 16 bits, frames from the feet up.

    A frame's rows run to the back, its columns to the left. No RT Plan exists of a radionuclide therapy, so that the
    sum is told by a plan overview (PS3.3 C.8.8.3): every other kind of sum must refer to a plan.

    Parameters
    ----------
    path : Path
    dose : Volume
        (I, J, K) Gy, not negative, with axes along the patient's.
    study : Study
    at : datetime
        Written as the date of series and content.
    comment : str
        DoseComment, at most 64 characters.
    comments : str
        ImageComments: all there is to say.
    """
    slices = Slices.of(dose)
    ds = _new(RT_DOSE_STORAGE, study, at, DOSE_SERIES, "absorbed dose of all cycles, Gy")
    del ds.AcquisitionDate, ds.AcquisitionTime
    ds.Modality, ds.OperatorsName, ds.InstanceNumber = "RTDOSE", "", 1
    ds.ImagePositionPatient, ds.ImageOrientationPatient = slices.position(0), slices.orientation
    slices.put_size(ds)
    ds.NumberOfFrames, ds.FrameIncrementPointer = slices.count, Tag("GridFrameOffsetVector")
    ds.GridFrameOffsetVector = decimals(np.arange(slices.count) * slices.spacing_mm[2])
    ds.DoseUnits, ds.DoseType, ds.DoseSummationType, ds.DoseComment = "GY", "PHYSICAL", "PLAN_OVERVIEW", comment
    ds.ImageComments = comments
    ds.TissueHeterogeneityCorrection = "IMAGE"
    ds.DoseGridScaling = put_pixels(ds, slices.frames)
    ds.PlanOverviewSequence = Sequence([_overview(study)])
    study.take(ds)
    save_dataset(path, ds)


def _overview(study: Study) -> Dataset:
    item = Dataset()
    item.PlanOverviewIndex, item.RTPlanLabel, item.TreatmentSite = 1, "", ""
    item.TreatmentSiteCodeSequence, item.PrescriptionOverviewSequence = Sequence([]), Sequence([])
    if study.slices:
        item.ReferencedImageSequence = study.references()
    return item


def write_activity(
    path: Path,
    activity: Volume,
    study: Study,
    at: datetime,
    duration_s: float,
    nuclide: str,
    comment: str,
    timepoint: str,
    number: int = 0,
) -> None:
    """Write an activity map in Bq/mL as a reconstructed NM image (RECON TOMO), slices from the feet up.

    The unit stands where the standard has a place for it, in a real-world mapping; and for the many readers that look
    there, as in PET, in Units, RescaleSlope and RescaleIntercept.

    Parameters
    ----------
    path : Path
    activity : Volume
        (I, J, K) Bq/mL, not negative, with axes along the patient's.
    study : Study
    at : datetime
        Start of the acquisition.
    duration_s : float
        Of the acquisition, in the middle of which the patient held this activity.
    nuclide : str
        Catalogue name.
    comment : str
        ImageComments.
    timepoint : str
        Names the series.
    number : int
        Of the time point, from 0.
    """
    ds = _new(NM_IMAGE_STORAGE, study, at, ACTIVITY_SERIES + number, f"activity {timepoint}, Bq/mL")
    ds.InstanceNumber, ds.BodyPartExamined, ds.CountsAccumulated, ds.ImageComments = 1, "WHOLEBODY", None, comment
    slope = put_recon_tomo(ds, activity, _standing_still(duration_s), heads=1)
    ds.DetectorInformationSequence[0].CollimatorType = ""
    ds.EnergyWindowInformationSequence = Sequence([])
    put_nuclide(ds, nuclide)
    # the place is told in the patient's axes, whichever way the patient lay
    ds.PatientOrientationCodeSequence = ds.PatientGantryRelationshipCodeSequence = Sequence([])
    ds.Units, ds.RealWorldValueMappingSequence = "BQML", Sequence([_bq_ml(float(slope))])
    study.take(ds)
    save_dataset(path, ds)


def _new(sop_class: str, study: Study, at: datetime, number: int, description: str) -> Dataset:
    ds = new_dataset(sop_class, LATER, study.identity, at)
    ds.Manufacturer = ds.ManufacturerModelName = "planardose"
    ds.SoftwareVersions, ds.SeriesNumber = planardose.__version__, number
    ds.SeriesDescription = f"planardose {description}"
    return ds


def _standing_still(duration_s: float) -> Dataset:
    """The one rotation that the standard asks for: heads that do not turn."""
    item = Dataset()
    item.StartAngle, item.AngularStep, item.ScanArc, item.RotationDirection = 0, 0, 0, "CW"
    item.NumberOfFramesInRotation, item.ActualFrameDuration = 1, round(duration_s * 1000)
    return item


def _bq_ml(slope: float) -> Dataset:
    item = Dataset()
    item.RealWorldValueFirstValueMapped, item.RealWorldValueLastValueMapped = 0, LARGEST
    item.RealWorldValueIntercept, item.RealWorldValueSlope = 0.0, slope
    item.LUTExplanation, item.LUTLabel = "activity concentration", "BQML"
    item.MeasurementUnitsCodeSequence = Sequence([code_item("Bq/ml", "Becquerels/milliliter", "UCUM")])
    return item
