"""Where networks run, and how precisely they multiply."""

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


def products_of(choice: str, device: str) -> torch.dtype:
    """Type of the factors of products for the config's ``train.precision``; sums are float32."""
    low = choice == "bfloat16" or (choice == "auto" and device == "cuda")
    return torch.bfloat16 if low else torch.float32
