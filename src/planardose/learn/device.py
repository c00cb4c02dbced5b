"""Where networks run, how precisely they multiply, and what a CPU is slow at."""

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


def at_least_two(batch: torch.Tensor) -> torch.Tensor:
    """A batch (N, ...); on a CPU its sample twice where it has only one.

    On one thread torch leaves oneDNN aside for a single sample, and takes longer for it than for two.
    """
    return batch.expand(2, *batch.shape[1:]) if len(batch) == 1 and not batch.is_cuda else batch
