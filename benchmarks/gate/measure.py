"""Plant failures into a TEST cohort and count how many the chain refuses or the gate catches; false alarms beside them.

    python -m benchmarks.gate.measure test test/results work --seed 6001 --patients 20

For each patient one acquisition (another time point for each) is made wrong in every way of `KINDS`, registered,
reconstructed and gated by the chain's own steps. Caught: a step refuses it, or the gate falls back. Clean acquisitions
are those of the finished run; one that was refused or fell back there is a false alarm. What was measured of each
planted acquisition stands in ``work/planted.jsonl``: a second call goes on, and applies the limits of
``data/gate.yaml`` as they are now. About 30 s a patient and kind on one idle core.
"""

import argparse
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
from benchmarks.gate import plants

from planardose.cohort import Row
from planardose.config import Config
from planardose.demo.patient import CAMERA
from planardose.errors import InputError
from planardose.frames import PlanarPose
from planardose.io.files import write_text
from planardose.io.planar_file import load_pair, save_pair
from planardose.library import load_camera, load_nuclide
from planardose.planar import PlanarPair
from planardose.recon import consistency
from planardose.recon.acquired import without_dead_time
from planardose.recon.projector import Projector
from planardose.recon.setting import Setting, load_setting
from planardose.run import Run
from planardose.sheet import load_cohort
from planardose.steps import reconstruct as reconstruct_step
from planardose.steps import register as register_step

METHOD = "qplanar_mlem"
SHIFT_MM = 30.0
KINDS = ("shift by hand", "source beside", "views swapped", "posterior mirrored", "another's CT", "wrong nuclide")


def settled(run: Run, row: Row) -> PlanarPose:
    """Pose that the registration found for the right acquisition."""
    found = json.loads(run.path("registration", patient=row.patient, timepoint=row.timepoint).read_text())
    return PlanarPose(found["x_mm"], found["z_mm"], found["rotation_deg"])


def shifted(pose: PlanarPose, number: int) -> PlanarPose:
    """`SHIFT_MM` away in one of eight directions."""
    angle = number * np.pi / 4
    return replace(pose, x_mm=pose.x_mm + SHIFT_MM * np.cos(angle), z_mm=pose.z_mm + SHIFT_MM * np.sin(angle))


def measured(run: Run, row: Row, setting: Setting) -> dict:
    """What the steps say to an acquisition: the step that refused it, or the gate's statistics."""
    with patch.object(register_step, "load_setting", lambda *_: setting), \
         patch.object(reconstruct_step, "load_setting", lambda *_: setting):  # fmt: skip
        try:
            register_step.register(run, row.patient, row.timepoint)
        except InputError as refusal:
            return {"refused": f"register: {refusal}"[:160]}
        try:
            reconstruct_step.reconstruct(run, row.patient, row.timepoint)
        except InputError as refusal:
            return {"refused": f"reconstruct: {refusal}"[:160]}
    gate = json.loads(run.path("gate", patient=row.patient, timepoint=row.timepoint).read_text())
    return {"refused": "", "gate": {k: gate[k] for k in ("inputs", METHOD)}}


def refitted(setting: Setting, pair: PlanarPair) -> Setting:
    """The setting with other counts; camera, distances and responses are the same."""
    nuclide = load_nuclide(setting.nuclide_name)
    other = replace(setting, pair=without_dead_time(pair, load_camera(CAMERA), nuclide))
    # cached properties: they do not depend on the counts
    other.__dict__.update(responses=setting.responses, tissues=setting.tissues)
    return other


class Bench:
    """One finished run, and a folder for the wrong ones."""

    def __init__(self, cohort: Path, results: Path, work: Path, seed: int):
        config = Config(methods=("qplanar", METHOD))
        self.right = Run(config, load_cohort(cohort / "cohort.tsv"), results)
        self.work, self.seed = work, seed

    def finished(self) -> list[Row]:
        """One acquisition per patient that the run gated, another time point for each."""
        chosen = []
        for n, patient in enumerate(self.right.cohort.patients):
            rows = self.right.cohort.rows_of(patient)
            done = [r for r in rows if self.right.path("gate", patient=patient, timepoint=r.timepoint).is_file()]
            chosen += [done[n % len(done)]] if done else []
        return chosen

    def base(self, row: Row) -> tuple[Setting, PlanarPair, PlanarPose]:
        setting = load_setting(self.right, row.patient, row.timepoint, Projector)
        pair = load_pair(self.right.path("planar", patient=row.patient, timepoint=row.timepoint))
        return setting, pair, settled(self.right, row)

    def wrong(self, kind: str, n: int, row: Row, base: tuple) -> dict:
        """Plant one failure and measure it."""
        setting, pair, pose = base
        folder, config = self.work / kind.replace(" ", "_").replace("'", ""), self.right.config
        if kind == "shift by hand":
            there = shifted(pose, n)
            hand = {"shift_mm": (there.x_mm, there.z_mm), "rotation_deg": there.rotation_deg}
            config = config.model_validate({**config.model_dump(), "patients": {row.patient: {row.timepoint: hand}}})
        run = Run(config, self.right.cohort, folder)
        anatomy, make = row, self.makers(row, n, setting, pose).get(kind)
        planted = make(pair) if make else pair
        if kind == "another's CT":
            others = [r for r in self.finished() if r.patient != row.patient]
            anatomy = others[(7 * n) % len(others)]
        model = run.path("model", patient=row.patient)
        model.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(self.right.path("model", patient=anatomy.patient), model)
        save_pair(run.path("planar", patient=row.patient, timepoint=row.timepoint), planted)
        if anatomy is row:
            wrong = refitted(setting, planted)
        else:
            wrong = load_setting(run, row.patient, row.timepoint, Projector)
        found = measured(run, row, wrong)
        shutil.rmtree(folder, ignore_errors=True)
        return found

    def makers(self, row: Row, n: int, setting: Setting, pose: PlanarPose) -> dict[str, Callable]:
        name = plants.WRONG_NUCLIDES[n % len(plants.WRONG_NUCLIDES)]
        number = int(row.patient.removeprefix("P"))
        return {
            "views swapped": plants.views_swapped,
            "posterior mirrored": plants.posterior_mirrored,
            "source beside": lambda p: plants.with_source_beside(
                p, setting.model, pose, np.random.default_rng([self.seed, n])
            ),
            "wrong nuclide": lambda p: plants.of_wrong_nuclide(p, self.seed, number, row.timepoint, name),
        }


def caught_by(found: dict) -> str:
    """Who caught it under the present limits: a step, the inputs' score, the map's strips, or nobody (empty)."""
    if found["refused"]:
        return found["refused"].split(":")[0]
    limits, gate = consistency.limits(), found["gate"]
    inputs = gate["inputs"]
    if consistency.score(inputs["statistics"], limits.usual, inputs["counting_u"])[0] > limits.score:
        return "score"
    worst, limit = np.max(gate[METHOD]["per_view_strip"]), limits.strip_deviance.get(METHOD, np.inf)
    return "strip" if worst > limit or gate[METHOD]["deviance"] > Config().reconstruction.gate_deviance else ""


def false_alarms(bench: Bench) -> tuple[int, int, list[str]]:
    """Right acquisitions of the finished run that were refused or fall back, of how many, and which."""
    alarms, number = [], 0
    for row in bench.right.cohort.rows:
        where = {"patient": row.patient, "timepoint": row.timepoint}
        gate, registered = bench.right.path("gate", **where), bench.right.path("registration", **where)
        refused = bench.right.path("planar", **where).is_file() and not registered.is_file()
        if gate.is_file() or refused:
            number += 1
            read = json.loads(gate.read_text()) if gate.is_file() else {}
            by = "refused" if refused else caught_by({"refused": "", "gate": {k: read[k] for k in ("inputs", METHOD)}})
            alarms += [f"{row.where} ({by})"] if by else []
    return len(alarms), number, alarms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cohort", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seed", type=int, default=6001, help="seed of the cohort: the wrong nuclide is simulated")
    parser.add_argument("--patients", type=int, default=20)
    given = parser.parse_args()
    bench = Bench(given.cohort, given.results, given.work, given.seed)
    rows, record = bench.finished()[: given.patients], given.work / "planted.jsonl"
    known = [json.loads(x) for x in record.read_text().splitlines()] if record.is_file() else []
    done = {(x["kind"], x["where"]): x for x in known}
    for n, row in enumerate(rows):
        todo = [k for k in KINDS if (k, row.where) not in done]
        base = bench.base(row) if todo else None
        for kind in todo:
            found = {"kind": kind, "where": row.where, **bench.wrong(kind, n, row, base)}
            done[kind, row.where] = found
            write_text(record, "".join(json.dumps(x) + os.linesep for x in done.values()))
            print(f"{row.where} {kind}: {caught_by(found) or 'NOT CAUGHT'} {found['refused']}", flush=True)
    report(list(done.values()), bench)


def report(planted: list[dict], bench: Bench) -> None:
    """The table: per kind caught of planted, by whom; false alarms."""
    total = 0
    for kind in KINDS:
        by = [caught_by(x) for x in planted if x["kind"] == kind]
        told = ", ".join(f"{by.count(w)} by {w}" for w in ("register", "reconstruct", "score", "strip") if w in by)
        total += sum(map(bool, by))
        print(f"{kind:20s} {sum(map(bool, by)):3d} of {len(by):3d} caught ({told})")
    share = 100 * total / max(len(planted), 1)
    print(f"{'all':20s} {total:3d} of {len(planted):3d} caught ({share:.1f} %)")
    alarms, number, which = false_alarms(bench)
    share = 100 * alarms / max(number, 1)
    print(f"false alarms: {alarms} of {number} right acquisitions ({share:.1f} %) {', '.join(which)}")


if __name__ == "__main__":
    main()
