"""Run the benchmark of the reconstruction by the frozen protocol; then `table.py` makes the page.

    python -m benchmarks.reconstruction.run OUT --quick [--test-seed S] [--groups classical unet] [--train-seeds 1]
    python -m benchmarks.reconstruction.run OUT --full --device cuda
    python -m benchmarks.reconstruction.run OUT --quick --variants mismatched --anatomies 20 --train-seeds 3 --keep

A cell (anatomy, variant, group of methods, training seed) is one JSON file in ``OUT/cells``. A killed run goes on where
it stopped; a cell of another commit is computed again unless ``--keep``.
"""

import argparse
import logging
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reconstruction.anatomies import Case
from benchmarks.reconstruction.cells import Cell, cached, compute_cells, generic_folder
from benchmarks.reconstruction.cohort import DEVICES, write_case, write_sheet
from benchmarks.reconstruction.generic import train_generic
from benchmarks.reconstruction.groups import GROUPS
from benchmarks.reconstruction.lifted_generic import train_lifted_generic
from benchmarks.reconstruction.provenance import commit
from benchmarks.reconstruction.real import DATA, NUMBER, RealCase, write_real_case

from planardose.physics.warp_runtime import warp_device


@dataclass(frozen=True)
class Scale:
    """How much is computed: `trained` are the variants with networks, `groups` keys of `cells.GROUPS`."""

    anatomies: int
    samples: int
    variants: tuple[str, ...]
    trained: tuple[str, ...]
    train_seeds: int
    groups: tuple[str, ...]


PRECISIONS = ("auto", "float32", "bfloat16")
QUICK = Scale(6, 2, ("matched", "mismatched"), ("mismatched",), 1, ("classical", "population", "unet"))
FULL = Scale(24, 10, ("matched", "aligned", "mismatched"), ("matched", "mismatched"), 3, tuple(GROUPS))


def cells_of(case: Case, scale: Scale, groups: Sequence[str], train_seeds: int, in_turn: bool = False) -> list[Cell]:
    """The cells of a case: one seed for groups that train nothing; the real CT has no prior image.

    With `in_turn` an anatomy has one training seed, the next anatomy the next one: each anatomy's networks are drawn
    anew anyway, so that more anatomies tell more than more seeds on each.
    """
    found = []
    for group in groups:
        if isinstance(case, RealCase) and "prior_image" in GROUPS[group].cells:
            continue
        if GROUPS[group].trained and case.variant not in scale.trained:
            continue
        every = (1 + case.number % train_seeds,) if in_turn else range(1, train_seeds + 1)
        seeds = every if GROUPS[group].seeded else (0,)
        found += [Cell(case, group, seed) for seed in seeds]
    return found


def _job(out: Path, case: Case, cells: list[Cell], keep_work: bool, device: str, precision: str) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("planardose").setLevel(logging.WARNING)
    folder = out / "cohorts" / case.variant
    if isinstance(case, RealCase):
        write_real_case(folder, case, device=device)
    else:
        write_case(folder, case, device=device)
    write_sheet(folder, [case], f"{case.name}.tsv")
    compute_cells(out, cells, keep_work, precision)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--quick", action="store_true", help="two cores without a GPU")
    size.add_argument("--full", action="store_true", help="meant for a GPU")
    parser.add_argument("--test-seed", type=int, default=0, help="0 to 999999; acceptance takes one nobody tuned on")
    parser.add_argument("--split", default="test", choices=("validation", "test"))
    parser.add_argument("--groups", "--methods", nargs="+", choices=list(GROUPS), help="quick: no control")
    parser.add_argument("--train-seeds", type=int)
    parser.add_argument("--in-turn", action="store_true", help="one training seed per anatomy, in turn")
    parser.add_argument("--anatomies", type=int)
    parser.add_argument("--variants", nargs="+", choices=FULL.variants)
    parser.add_argument("--precision", default="auto", choices=PRECISIONS, help="as train.precision")
    parser.add_argument("--keep", action="store_true", help="keep cells of other commits")
    parser.add_argument("--keep-work", action="store_true", help="keep maps and networks")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="cases at a time")
    parser.add_argument("--device", default="cpu", choices=DEVICES, help="of the Monte Carlo that makes the cases")
    a = parser.parse_args()
    device = warp_device(a.device)
    scale, now, began = QUICK if a.quick else FULL, commit(), time.monotonic()
    jobs = []
    for variant in a.variants or reversed(scale.variants):
        numbers = range(1, (a.anatomies or scale.anatomies) + 1)
        cases = [Case(a.split, a.test_seed, n, variant, scale.samples) for n in numbers]
        if not DATA.is_dir():
            print("no shared data: the real CT is left out", flush=True)
        else:
            cases.append(RealCase(a.split, a.test_seed, NUMBER, variant, scale.samples))
        for case in cases:
            cells = cells_of(case, scale, a.groups or scale.groups, a.train_seeds or scale.train_seeds, a.in_turn)
            missing = [c for c in cells if not cached(c, a.out, a.keep, now)]
            if missing:
                jobs.append((a.out, case, missing, a.keep_work, device, a.precision))
    print(f"{sum(len(j[2]) for j in jobs)} cells to compute in {len(jobs)} cases, commit {now}", flush=True)
    seeds = {(c.group, c.train_seed) for j in jobs for c in j[2] if GROUPS[c.group].generic}
    for group, seed in sorted(seeds):  # before the cases, which share it
        make = train_lifted_generic if GROUPS[group].lifted else train_generic
        make(generic_folder(a.out), GROUPS[group].settings(seed, a.precision), seed)
    with ProcessPoolExecutor(a.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done in [pool.submit(_job, *job) for job in jobs]:
            done.result()
    print(f"done in {(time.monotonic() - began) / 60:.1f} min", flush=True)


if __name__ == "__main__":
    main()
