"""Where networks run."""

import torch

from planardose.errors import InputError


def device_of(choice: str) -> str:
    """Torch's device for the config's choice.

    Raises
    ------
    InputError
        For ``cuda`` where torch sees none.
    """
    there = torch.cuda.is_available()
    if choice == "cuda" and not there:
        raise InputError("config device", "cuda, but torch sees no CUDA", "cpu or auto", "see 'planardose doctor'")
    return "cuda" if there and choice != "cpu" else "cpu"
