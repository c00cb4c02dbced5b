"""One cell of the benchmark: an anatomy in one variant, reconstructed by one group of methods with one training seed.

The ordinary steps run in process on the ordinary sheet, so that nothing is measured that users do not run.
"""

import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.reconstruction.ablation import WITHOUT
from benchmarks.reconstruction.anatomies import BASE_SEED, Case
from benchmarks.reconstruction.generic import train_generic, use_generic
from benchmarks.reconstruction.groups import GROUPS, TRAINED, Group
from benchmarks.reconstruction.lifted import in_place_of_the_unet, train_lifted, train_lifted_diffusion
from benchmarks.reconstruction.lifted_generic import load_lifted_generic, train_lifted_generic
from benchmarks.reconstruction.provenance import commit, stamp
from benchmarks.reconstruction.scoring import cell_rows

from planardose.cohort import Cohort
from planardose.errors import InputError
from planardose.io.files import write_text
from planardose.io.nifti import read_volume
from planardose.run import Run
from planardose.sheet import load_cohort
from planardose.sidecar import read_sidecar
from planardose.steps.import_ct import import_ct
from planardose.steps.import_planar import import_planar
from planardose.steps.import_prior import import_prior
from planardose.steps.project import project
from planardose.steps.reconstruct import reconstruct
from planardose.steps.register import register
from planardose.steps.reinforce import reinforce
from planardose.steps.sample_uptake import sample_uptake
from planardose.steps.segment import segment
from planardose.steps.train import train
from planardose.steps.train_diffusion import train_diffusion

log = logging.getLogger("benchmark")
ANYWAY = "benchmark: the refusal is counted, the reconstruction goes on"


@dataclass(frozen=True)
class Cell:
    """What a JSON row file holds; `train_seed` is 0 for groups without a network that is trained."""

    case: Case
    group: str
    train_seed: int

    @property
    def name(self) -> str:
        return f"{self.case.variant}-{self.case.name}-{self.group}-{self.train_seed}"

    def path(self, out: Path) -> Path:
        return out / "cells" / f"{self.name}.json"


def cached(cell: Cell, out: Path, keep: bool, now: str) -> bool:
    """Whether a cell's file is there, of the case as it is now and of this commit (any commit with `keep`)."""
    path = cell.path(out)
    if not path.exists():
        return False
    there = json.loads(path.read_text())
    same_case = there["case"] == vars(cell.case)
    return same_case and (keep or there["commit"] == now)


def generic_folder(out: Path) -> Path:
    """Where the network trained on other anatomies lies: one per commit."""
    return out / "generic" / commit()


class Bench:
    """Cells of one anatomy in one variant; the steps that groups share run once, in a folder of their own."""

    def __init__(self, out: Path, case: Case, precision: str = "auto"):
        self.out, self.case, self.precision = out, case, precision
        self.folder = out / "work" / f"{case.variant}-{case.name}"
        self.cohort_folder = out / "cohorts" / case.variant
        self.notes: dict[str, dict[str, str]] = {}  # per base: time point -> what the registration refused
        self.seconds: dict[str, float] = {}
        shutil.rmtree(self.folder, ignore_errors=True)

    def timed(self, name: str, step: Callable, *arguments) -> None:
        began = time.monotonic()
        step(*arguments)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began

    @property
    def timepoints(self) -> list[str]:
        rows = load_cohort(self.cohort_folder / f"{self.case.name}.tsv").rows_of(self.case.name)
        return [row.timepoint for row in rows]

    def centre_mm(self) -> tuple[float, float]:
        """RAS (x, z) of the CT's centre."""
        ct = self.cohort_folder / "inputs" / self.case.name / "ct.nii.gz"
        low, high = read_volume(ct, "CT number", "HU", "ct").grid.bounds_mm()
        x, _, z = 0.5 * (low + high)
        return float(x), float(z)

    def base_of(self, group: str) -> str:
        """Folder of the steps before the networks, which groups share where nothing that comes before differs."""
        first = next(name for name, other in GROUPS.items() if other.before == GROUPS[group].before)
        return f"{first}-base"

    def cohort(self, group: Group, notes: dict[str, str]) -> Cohort:
        """The case's rows with the group's columns, without time points that cannot be registered."""
        whole = load_cohort(self.cohort_folder / f"{self.case.name}.tsv")
        rows = []
        for row in whole.rows_of(self.case.name):
            if not notes.get(row.timepoint, "").startswith("failed"):
                files = {k: self.cohort_folder / v.format(patient=row.patient) for k, v in group.cells.items()}
                rows.append(replace(row, paths={**row.paths, **files}))
        return Cohort(tuple(rows))

    def run(self, group: str, seed: int, where: str) -> Run:
        """A run of this case; refusals of the registration are overridden by hand, as a user would with a reason."""
        notes = self.notes.get(self.base_of(group), {})
        hands = {t: {"same_patient": ANYWAY} for t, note in notes.items() if note.startswith("refused")}
        if GROUPS[group].unregistered:
            hands = {t: {"shift_mm": self.centre_mm()} for t in self.timepoints}
        settings = GROUPS[group].settings(seed, self.precision, {self.case.name: hands} if hands else {})
        return Run(settings, self.cohort(GROUPS[group], notes), self.folder / where)

    def prepare(self, group: str) -> None:
        """CT, model, planar images and registration in the group's base, once; refusals are noted."""
        base, patient = self.base_of(group), self.case.name
        if base in self.notes:
            return
        notes = self.notes[base] = {}
        run = self.run(group, BASE_SEED, base)
        self.timed("import_ct", import_ct, run, patient)
        self.timed("segment", segment, run, patient)
        if "prior_image" in GROUPS[group].cells:
            self.timed("import_prior", import_prior, run, patient)
        for row in run.cohort.rows_of(patient):
            self.timed("import_planar", import_planar, run, patient, row.timepoint)
            try:
                self.timed("register", register, run, patient, row.timepoint)
            except InputError as fault:
                notes[row.timepoint] = f"refused: {fault.problem}"
                self._register_anyway(group, row.timepoint, notes)

    def _register_anyway(self, group: str, timepoint: str, notes: dict[str, str]) -> None:
        run = self.run(group, BASE_SEED, self.base_of(group))
        try:
            self.timed("register", register, run, self.case.name, timepoint)
        except InputError as fault:
            notes[timepoint] = f"failed: {fault.problem}"

    def virtual_data(self, group: str) -> None:
        """Samples and projections in the group's base, once; all training seeds share them."""
        run, patient = self.run(group, BASE_SEED, self.base_of(group)), self.case.name
        if run.path("samples", patient=patient).exists():
            return
        self.timed("virtual_data", sample_uptake, run, patient)
        for chunk in run.config.chunks:
            self.timed("virtual_data", project, run, patient, chunk)

    def compute(self, cell: Cell) -> dict:
        """Run the cell's steps and score them; what its file holds (no rows where nothing can be registered)."""
        group, patient, before = cell.group, self.case.name, dict(self.seconds)
        where = f"{group}-{cell.train_seed}"
        self.prepare(group)
        settings, notes = GROUPS[group], self.notes[self.base_of(group)]
        run, rows, images = self.run(group, cell.train_seed or BASE_SEED, where), [], {}
        if run.cohort.rows:
            if settings.trained and not settings.generic:
                self.virtual_data(group)
            self._link(self.base_of(group), where)
            with WITHOUT[settings.without](), self._network(settings, run, cell.train_seed):
                for row in run.cohort.rows_of(patient):
                    self.timed("reconstruct", reconstruct, run, patient, row.timepoint)
            rows, images = cell_rows(run, self.case, self.cohort_folder / "truth", settings.rename)
            left_out = set(run.config.methods) - set(settings.methods) | set(settings.left_out)
            rows = [row for row in rows if row["method"] not in left_out]
            images = {k: v for k, v in images.items() if k not in left_out}
        spent = {k: round(v - before.get(k, 0.0), 2) for k, v in self.seconds.items()}
        return {
            "case": vars(self.case), "group": group, "train_seed": cell.train_seed, **stamp(),
            "precision": self.precision, "registration": notes,
            "acquisitions": len(run.cohort.rows), "seconds": {k: v for k, v in spent.items() if v > 0}, "rows": rows,
            "images": images, "kept": self._kept(run, settings),
        }  # fmt: skip

    def _network(self, group: Group, run: Run, seed: int) -> AbstractContextManager:
        """Make the network that the reconstruction takes while the context is open."""
        patient = self.case.name
        if group.lifted and group.generic:
            networks = load_lifted_generic(train_lifted_generic(generic_folder(self.out), run.config, seed), run.config)
            for key in ("weights", "diffusion_weights"):
                write_text(run.path(key, patient=patient), "of other anatomies")  # the step looks for a file to cite
            return in_place_of_the_unet(*networks)
        if group.lifted:
            began = time.monotonic()
            network = train_lifted(run, patient)
            diffusion = train_lifted_diffusion(run, patient, network)
            self.seconds["train"] = self.seconds.get("train", 0.0) + time.monotonic() - began
            return in_place_of_the_unet(network, diffusion)
        if group.generic:
            use_generic(run, patient, train_generic(generic_folder(self.out), run.config, seed))
        elif group.trained:
            if not self._same_network(group, run, seed):
                self.timed("train", train, run, patient)
            if run.config.reinforce.steps:
                self.timed("reinforce", reinforce, run, patient)
            if "diffusion" in group.methods:
                self.timed("train_diffusion", train_diffusion, run, patient)
        return nullcontext()

    def _same_network(self, group: Group, run: Run, seed: int) -> bool:
        """Take the weights of the group `unet`, where they are there and this group's training is the same."""
        donor = self.run("unet", seed, f"unet-{seed}").path("weights", patient=self.case.name)
        as_unet = group.config.get("train") == TRAINED["train"] and not group.without
        same = as_unet and group.before == GROUPS["unet"].before and donor.exists()
        if same:
            own = run.path("weights", patient=self.case.name)
            own.parent.mkdir(parents=True, exist_ok=True)
            for ending in ("", ".json"):
                os.link(f"{donor}{ending}", f"{own}{ending}")
        return same

    def _kept(self, run: Run, group: Group) -> str:
        """What the patient's last training kept; empty without one."""
        facts = read_sidecar(run.path(run.config.weights, patient=self.case.name))
        if not group.trained or not facts:
            return ""
        if "reinforce" in facts:
            return "reward stage" if facts["reinforce"]["kept"] else "before the reward stage"
        return facts["training"]["kept"]

    def _link(self, source: str, target: str) -> None:
        """The files of another folder without copying them; steps replace files, they never change them."""
        shutil.copytree(self.folder / source, self.folder / target, copy_function=os.link)


def compute_cells(out: Path, cells: list[Cell], keep_work: bool, precision: str = "auto") -> None:
    """Compute cells of one case and write their files as they come."""
    if not cells:
        return
    bench = Bench(out, cells[0].case, precision)
    for cell in cells:
        result = bench.compute(cell)
        write_text(cell.path(out), json.dumps(result, indent=None, allow_nan=True) + "\n")
        log.info("%s: %s", cell.name, result["seconds"])
    if not keep_work:
        shutil.rmtree(bench.folder, ignore_errors=True)
