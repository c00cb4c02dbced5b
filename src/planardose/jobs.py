"""The jobs of a run: what the rules make for each patient of the sheet. Light: used before anything runs."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from planardose.cohort import Cohort
from planardose.config import Config
from planardose.paths import TEMPLATES
from planardose.sidecar import sidecar_of

OUTPUT = {  # key of `paths.TEMPLATES` of the output that a finished job leaves
    "import_ct": "ct",
    "segment": "model",
    "import_prior": "prior",
    "sample_uptake": "samples",
    "project": "projections",
    "train": "weights",
    "reinforce": "reinforced",
    "train_diffusion": "diffusion_weights",
    "import_planar": "planar",
    "register": "registration",
    "reconstruct": "organs",
    "compare_spect": "spect",
    "spect_activity": "organs",
    "fit_kinetics": "kinetics",
    "absorbed_dose": "organ_doses",
    "report": "summary",
}
READ = {  # keys of the results that a job leaves for people
    "compare_spect": ("spect", "spect_map"),
    "fit_kinetics": ("kinetics", "tia"),
    "absorbed_dose": ("dose", "organ_doses"),
    "report": ("report", "summary"),
}
MAPPED = ("reconstruct", "spect_activity")  # leave all that stands below recon/ of a time point


@dataclass(frozen=True)
class Job:
    """One job: a step of a patient, of one time point or one chunk where it has them."""

    step: str
    patient: str
    timepoint: str | None = None
    chunk: int | None = None

    def __str__(self) -> str:
        more = "" if self.chunk is None else f"chunk {self.chunk}"
        return " ".join(filter(None, (self.step.replace("_", "-"), self.timepoint, more)))

    def output(self, results: Path) -> Path:
        """The file that is there when the job is done."""
        name = TEMPLATES[OUTPUT[self.step]]
        return results / name.format(patient=self.patient, timepoint=self.timepoint, chunk=self.chunk)

    def read(self, results: Path) -> Iterator[Path]:
        """Results for people that are old once the job is due, other methods' of an earlier run too; and sidecars."""
        if self.step in MAPPED:
            yield from (results / self.patient / "recon").glob(f"{self.timepoint}_*")
        for key in READ.get(self.step, ()):
            path = results / TEMPLATES[key].format(patient=self.patient, timepoint=self.timepoint)
            yield from (path, sidecar_of(path))


def jobs_of(config: Config, cohort: Cohort, patient: str) -> tuple[Job, ...]:
    """All jobs of a patient, in an order in which they can run."""
    rows = cohort.rows_of(patient)
    prior, networks = cohort.has_prior(patient), bool(config.networks)
    jobs = [Job("import_ct", patient), Job("segment", patient), *[Job("import_prior", patient)] * prior]
    if networks:
        jobs.append(Job("sample_uptake", patient))
        jobs += [Job("project", patient, chunk=n) for n in config.chunks]
    jobs += [Job("train", patient)] * config.needs_training
    jobs += [Job("reinforce", patient)] * (config.needs_training and config.reinforce.steps > 0)
    jobs += [Job("train_diffusion", patient)] * ("diffusion" in config.methods)
    for row in rows:
        steps = ["spect_activity"] if row.from_spect else ["import_planar", "register", "reconstruct"]
        steps += ["compare_spect"] * row.is_compared
        jobs += [Job(step, patient, row.timepoint) for step in steps]
    return (*jobs, *(Job(step, patient) for step in ("fit_kinetics", "absorbed_dose", "report")))


def follow(jobs: tuple[Job, ...], work: Collection[Job]) -> list[Job]:
    """Those of a patient's jobs that are in `work`, or come after one that is, of the same time point or of all."""

    def same(a: Job, b: Job) -> bool:
        return None in (a.timepoint, b.timepoint) or a.timepoint == b.timepoint

    return [job for n, job in enumerate(jobs) if any(w in work and same(w, job) for w in jobs[: n + 1])]
