"""A trained network as a safetensors file, with everything that its use depends on in the header."""

from dataclasses import dataclass
from pathlib import Path

from planardose.errors import InputError
from planardose.learn.features import CHANNELS
from planardose.learn.network import ResidualMap
from planardose.learn.weights_file import Kind, read_weights
from planardose.run import Run

RETRAIN = "run 'planardose train' again"


@dataclass(frozen=True)
class Header:
    """Header of a weights file.

    Parameters
    ----------
    patient : str
        Pseudonym.
    model_sha256 : str
        Of the patient model that the network was trained on.
    grid : list of int
        (I, J, K).
    channels : list of str
        `features.CHANNELS` at training.
    width : int
    scale : float
        1, or 0 where the network did not win over its base on the validation samples.
    organ_relative_u : dict
        Organ -> root mean square of the relative error of its activity on the validation samples.
    training : dict
        Settings and validation scores, for the reader.
    """

    patient: str
    model_sha256: str
    grid: list[int]
    channels: list[str]
    width: int
    scale: float
    organ_relative_u: dict[str, float]
    training: dict


UNET = Kind(
    Header,
    lambda width: ResidualMap(len(CHANNELS), width),
    CHANNELS,
    "unet.safetensors of 'planardose train'",
    RETRAIN,
)


def unet_weights(run: Run, patient: str) -> Path:
    """The patient's U-Net as its last stage left it; `InputError` where that stage has not run."""
    step = "reinforce" if run.config.weights == "reinforced" else "train"
    return run.need(run.config.weights, step, patient=patient)


def load_network(path: Path, where: str, device: str = "cpu") -> tuple[ResidualMap, Header]:
    """Network and header of a weights file; `InputError` as `read_weights`."""
    return read_weights(path, where, UNET, device)


def check_fits(
    header, patient: str, model_sha256: str, grid: tuple[int, ...], where: str, again: str = RETRAIN
) -> None:
    """Refuse a network of another patient, patient model or grid; `header` is of any kind, `again` what to do."""
    for name, found, wanted in (
        ("patient", header.patient, patient),
        ("grid", "x".join(map(str, header.grid)), "x".join(map(str, grid))),
        ("patient model", header.model_sha256[:12], model_sha256[:12]),
    ):
        if found != wanted:
            raise InputError(where, f"trained for {name} {found}", f"{name} {wanted}", again)
