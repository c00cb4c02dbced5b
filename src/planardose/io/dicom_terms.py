"""Terms of the standard that a message may repeat: any other text of a header may hold a person's name."""

from collections.abc import Iterable

from pydicom.dataset import Dataset

MODALITIES = (
    "CT", "PT", "NM", "MR", "SC", "OT", "CR", "DX", "MG", "US", "XA", "RF", "XC", "SR", "PR", "KO", "DOC", "SEG", "REG",
    "RTSTRUCT", "RTDOSE", "RTPLAN", "RTIMAGE", "RTRECORD", "RWV", "FID", "RAW", "ECG",
)  # fmt: skip
IMAGE_TYPES = (  # value 3 of ImageType (PS3.3 C.8.4.9), value 1 of SeriesType (C.8.9.1)
    "STATIC", "WHOLE BODY", "DYNAMIC", "GATED", "TOMO", "GATED TOMO", "RECON TOMO", "RECON GATED TOMO",
)  # fmt: skip
TECHNIQUES = ("1PS", "2PS", "PCN", "MSP")  # WholeBodyTechnique
COLLIMATOR_TYPES = ("PARA", "PINH", "FANB", "CONE", "SLNT", "ASTG", "DIVG")  # CollimatorType
ANOTHER = "of a kind that the standard does not have"


def term(text: str, known: Iterable[str]) -> str:
    """The text where it is one of the known terms; else words that tell that it is none."""
    return text if text in known else ANOTHER


def modalities_of(datasets: list[Dataset]) -> str:
    """Modalities of the data sets for a message, ``?`` for any that is missing or none of the standard's."""
    told = (str(ds.get("Modality") or "?") for ds in datasets)
    return ", ".join(sorted({m if m in MODALITIES else "?" for m in told}))
