"""A trained diffusion model as a safetensors file, with everything that its use depends on in the header."""

from dataclasses import dataclass
from pathlib import Path

import torch

from planardose.learn.denoiser import Denoiser
from planardose.learn.features import CHANNELS
from planardose.learn.weights_file import Kind, read_weights

REFERENCE = "log_reference"  # the channel beyond `CHANNELS`: reference over base
RETRAIN = "run 'planardose train-diffusion' again"


@dataclass(frozen=True)
class DiffusionHeader:
    """Header of a diffusion model's weights.

    Parameters
    ----------
    patient : str
        Pseudonym.
    model_sha256 : str
        Of the patient model that it was trained on.
    unet_sha256 : str
        Of the U-Net's weights whose maps are the reference; empty: the reference is the physics base.
    grid : list of int
        (I, J, K).
    channels : list of str
        Of the condition.
    width : int
    organs : list of str
        Of `moments`.
    moments : list of [float, float]
        Mean and standard deviation of each organ's log ratio (`residual.Scaling`).
    common : list of float
        Share of each organ's variance that the whole organ has in common (`noise.NoiseModel`).
    smoothing : float
        Of the noise, voxels.
    draws, sampling_steps : int
        Settings for which the scale holds.
    voxel_scale : float
        What turns the spread of draws into a standard uncertainty (`calibration.Calibration`).
    training : dict
        Settings and validation scores, for the reader.
    """

    patient: str
    model_sha256: str
    unet_sha256: str
    grid: list[int]
    channels: list[str]
    width: int
    organs: list[str]
    moments: list[list[float]]
    common: list[float]
    smoothing: float
    draws: int
    sampling_steps: int
    voxel_scale: float
    training: dict


DIFFUSION = Kind(
    DiffusionHeader,
    lambda width: Denoiser(len(CHANNELS) + 1, width),
    (*CHANNELS, REFERENCE),
    "diffusion.safetensors of 'planardose train-diffusion'",
    RETRAIN,
)


def load_denoiser(path: Path, where: str, device: str = "cpu") -> tuple[Denoiser, DiffusionHeader]:
    """Denoiser and header of a weights file; `InputError` as `read_weights`."""
    return read_weights(path, where, DIFFUSION, device)


def moments_of(header: DiffusionHeader, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation (O,) of the header, in the order of its organs."""
    table = torch.tensor(header.moments, dtype=torch.float32, device=device)
    return table[:, 0], table[:, 1]
