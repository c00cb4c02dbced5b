"""The population network that ships with the package: where the training of a patient starts."""

from dataclasses import dataclass, field
from pathlib import Path

import yaml
from safetensors import SafetensorError
from safetensors.torch import load, save

from planardose.errors import InputError
from planardose.io.files import atomic, sha256_of, write_text
from planardose.learn.features import CHANNELS
from planardose.learn.network import ResidualMap

FOLDER = Path(__file__).parent.parent / "data" / "population"
NAME = "unet.safetensors"
COMMAND = "python benchmarks/population/train.py --cache FOLDER"
REINSTALL = "install the package again, or set train.start: scratch"


@dataclass(frozen=True)
class Population:
    """The network in evaluation mode, and what its description says.

    Parameters
    ----------
    network : ResidualMap
    sha256 : str
        Of the weights file.
    grid_mm : float
        Voxel size that it was trained with.
    training : dict
        Seeds, numbers of anatomies and uptakes, optimiser, validation scores.
    """

    network: ResidualMap = field(repr=False)
    sha256: str
    grid_mm: float
    training: dict = field(repr=False)


def save_population(path: Path, network: ResidualMap, grid_mm: float, training: dict) -> None:
    """Write the weights, and beside them a YAML description with their hash."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    with atomic(path) as temporary:
        temporary.write_bytes(save(tensors))
    width = network.head.in_channels
    facts = {"sha256": sha256_of(path), "command": COMMAND, "channels": list(CHANNELS), "width": width}
    write_text(path.with_suffix(".yaml"), yaml.safe_dump(facts | {"grid_mm": grid_mm} | training, sort_keys=False))


def load_population(width: int, device: str = "cpu", path: Path = FOLDER / NAME) -> Population:
    """The shipped network.

    Parameters
    ----------
    width : int
        ``train.width``: the shipped weights fit one width only.
    device : str
    path : Path
        Weights with their description beside them.

    Raises
    ------
    InputError
        If the weights are not those of the description, or of other channels or another width.
    """
    where = "population model"
    try:
        facts = yaml.safe_load(path.with_suffix(".yaml").read_text())
        sha256 = sha256_of(path)
    except OSError as fault:
        raise InputError(where, f"{type(fault).__name__}: not readable", "the package's own file", REINSTALL) from None
    if sha256 != facts["sha256"]:
        raise InputError(where, f"SHA-256 {sha256[:12]}", f"{facts['sha256'][:12]} of its description", REINSTALL)
    if facts["channels"] != list(CHANNELS):
        expected = ", ".join(CHANNELS)
        raise InputError(where, f"trained on channels {', '.join(facts['channels'])}", expected, f"run '{COMMAND}'")
    if facts["width"] != width:
        raise InputError("config train.width", f"{width}", f"{facts['width']}, the population model's",
                         "leave train.width at its default, or set train.start: scratch")  # fmt: skip
    network = ResidualMap(len(CHANNELS), width).to(device)
    try:
        network.load_state_dict(load(path.read_bytes()))
    except (SafetensorError, RuntimeError):
        raise InputError(where, "tensors do not fit the network", f"a U-Net of width {width}", REINSTALL) from None
    return Population(network.eval(), sha256, float(facts["grid_mm"]), facts)
