"""A trained diffusion model as a safetensors file, with everything that its use depends on in the header."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from planardose.errors import InputError
from planardose.io.files import atomic
from planardose.learn.denoiser import Denoiser
from planardose.learn.features import CHANNELS
from planardose.learn.weights import KEY

REFERENCE = "log_reference"  # the channel beyond `CHANNELS`: reference over base
RETRAIN = "run 'planardose train-diffusion' again"


@dataclass(frozen=True)
class DiffusionHead:
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
        Settings for which the scales hold.
    organ_scale, voxel_scale : float
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
    organ_scale: float
    voxel_scale: float
    training: dict


def save_denoiser(path: Path, denoiser: Denoiser, head: DiffusionHead) -> None:
    """Write weights and header atomically."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in denoiser.state_dict().items()}
    with atomic(path) as temporary:
        temporary.write_bytes(save(tensors, {KEY: json.dumps(asdict(head), sort_keys=True)}))


def load_denoiser(path: Path, where: str, device: str = "cpu") -> tuple[Denoiser, DiffusionHead]:
    """Denoiser and header of a weights file.

    Raises
    ------
    InputError
        If the file is not a diffusion model of this package, or its tensors do not fit the network of its header.
    """
    try:
        with safe_open(path, framework="pt", device=device) as f:
            head = DiffusionHead(**json.loads((f.metadata() or {})[KEY]))
            tensors = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, KeyError, TypeError, ValueError) as fault:
        problem = f"not a readable weights file ({type(fault).__name__})"
        raise InputError(where, problem, "diffusion.safetensors of 'planardose train-diffusion'", RETRAIN) from None
    wanted = [*CHANNELS, REFERENCE]
    if head.channels != wanted:
        raise InputError(where, f"trained on channels {', '.join(head.channels)}", ", ".join(wanted), RETRAIN)
    denoiser = Denoiser(len(wanted), head.width).to(device)
    try:
        denoiser.load_state_dict(tensors)
    except RuntimeError:
        raise InputError(where, "tensors do not fit the network", f"width {head.width}", RETRAIN) from None
    return denoiser.eval(), head


def moments_of(head: DiffusionHead, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation (O,) of the header, in the order of its organs."""
    table = torch.tensor(head.moments, dtype=torch.float32, device=device)
    return table[:, 0], table[:, 1]
