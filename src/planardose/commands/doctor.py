"""What this machine has for planardose, what is missing, and how to get it. Opens no connection."""

import importlib
import importlib.metadata
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from planardose.config import Config

PYTHONS = ((3, 11), (3, 12))
SLURM_COMMANDS = ("sbatch", "squeue", "scontrol", "srun", "scancel")  # what the Slurm executor of Snakemake calls
FREE_GB = 20.0  # room for a small cohort with its virtual projections
GB = 1e9


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's list; `status` is ``ok``, ``missing`` (needed) or ``none`` (only some work needs it)."""

    item: str
    status: str
    detail: str
    how: str = ""

    def __str__(self) -> str:
        return f"{self.status:<8}{self.item:<32}{self.detail}" + (f"; {self.how}" if self.how else "")


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] in PYTHONS:
        return Finding("Python", "ok", version)
    return Finding("Python", "missing", version, "install Python 3.11 or 3.12 and run 'make setup'")


def _package(item: str, distribution: str, module: str) -> Finding:
    """Whether a package is installed and imports."""
    try:
        version = importlib.metadata.version(distribution)
        importlib.import_module(module)
    except importlib.metadata.PackageNotFoundError:
        return Finding(item, "missing", "not installed", "run 'make setup'")
    except (ImportError, OSError, RuntimeError) as fault:
        detail = f"installed, but does not import ({type(fault).__name__})"
        return Finding(item, "missing", detail, "run 'make setup' anew")
    return Finding(item, "ok", version)


def _cuda() -> Finding:
    try:
        import torch
    except (ImportError, OSError):
        return Finding("CUDA", "none", "torch does not import", "see torch")
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count()))
        return Finding("CUDA", "ok", f"{names} (CUDA {torch.version.cuda})")
    if torch.version.cuda is None:
        return Finding("CUDA", "none", "this torch is built for the CPU only", "with a GPU: 'make setup TORCH=cuda'")
    return Finding("CUDA", "none", "no GPU seen by torch", "needs an NVIDIA GPU and its driver; the CPU does it slower")


def _warp_cuda() -> Finding:
    """The Monte Carlo camera's GPU: Warp may need a newer driver or GPU than torch."""
    item = "CUDA for Warp"
    try:
        import warp

        from planardose.physics.warp_runtime import cuda_versions, gpu_fault

        fault, devices = gpu_fault(), warp.get_cuda_devices()
    except (ImportError, OSError, RuntimeError):
        return Finding(item, "none", "Warp does not start", "see Warp")
    if fault:
        return Finding(item, "none", fault, "until then the Monte Carlo camera runs on the CPU")
    if devices:
        return Finding(item, "ok", f"{', '.join(d.name for d in devices)} ({cuda_versions()})")
    wanted = f"a driver for CUDA {warp.get_cuda_toolkit_version()[0]} or later"
    how = f"needs an NVIDIA GPU and {wanted}; the CPU does it slower"
    return Finding(item, "none", f"no GPU seen by Warp ({cuda_versions()})", how)


def _weights(config: Config) -> list[Finding]:
    try:
        from planardose.anatomy.totalseg import DATASETS, missing_weights, weights_folder

        folder = weights_folder(config.segmentation.weights)
        found = {task: missing_weights(folder, task) for task in DATASETS}
    except (ImportError, OSError) as fault:
        return [Finding("TotalSegmentator weights", "none", f"the package does not import ({type(fault).__name__})")]
    lines = []
    for task, missing in found.items():
        commands = " && ".join(dict.fromkeys(missing.values()))
        how = f"'{commands}'; not needed with label maps in the sheet" if missing else ""
        detail = f"{len(missing)} of {len(DATASETS[task])} weight sets missing" if missing else "there"
        lines.append(Finding(f"weights {task}", "none" if missing else "ok", detail, how))
    return lines


def _slurm() -> Finding:
    absent = [c for c in SLURM_COMMANDS if shutil.which(c) is None]
    if absent:
        how = "only for --profile profiles/slurm, on a cluster's login node"
        return Finding("Slurm", "none", f"no {', '.join(absent)}", how)
    return Finding("Slurm", "ok", "commands found")


def _disk(config: Config) -> Finding:
    """Free space where the results go: the nearest folder that is there."""
    folder = Path(config.results).absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / GB
    if not os.access(folder, os.W_OK):
        how = "choose another with --config results=FOLDER"
        return Finding("disk", "missing", "the results folder cannot be written", how)
    if free < FREE_GB:
        return Finding("disk", "missing", f"{free:.1f} GB free for results", f"make room: {FREE_GB:g} GB or more")
    return Finding("disk", "ok", f"{free:.0f} GB free for results")


def doctor(config: Config) -> list[Finding]:
    """Everything that a run needs or can use, in the order in which a new user meets it.

    Parameters
    ----------
    config : Config
        For the folders of weights and results.
    """
    packages = (("torch", "torch", "torch"), ("MONAI", "monai", "monai"), ("Warp", "warp-lang", "warp"),
                ("TotalSegmentator", "TotalSegmentator", "totalsegmentator"), ("Snakemake", "snakemake", "snakemake"),
                ("Snakemake for Slurm", "snakemake-executor-plugin-slurm", "snakemake_executor_plugin_slurm"))
    machine = (_cuda(), _warp_cuda(), *_weights(config), _slurm(), _disk(config))
    return [_python(), *(_package(*p) for p in packages), *machine]
