"""Starting Warp quietly, loading kernels, choosing the device."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType

import warp as wp

from planardose.errors import InputError


@contextmanager
def _stderr_closed() -> Iterator[None]:
    """Send what native code writes to stderr nowhere."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@cache
def start_warp() -> None:
    """Start Warp without its banner and its warning about machines that have no GPU."""
    wp.config.log_level = wp.LOG_ERROR
    with _stderr_closed():
        wp.init()


@cache
def load_kernel(module: ModuleType, device: str) -> None:
    """Load a kernel's module; on first use it is compiled (seconds) into the user's cache, safely beside others."""
    start_warp()
    wp.load_module(module, device=device)


def warp_device(choice: str) -> str:
    """Warp's device for the config key ``device``: ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    InputError
        If ``cuda`` is asked for and there is none.
    """
    start_warp()
    if choice == "cuda" and not wp.is_cuda_available():
        raise InputError("config device", "'cuda', but no CUDA device can be used", "auto or cpu on this machine")
    return "cuda:0" if choice != "cpu" and wp.is_cuda_available() else "cpu"
