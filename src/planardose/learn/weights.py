"""A trained network as a safetensors file, with everything that its use depends on in the header."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from planardose.errors import InputError
from planardose.io.files import atomic
from planardose.learn.features import CHANNELS
from planardose.learn.network import ResidualMap
from planardose.run import Run

KEY = "planardose"  # one metadata entry only: safetensors does not keep the order of several
RETRAIN = "run 'planardose train' again"


@dataclass(frozen=True)
class Head:
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


def save_network(path: Path, network: ResidualMap, head: Head) -> None:
    """Write weights and header atomically."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    with atomic(path) as temporary:
        temporary.write_bytes(save(tensors, {KEY: json.dumps(asdict(head), sort_keys=True)}))


def unet_weights(run: Run, patient: str) -> Path:
    """The patient's U-Net as its last stage left it; `InputError` where that stage has not run."""
    step = "reinforce" if run.config.weights == "reinforced" else "train"
    return run.need(run.config.weights, step, patient=patient)


def load_network(path: Path, where: str, device: str = "cpu") -> tuple[ResidualMap, Head]:
    """Network and header of a weights file.

    Raises
    ------
    InputError
        If the file is not a weights file of this package, or its tensors do not fit the network of its header.
    """
    try:
        with safe_open(path, framework="pt", device=device) as f:
            head = Head(**json.loads((f.metadata() or {})[KEY]))
            tensors = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, KeyError, TypeError, ValueError) as fault:
        problem = f"not a readable weights file ({type(fault).__name__})"
        raise InputError(where, problem, "unet.safetensors of 'planardose train'", RETRAIN) from None
    if head.channels != list(CHANNELS):
        raise InputError(where, f"trained on channels {', '.join(head.channels)}", ", ".join(CHANNELS), RETRAIN)
    network = ResidualMap(len(CHANNELS), head.width).to(device)
    try:
        network.load_state_dict(tensors)
    except RuntimeError:
        raise InputError(where, "tensors do not fit the network", f"a U-Net of width {head.width}", RETRAIN) from None
    return network.eval(), head


def check_fits(head: Head, patient: str, model_sha256: str, grid: tuple[int, ...], where: str) -> None:
    """Refuse a network of another patient, patient model or grid with `InputError`."""
    for name, found, wanted in (
        ("patient", head.patient, patient),
        ("grid", "x".join(map(str, head.grid)), "x".join(map(str, grid))),
        ("patient model", head.model_sha256[:12], model_sha256[:12]),
    ):
        if found != wanted:
            raise InputError(where, f"trained for {name} {found}", f"{name} {wanted}", RETRAIN)
