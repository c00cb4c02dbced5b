"""The mark of each job: a hash of all that its numbers depend on outside the results folder (`DEPENDS`).

A user's inputs are no Snakemake ``input:``: their paths may hold names, and Snakemake writes paths into its logs and
metadata. Each job carries a mark instead; Snakemake reruns the job when it changes (rerun trigger ``params``).
Light: used by the Snakefile.
"""

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from planardose import library
from planardose.cohort import Cohort, Row
from planardose.config import Config
from planardose.io.files import fingerprint
from planardose.paths import STEP_VERSIONS


@dataclass(frozen=True)
class Depends:
    """What a step depends on besides the outputs of earlier steps.

    Parameters
    ----------
    config : tuple of str
        Keys of `Config`, whole sections or ``section.key``.
    hand : tuple of str
        Keys of `config.Hand`, of the job's own time point; of any of the patient's where the job has none.
    files, cells : tuple of str
        File columns, and other fields, of the sheet's rows.
    catalogues : tuple of str
        Kinds of `library`: the content of the entries that the rows name.
    all_rows : bool
        Whether a step without a time point looks at all rows of the patient, or only at the row of the first injection
        (the steps before the planar images, which a new time point must not rerun).
    """

    config: tuple[str, ...] = ()
    hand: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()
    catalogues: tuple[str, ...] = ()
    all_rows: bool = False


POPULATION = Path(__file__).parent / "data/population/unet.yaml"  # holds the hash of the weights

INJECTED = ("injected_mbq", "residual_mbq")
INJECTION = (*INJECTED, "injected_at")
IMAGING = ("nuclides", "cameras")
HEAD = ("projection.penetration", "projection.couch")  # what the analytic projector shares with the Monte Carlo
PRODUCTS = ("train.threads", "train.precision")  # whatever a network computes, not in training alone
LOOP = (*PRODUCTS, "train.batch", "train.segmentations", "train.learning_rate", "train.checkpoint_every")
DEPENDS = {
    "import_ct": Depends(files=("ct",)),
    "import_planar": Depends(
        hand=("flip_posterior", "upside_down", "head_order", "windows_kev", "seconds_per_row", "same_patient"),
        files=("planar",),
        cells=("acquired_at", *INJECTION, "utc_offset", "calibration_cps_per_mbq"),
        catalogues=IMAGING,
    ),
    "segment": Depends(
        config=("segmentation", "grid_mm"), hand=("accept_segmentation",), files=("segmentation", "lesions")
    ),
    "import_prior": Depends(files=("prior_image", "prior_ct")),
    "sample_uptake": Depends(config=("seed", "sampling"), cells=INJECTED, catalogues=("nuclides", "tracers")),
    "project": Depends(config=("seed", "projection"), catalogues=IMAGING),
    "train": Depends(config=("seed", "train", "sampling", *HEAD), catalogues=IMAGING),
    "train_diffusion": Depends(config=("seed", "diffusion", "sampling", *LOOP, *HEAD), catalogues=IMAGING),
    "reinforce": Depends(
        config=("seed", "reinforce", "train.batch", "train.segmentations", *PRODUCTS, "sampling", *HEAD),
        catalogues=(*IMAGING, "tracers"),
    ),
    "register": Depends(
        config=("registration", *HEAD),
        hand=("shift_mm", "rotation_deg", "same_patient"),
        cells=("calibration_cps_per_mbq",),
        catalogues=IMAGING,
    ),
    "reconstruct": Depends(
        config=("methods", "dose_method", "reconstruction", "diffusion", "reinforce.steps", *PRODUCTS, *HEAD),
        hand=("accept_gate",),
        cells=(*INJECTION, "calibration_cps_per_mbq", "calibration_cps_per_mbq_u"),
        catalogues=IMAGING,
    ),
    "compare_spect": Depends(
        config=("methods", "spect", *HEAD),
        hand=("same_patient",),
        files=("spect", "spect_ct"),
        cells=(*INJECTION, "spect_bqml_per_count", "spect_at", "calibration_cps_per_mbq"),
        catalogues=IMAGING,
    ),
    "spect_activity": Depends(
        config=("methods", "dose_method", "spect"),
        hand=("same_patient",),
        files=("spect", "spect_ct"),
        cells=(*INJECTION, "utc_offset", "spect_bqml_per_count", "spect_at"),
        catalogues=("nuclides",),
    ),
    "fit_kinetics": Depends(cells=INJECTION, catalogues=("nuclides", "tracers"), all_rows=True),
    "absorbed_dose": Depends(config=("seed", "dose"), cells=INJECTION, catalogues=("nuclides",), all_rows=True),
    "report": Depends(
        config=("methods", "dose_method", "patients", "dose", *HEAD),
        cells=(*INJECTION, "calibration_cps_per_mbq", "calibration_cps_per_mbq_u", "weight_kg", "tracer"),
        catalogues=IMAGING,
        all_rows=True,
    ),
    "report_cohort": Depends(),
}
COLUMN_OF_KIND = {"nuclides": "nuclide", "cameras": "camera", "tracers": "tracer"}


@dataclass(frozen=True)
class Marks:
    """Marks of the jobs of one run."""

    config: Config
    cohort: Cohort
    _known: dict = field(default_factory=dict, repr=False)

    def of(self, step: str, patient: str | None = None, timepoint: str | None = None) -> str:
        """Mark of a job; see `Depends`."""
        key = (step, patient, timepoint)
        if key not in self._known:
            self._known[key] = self._hash(DEPENDS[step], *key)
        return self._known[key]

    def settings(self, step: str, patient: str, timepoint: str | None = None) -> str:
        """The same without the sheet's files, whose times a copy changes: what stands in the sidecars."""
        return self._hash(replace(DEPENDS[step], files=()), step, patient, timepoint)

    def hold(self, told: dict, step: str, patient: str, timepoint: str | None = None) -> bool:
        """Whether an output was made with what the sheet's cells, the config and this version say.

        `told` is its sidecar; without one it is another program's, and not judged. The sheet's files are not compared.
        """
        return not told or told.get("settings") == self.settings(step, patient, timepoint)

    def _hash(self, needs: Depends, step: str, patient: str | None, timepoint: str | None) -> str:
        facts = json.dumps(self._facts(needs, step, patient, timepoint), sort_keys=True, default=str)
        return hashlib.sha256(facts.encode()).hexdigest()[:16]

    def _facts(self, needs: Depends, step: str, patient: str | None, timepoint: str | None) -> list:
        settings = self.config.model_dump(mode="json", include=_included(set(needs.config) - {"patients"}))
        if "patients" in needs.config and patient in self.config.patients:
            settings["patients"] = {t: h.model_dump(mode="json") for t, h in self.config.patients[patient].items()}
        if timepoint:
            hand = self.config.hand(patient, timepoint).model_dump(mode="json", include=set(needs.hand))
        else:
            shared = {k: self.config.shared_decision(patient, k) for k in needs.hand}
            hand = {k: v for k, v in shared.items() if v is not None}
        start = [POPULATION.read_text()] if settings.get("train", {}).get("start") == "population" else []
        return [
            STEP_VERSIONS[step],
            settings,
            hand,
            [self._row_facts(r, needs) for r in self._rows(needs, patient, timepoint)],
            *start,
        ]

    def _rows(self, needs: Depends, patient: str | None, timepoint: str | None) -> tuple[Row, ...]:
        if patient is None:
            return self.cohort.rows
        if timepoint is not None:
            return (self.cohort.row(patient, timepoint),)
        return self.cohort.rows_of(patient) if needs.all_rows else (self.cohort.first_row(patient),)

    @staticmethod
    def _row_facts(row: Row, needs: Depends) -> list:
        entries = {k: getattr(row, COLUMN_OF_KIND[k]) for k in needs.catalogues}
        return [
            row.where if needs.all_rows else row.patient,
            {c: str(getattr(row, c)) for c in needs.cells},
            {c: fingerprint(row.paths.get(c)) for c in needs.files},
            {k: [name, library.entry_path(k, name).read_text()] for k, name in entries.items()},
        ]


def _included(keys: set[str]) -> dict:
    """Keys of the config, of its top level or ``section.key``, as pydantic's `include`."""
    out: dict = {}
    for key in keys:
        section, _, part = key.partition(".")
        out[section] = True if not part or out.get(section) is True else {*out.get(section, ()), part}
    return out
