"""The training loop: AdamW on one learning-rate cycle, atomic checkpoints, the weights of the best validation kept.

A run that was killed goes on from its last checkpoint and ends with bitwise the same weights: every batch is a function
of its step number, and nothing else is random.
"""

import hashlib
import json
import logging
import math
import pickle
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils import deterministic

from planardose.io.files import atomic

log = logging.getLogger(__name__)

WEIGHT_DECAY = 1e-4
LARGEST_GRADIENT = 1.0  # norm
Scores = tuple[float, float, float]  # loss, MAE, NRMSE
COLUMNS = ("step", "learning_rate", "training_loss", "validation_loss", "validation_mae", "validation_nrmse")


@dataclass(frozen=True)
class Plan:
    """What decides a training besides its data.

    `fingerprint` names data and settings: a checkpoint with another one is not used.
    """

    steps: int
    learning_rate: float
    checkpoint_every: int
    fingerprint: str


def fingerprint_of(decisive: dict | list) -> str:
    """Hash of all that decides a training's weights, as JSON can hold it."""
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


@dataclass
class Progress:
    """Where a training stands: finished steps, the table so far (rows of `COLUMNS`), the best weights.

    The first row, at step 0, holds the scores of the network that training starts from.
    """

    step: int = 0
    rows: list[tuple[float, ...]] = field(default_factory=list)
    best_loss: float = math.inf
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    running: list[float] = field(default_factory=list)


@contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Torch on `threads` threads with deterministic algorithms only, float32 in full; the settings are put back.

    `torch.use_deterministic_algorithms` would do the same, but imports torch's compiler (4 s of every job). Memory that
    is about to be written is not filled first: a fifth of a training step, and none of our operations reads it.
    cuDNN would round the factors of float32 products to ten bits (TF32) if it were let.
    """
    before = (torch.get_num_threads(), torch.get_deterministic_debug_mode(), deterministic.fill_uninitialized_memory,
              torch.backends.cudnn.allow_tf32)  # fmt: skip
    _set(threads, "error", False, False)
    try:
        yield
    finally:
        _set(*before)


def _set(threads: int, mode: str | int, fill: bool, tf32: bool) -> None:
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode(mode)
    deterministic.fill_uninitialized_memory = fill
    torch.backends.cudnn.allow_tf32 = tf32


def fit(
    network: torch.nn.Module,
    batch_of: Callable[[int], Any],
    loss_of: Callable[[torch.nn.Module, Any], torch.Tensor],
    validate: Callable[[torch.nn.Module], Scores],
    plan: Plan,
    checkpoint: Path,
    stop_after: int | None = None,
    acceptable: Callable[[tuple, tuple], bool] = lambda first, row: True,
) -> Progress:
    """Train `network` in place; it ends with the weights of the best validation loss.

    Parameters
    ----------
    network : Module
        With its starting weights.
    batch_of : callable
        Training batch of a step number (0-based); equal numbers give equal batches.
    loss_of : callable
        Loss of the network on a batch, a scalar tensor.
    validate : callable
        (loss, MAE, NRMSE) of the network on the validation samples.
    plan : Plan
    checkpoint : Path
        Written every ``plan.checkpoint_every`` steps, and used when it is there and its fingerprint fits.
    stop_after : int or None
        Return after this many steps in all, as if killed then (for tests).
    acceptable : callable
        Whether the weights of a row of the table may be kept, given the first row.

    Returns
    -------
    Progress
    """
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.learning_rate, total_steps=max(plan.steps, 2))
    parts = {"network": network, "optimiser": optimiser, "schedule": schedule}
    progress = load_checkpoint(checkpoint, parts, plan) or Progress()
    if progress.step == 0:
        record(progress, network, plan.learning_rate, math.nan, validate(network), acceptable)
    with _step_reporter(plan.steps, progress.step) as report:
        for step in range(progress.step, plan.steps if stop_after is None else min(stop_after, plan.steps)):
            rate = optimiser.param_groups[0]["lr"]
            value = _train_step(network, optimiser, loss_of, batch_of(step))
            schedule.step()
            progress.running.append(value)
            progress.step = step + 1
            if progress.step % plan.checkpoint_every == 0 or progress.step == plan.steps:
                mean = sum(progress.running) / len(progress.running)
                progress.running.clear()
                record(progress, network, rate, mean, validate(network), acceptable)
                _save_checkpoint(checkpoint, parts, plan, progress)
            report(progress)
    if progress.step == plan.steps:
        network.load_state_dict(progress.best)
    return progress


def _train_step(network, optimiser, loss_of, batch) -> float:
    """One optimiser step; returns the loss before it."""
    network.train()
    optimiser.zero_grad(set_to_none=True)
    value = loss_of(network, batch)
    value.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
    optimiser.step()
    return float(value.detach())


def record(
    progress: Progress, network: torch.nn.Module, rate: float, loss: float, scores: Scores,
    acceptable: Callable[[tuple, tuple], bool],
) -> None:  # fmt: skip
    """Add a row to the table; keep the weights when the validation loss is the best so far of the acceptable ones."""
    progress.rows.append((float(progress.step), float(rate), float(loss), *(float(s) for s in scores)))
    if scores[0] < progress.best_loss and acceptable(progress.rows[0], progress.rows[-1]):
        progress.best_loss = float(scores[0])
        progress.best = {k: v.detach().clone() for k, v in network.state_dict().items()}


def _save_checkpoint(path: Path, parts: dict, plan: Plan, progress: Progress) -> None:
    """Everything that the rest of the training depends on, in one atomic file."""
    state = {name: part.state_dict() for name, part in parts.items()}
    with atomic(path) as temporary:
        torch.save(state | {"fingerprint": plan.fingerprint, "progress": vars(progress)}, temporary)


def load_checkpoint(path: Path, parts: dict, plan: Plan) -> Progress | None:
    """Put network, optimiser and schedule where the checkpoint left them; None without one of this training."""
    if not path.exists():
        return None
    try:  # onto the CPU: a full GPU is no damaged file, and AdamW counts its steps there
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as fault:
        log.warning("checkpoint not readable (%s): training starts anew", type(fault).__name__)
        return None
    if state.get("fingerprint") != plan.fingerprint:
        log.info("the checkpoint is of another training (data or settings changed): training starts anew")
        return None
    for name, part in parts.items():
        part.load_state_dict(state[name])
    progress = Progress(**state["progress"])
    log.info("going on from the checkpoint at step %d of %d", progress.step, plan.steps)
    return progress


@contextmanager
def _step_reporter(steps: int, start: int) -> Iterator[Callable[[Progress], None]]:
    """A function to call after every step: a progress bar on a terminal, else a log line at every validation."""
    began, text = time.monotonic(), "loss {:.3f}, validation {:.3f}, MAE {:.4f}"
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        left = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Bar(*left, TextColumn("{task.description}"), console=Console(stderr=True)) as bar:
            task = bar.add_task("", total=steps, completed=start)
            yield lambda p: bar.update(task, completed=p.step, description=text.format(*p.rows[-1][2:5]))
        return

    def lines(p: Progress) -> None:
        if p.rows[-1][0] == p.step:
            speed = (p.step - start) / max(time.monotonic() - began, 1e-9)
            log.info("step %d of %d, %s, %.2f steps/s", p.step, steps, text.format(*p.rows[-1][2:5]), speed)

    yield lines
