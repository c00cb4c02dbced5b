"""How many optimiser steps fit into ``train.minutes``: a fixed table, so that the same config trains the same steps."""

import logging
import math
from dataclasses import dataclass
from functools import cache

from planardose.config import Train
from planardose.data_table import data_table

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Speed:
    """One measurement: steps per minute on a device with a grid of `voxels`, first-level `width` and `batch`."""

    device: str
    voxels: int
    width: int
    batch: int
    steps_per_minute: float


@cache
def speed_table() -> tuple[Speed, ...]:
    """Rows of ``data/training_speed.tsv``."""
    rows, numbers = data_table("training_speed.tsv"), ("voxels", "width", "batch")
    return tuple(Speed(r["device"], *(int(r[n]) for n in numbers), float(r["steps_per_minute"])) for r in rows)


def steps_per_minute(device: str, voxels: int, width: int, batch: int) -> float:
    """Speed from the row nearest in size; other sizes scale with voxels x width x batch.

    A device that was not measured gets the CPU's steps, whatever time they take on it.
    """
    rows = [r for r in speed_table() if r.device == device]
    if not rows:
        log.warning("train.minutes: no speed of device %s in the shipped table: as many steps as on a CPU", device)
        return steps_per_minute("cpu", voxels, width, batch)
    work = voxels * width * batch

    def distance(r: Speed) -> float:
        return sum(abs(math.log(a / b)) for a, b in ((voxels, r.voxels), (width, r.width), (batch, r.batch)))

    nearest = min(rows, key=distance)
    return nearest.steps_per_minute * nearest.voxels * nearest.width * nearest.batch / work


def training_steps(train: Train, device: str, voxels: int) -> int:
    """Steps of a training: ``train.steps``, or what ``train.minutes`` holds (at least 1)."""
    if train.minutes is None:
        return train.steps
    return max(1, round(train.minutes * steps_per_minute(device, voxels, train.width, train.batch)))
