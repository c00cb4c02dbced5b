"""Starting Warp quietly, loading kernels, choosing the device."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType

import warp as wp

from planardose.errors import InputError
from planardose.io.cache import user_folder

log = logging.getLogger(__name__)


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
    if "WARP_CACHE_PATH" not in os.environ:  # Warp's own choice, where that can be written
        wp.config.kernel_cache_dir = str(user_folder() / "warp")
    with _stderr_closed():
        wp.init()


@cache
def load_kernel(module: ModuleType, device: str) -> None:
    """Load a kernel's module; on first use it is compiled (seconds) into the user's cache, safely beside others."""
    start_warp()
    wp.load_module(module, device=device)


def cuda_versions() -> str:
    """CUDA versions of the driver and of the toolkit that Warp is built with, in words."""
    start_warp()
    versions = wp.get_cuda_driver_version(), wp.get_cuda_toolkit_version()
    return "driver for CUDA {}, Warp's toolkit {}".format(*(".".join(map(str, v)) if v else "none" for v in versions))


def gpu_fault() -> str:
    """What keeps Warp from a GPU that is there, in words; empty where nothing does or where there is no GPU.

    Warp itself warns of an old driver while it starts, when `start_warp` lets it say nothing.
    """
    start_warp()
    if wp.get_cuda_driver_version() is None:  # no driver, or one that finds no GPU
        return ""
    if not wp.is_cuda_available():
        return f"Warp needs a driver for CUDA {wp.get_cuda_toolkit_version()[0]} or later ({cuda_versions()})"
    found, oldest = wp.get_cuda_device(0).arch, min(wp.get_cuda_supported_archs())
    return f"Warp needs sm_{oldest} or later, this is sm_{found} ({cuda_versions()})" if found < oldest else ""


def warp_device(choice: str) -> str:
    """Warp's device for the config key ``device``: ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    InputError
        If ``cuda`` is asked for and there is none.
    """
    start_warp()
    if choice == "cpu":
        return "cpu"
    fault = gpu_fault()
    there = wp.is_cuda_available() and not fault
    if choice == "cuda" and not there:
        problem = "'cuda', but no CUDA device can be used" + (f": {fault}" if fault else "")
        raise InputError("config device", problem, "auto or cpu on this machine", "see 'planardose doctor'")
    if fault:
        log.warning("the GPU is not used: %s", fault)
    return "cuda:0" if there else "cpu"
