"""Weights with their header as one safetensors file: how every network of the package is kept."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from planardose.errors import InputError
from planardose.io.files import atomic

KEY = "planardose"  # one metadata entry only: safetensors does not keep the order of several


@dataclass(frozen=True)
class Kind:
    """A kind of network.

    Parameters
    ----------
    header : type
        Dataclass of the header, with `channels` and `width`.
    build : callable
        The network of a width.
    channels : tuple of str
        That it takes.
    file, again : str
        For faults: what the file should be, and how to get it.
    """

    header: type
    build: Callable[[int], torch.nn.Module]
    channels: tuple[str, ...]
    file: str
    again: str


def write_weights(path: Path, network: torch.nn.Module, header) -> None:
    """Write weights and header (a dataclass) atomically."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    with atomic(path) as temporary:
        temporary.write_bytes(save(tensors, {KEY: json.dumps(asdict(header), sort_keys=True)}))


def read_weights(path: Path, where: str, kind: Kind, device: str) -> tuple:
    """Network in evaluation mode, and header.

    Raises
    ------
    InputError
        If the file is not one of this kind, or its tensors do not fit the network of its header.
    """
    try:
        with safe_open(path, framework="pt", device=device) as f:
            header = kind.header(**json.loads((f.metadata() or {})[KEY]))
            tensors = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, KeyError, TypeError, ValueError) as fault:
        problem = f"not a readable weights file ({type(fault).__name__})"
        raise InputError(where, problem, kind.file, kind.again) from None
    if tuple(header.channels) != kind.channels:
        problem = f"trained on channels {', '.join(header.channels)}"
        raise InputError(where, problem, ", ".join(kind.channels), kind.again)
    network = kind.build(header.width).to(device)
    try:
        network.load_state_dict(tensors)
    except RuntimeError:
        problem = "tensors do not fit the network"
        raise InputError(where, problem, f"those of width {header.width}", kind.again) from None
    return network.eval(), header
