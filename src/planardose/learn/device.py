"""Where networks run, how precisely they multiply, and what a CPU is slow at."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from planardose.errors import InputError

# CUDA's condition for deterministic products, read at the first of them. It takes one other value (:16:8), but equal
# numbers on every machine need one for all, whatever a site sets.
os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"


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
    """Type of the factors of products for the config's ``train.precision``; sums are float32.

    ``auto`` is bfloat16 on GPUs that multiply it: those before sm_80 emulate it.
    """
    fast = choice == "auto" and device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if fast or choice == "bfloat16" else torch.float32


@contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """Weights made here on the CPU depend on `seed` only; torch's global state is left as it was.

    `torch.manual_seed` would seed the generators of all GPUs as well, and they are not put back.
    """
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        yield


def at_least_two(batch: torch.Tensor) -> torch.Tensor:
    """A batch (N, ...); on a CPU its sample twice where it has only one.

    On one thread torch leaves oneDNN aside for a single sample, and takes longer for it than for two.
    """
    return batch.expand(2, *batch.shape[1:]) if len(batch) == 1 and not batch.is_cuda else batch
