"""Every user choice, typed: `Config` is what ``config.yaml`` and ``--config`` may hold. Light: no torch, no numpy.

Unknown keys are refused. ``config/schema.json`` is generated from these classes (``planardose list schema``); a test
compares.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from planardose.errors import InputError
from planardose.plausible import EXPOSURE_S
from planardose.strict_yaml import KeyTwice, NotYaml, parse_yaml

Method = Literal["conjugate_view", "qplanar", "qplanar_mlem", "mlem", "unet", "diffusion"]
CLASSICAL = ("conjugate_view", "qplanar", "qplanar_mlem", "mlem")
POPULATION_WIDTH = 16  # of the network that ships with the package
ID_PATTERN = r"^[A-Za-z0-9-]{1,32}$"
Identifier = Annotated[str, Field(pattern=ID_PATTERN)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _null(cls, keys):
        """Snakemake's ``--config`` reads nested values as text, so that null comes as a word."""
        return {k: None if v == "null" else v for k, v in keys.items()} if isinstance(keys, dict) else keys


class Segmentation(Section):
    """Organ segmentation of the CT."""

    backend: Literal["auto", "totalsegmentator", "labels"] = Field(
        "auto", description="auto: the sheet's `segmentation` where there is one, else TotalSegmentator"
    )
    weights: str | None = Field(
        None, description="folder with TotalSegmentator's weights; null: its own default folder"
    )
    fastest: bool = Field(False, description="TotalSegmentator's 6 mm model instead of the 1.5 mm one")


class Sampling(Section):
    """Virtual uptakes of the patient."""

    samples: int = Field(40, ge=2, description="virtual uptake samples per patient, validation included")
    validation: int = Field(8, ge=1, description="of these, kept for validation")
    shift_mm: float = Field(4.0, ge=0, description="standard deviation of the residual misalignment, mm per axis")

    @model_validator(mode="after")
    def _enough(self):
        if self.validation >= self.samples:
            raise ValueError(f"validation ({self.validation}) must be below samples ({self.samples})")
        return self


class Projection(Section):
    """Monte Carlo gamma camera."""

    histories: float = Field(1e6, ge=1e4, le=1e12, description="photon histories per sample (both views together)")
    chunk: int = Field(20, ge=1, description="samples per job")
    penetration: bool = Field(True, description="count photons that go through or scatter in the collimator's lead")
    couch: bool = Field(True, description="the gamma camera's couch attenuates the posterior view")


class Train(Section):
    """Training of the patient's network."""

    start: Literal["population", "scratch"] = Field(
        "population", description="weights that training starts from: the shipped population network, or drawn anew"
    )
    steps: int = Field(
        0, ge=0, description="optimiser steps on the patient's virtual data; 0: the population network, checked on them"
    )
    minutes: float | None = Field(
        None, gt=0, description="turned into steps once from the shipped benchmark table; null: use steps"
    )
    threads: int = Field(1, ge=1, description="torch threads, whatever the job gets: keeps results identical")
    batch: int = Field(2, ge=1, description="virtual acquisitions per step")
    segmentations: int = Field(
        3, ge=0, description="faulty copies of the organs; acquisitions are seen with the organs and these in turn"
    )
    width: int = Field(16, ge=4, description="channels of the first level of the U-Net")
    learning_rate: float = Field(2e-3, gt=0, description="peak learning rate (AdamW, one cycle)")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="of products in training and in draws of `diffusion`; auto: bfloat16 from sm_80 on, else float32",
    )
    checkpoint_every: int = Field(50, ge=1, description="steps between checkpoints")


class Diffusion(Section):
    """The method `diffusion`: draws of the activity around the U-Net's map."""

    steps: int = Field(100, ge=1, description="optimiser steps; batch, rate, threads and checkpoints as in `train`")
    width: int = Field(16, ge=8, multiple_of=8, description="channels of the first levels of the denoiser")
    draws: int = Field(16, ge=4, multiple_of=2, description="draws per time point, in pairs of opposite noise")
    sampling_steps: int = Field(8, ge=2, description="steps from noise to a draw")


class Reinforce(Section):
    """Second stage of the training: a reward instead of the voxels' errors."""

    steps: int = Field(0, ge=0, description="optimiser steps on the reward after `train`; 0: no such stage")
    learning_rate: float = Field(2e-4, gt=0, description="peak learning rate (AdamW, one cycle)")
    checkpoint_every: int = Field(25, ge=1, description="steps between checkpoints")


class Registration(Section):
    """Planar images to CT."""

    max_shift_mm: float = Field(60.0, gt=0, description="largest shift searched around the outline match, mm")
    max_rotation_deg: float = Field(3.0, ge=0, description="largest in-plane rotation searched, degrees")


class Reconstruction(Section):
    """Planar to 3D."""

    foci: bool = Field(True, description="search the counts for foci of activity that no outline tells of")
    mlem_iterations: int = Field(4, ge=1, description="MLEM iterations after QPlanar")
    flat_mlem_iterations: int = Field(20, ge=1, description="iterations of the plain two-view MLEM")
    gate_deviance: float = Field(
        1.5, gt=0, description="largest re-projection misfit (relative to the expected one) that passes the gate"
    )


class Dose(Section):
    """Absorbed dose."""

    photons: float = Field(
        2e5, ge=0, le=1e9, description="photons followed from each organ's decays; 0: the electrons' dose alone"
    )
    lesion_edge_fwhm_mm: float = Field(
        2.0,
        ge=0,
        le=30,
        description="blur of an edge in the image that the lesions were drawn on, mm FWHM: 2 on a CT, about 6 on a "
        "PET; part of their dose's uncertainty",
    )

    @field_validator("photons")
    @classmethod
    def _enough(cls, photons: float) -> float:
        """Fewer tell nothing, not even their own error."""
        if 0 < photons < 1000:
            raise ValueError("0, or 1000 and more")
        return photons


class Spect(Section):
    """The sheet's SPECTs, to compare with or to take."""

    fwhm_mm: float | None = Field(
        None, ge=0, le=40, description="resolution of the SPECTs, mm FWHM; null: estimated from the CT's organs"
    )


class Hand(Section):
    """What the user decides for one time point, because the header cannot or the user knows better."""

    flip_posterior: bool | None = Field(None, description="mirror the posterior view left-right before use")
    upside_down: bool = Field(False, description="the images have the feet at the top: turn every view by 180 degrees")
    head_order: Literal["anterior_first", "posterior_first"] | None = Field(
        None, description="which head's frames come first in the file"
    )
    windows_kev: tuple[tuple[float, float], ...] | None = Field(
        None,
        min_length=1,
        description="edges of the file's energy windows in keV, in order, where the header does not give every frame's",
    )
    seconds_per_row: float | None = Field(
        None,
        ge=EXPOSURE_S.low,
        le=EXPOSURE_S.high,
        description="of a sweep: seconds that each row was in the field (field length / scan speed), where the header "
        "does not tell or is wrong",
    )
    shift_mm: tuple[float, float] | None = Field(
        None, description="RAS (x, z) of the image centre in mm: replaces the registration"
    )
    rotation_deg: float = Field(0.0, description="in-plane rotation that goes with shift_mm, degrees")
    accept_gate: str | None = Field(
        None, min_length=8, description="reason for accepting a failed gate; printed in the report"
    )
    same_patient: str | None = Field(
        None,
        min_length=8,
        description="reason why images that look like another patient's are this one's; printed in the report",
    )
    accept_segmentation: str | None = Field(
        None,
        min_length=8,
        description="reason why labels that do not fit the CT's numbers are its own, at any time point of the patient; "
        "printed in the report",
    )

    @model_validator(mode="after")
    def _rotation_with_shift(self):
        if self.rotation_deg and self.shift_mm is None:
            raise ValueError("rotation_deg needs shift_mm beside it: together they replace the registration")
        return self


class Config(Section):
    """The whole configuration."""

    cohort: str = Field("config/cohort.tsv", description="cohort sheet (TSV), see docs/inputs.md")
    results: str = Field("results", description="folder for all outputs")
    seed: int = Field(2026, ge=0, lt=2**63, description="root of every random draw")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: CUDA where there is one")
    library: tuple[str, ...] = Field((), description="folders with the user's own nuclides/, cameras/, tracers/")
    methods: tuple[Method, ...] = Field(
        ("conjugate_view", "qplanar", "qplanar_mlem", "mlem", "unet"),
        min_length=1,
        description="reconstruction methods to compute; the classical four are computed beside every network",
    )
    dose_method: Method | None = Field(
        None,
        description="method of the dose map; null: unet, else diffusion, else qplanar_mlem, else the last of `methods`",
    )
    grid_mm: float = Field(10.0, ge=2, le=20, description="voxel size of the reconstruction, mm")
    segmentation: Segmentation = Segmentation()
    sampling: Sampling = Sampling()
    projection: Projection = Projection()
    train: Train = Train()
    diffusion: Diffusion = Diffusion()
    reinforce: Reinforce = Reinforce()
    registration: Registration = Registration()
    reconstruction: Reconstruction = Reconstruction()
    dose: Dose = Dose()
    spect: Spect = Spect()
    patients: dict[Identifier, dict[Identifier, Hand]] = Field(
        default_factory=dict, description="per patient and time point: decisions by hand"
    )

    @field_validator("methods")
    @classmethod
    def _rivals_beside_networks(cls, methods):
        """A network is never shown alone: `qplanar_mlem` is its fallback, and all four are what it has to beat."""
        if not set(methods) - set(CLASSICAL):
            return methods
        return (*(m for m in CLASSICAL if m not in methods), *methods)

    @model_validator(mode="after")
    def _methods_fit_together(self):
        if len(set(self.methods)) != len(self.methods):
            raise ValueError(f"methods {list(self.methods)} name a method twice")
        if self.needs_training and self.train.start == "population" and self.train.width != POPULATION_WIDTH:
            raise ValueError(f"train.width {self.train.width} needs train.start: scratch; the population network has "
                             f"{POPULATION_WIDTH}")  # fmt: skip
        if self.needs_training and self.train.start == "scratch" and not (self.train.steps or self.train.minutes):
            raise ValueError("train.start: scratch is trained by nothing; set train.steps, e.g. 200")
        if self.dose_method is not None and self.dose_method not in self.methods:
            raise ValueError(f"dose_method '{self.dose_method}' is not in methods {list(self.methods)}")
        return self

    @property
    def chunks(self) -> range:
        """Numbers of the `project` jobs of a patient."""
        return range(-(-self.sampling.samples // self.projection.chunk))

    @property
    def networks(self) -> tuple[Method, ...]:
        """The methods that need weights."""
        return tuple(m for m in self.methods if m not in CLASSICAL)

    @property
    def methods_with_map(self) -> tuple[Method, ...]:
        """Methods that make a map; conjugate view gives organ totals only."""
        return tuple(m for m in self.methods if m != "conjugate_view")

    @property
    def needs_training(self) -> bool:
        """Whether the U-Net is trained."""
        return "unet" in self.methods

    @property
    def weights(self) -> str:
        """The weights that reconstruct (a key of `paths.TEMPLATES`): the last stage's."""
        return "reinforced" if self.reinforce.steps else "weights"

    def weights_of(self, method: str) -> tuple[str, ...]:
        """Keys of `paths.TEMPLATES` of the weights that a method's map is made with."""
        unet = (self.weights,) if self.needs_training else ()
        return {"unet": unet, "diffusion": (*unet, "diffusion_weights")}.get(method, ())

    @property
    def map_method(self) -> Method:
        """The method whose map is dosed when its gate passes."""
        if self.dose_method is not None:
            return self.dose_method
        preferred: tuple[Method, ...] = ("unet", "diffusion", "qplanar_mlem")
        return next((m for m in preferred if m in self.methods), self.methods[-1])

    def hand(self, patient: str, timepoint: str) -> Hand:
        return self.patients.get(patient, {}).get(timepoint, Hand())

    def shared_decision(self, patient: str, key: str):
        """Value of a `Hand` key about what all time points of a patient share: the first that is given, or None."""
        given = (getattr(hand, key) for hand in self.patients.get(patient, {}).values())
        return next((value for value in given if value is not None), None)


# pydantic's words for what a user of YAML calls otherwise
WORDS = {
    "tuple_type": "should be a list, like [a, b]",
    "dict_type": "should hold keys with values, like {key: value}",
    "model_type": "should hold keys with values, like {key: value}",
    "string_type": "should be text",
    "bool_parsing": "should be true or false",
    "bool_type": "should be true or false",
    "extra_forbidden": "no such key, or no blank after a colon",
}


def parse_config(mapping: dict) -> Config:
    """Validate a mapping; the first fault becomes one `InputError` line that names the key."""
    try:
        return Config.model_validate(mapping)
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        key = ".".join(str(x) for x in first["loc"])
        problem = WORDS.get(first["type"], first["msg"].removeprefix("Value error, "))
        if first["type"] == "string_type" and first["loc"][-1] == "[key]":  # YAML reads 007 as 7, and no as false
            problem = "an id that YAML does not read as text: put it in quotes, like '007'"
        got = repr(first.get("input"))
        got = "a path" if "/" in got or "\\" in got else got  # paths hold names
        whole = first["type"] in ("value_error", "extra_forbidden") and isinstance(first.get("input"), dict)
        raise InputError(
            f"config {key}".strip(),
            f"{problem}{'' if whole else f' (got {got})'}"[:300],
            "",
            "see config/README.md for every key",
        ) from None


def load_config(path: Path | None) -> Config:
    """Config of a YAML file; None gives the defaults."""
    return Config() if path is None else parse_config(_content(path) or {})


def check_config_files(paths: list[str | Path]) -> None:
    """Refuse files in which a key stands twice: Snakemake's own reader keeps the last in silence."""
    for path in paths:
        _content(Path(path), tabs=" ")  # Snakemake takes JSON indented with tabs, which is no YAML


def check_config_words(words: list[str]) -> None:
    """Refuse words of Snakemake's command line, as ``train={steps: 5, steps: 6}``, in which a key stands twice.

    Text that is no YAML is Snakemake's to judge, as are all words that give no key of the config.
    """
    for key, _, text in (word.removeprefix("--config=").partition("=") for word in words):
        try:
            if key in Config.model_fields:
                parse_yaml(text.strip("'\""))  # quotes that a shell has left, as Snakemake drops them
        except KeyTwice as fault:
            raise InputError(f"config {key}", fault.problem, "each key once, on the command line too") from None
        except NotYaml:
            continue


def _content(path: Path, tabs: str = "\t") -> object:
    try:
        return parse_yaml(path.read_text(encoding="utf-8-sig").replace("\t", tabs))
    except (OSError, UnicodeDecodeError) as fault:
        problem = getattr(fault, "strerror", None) or type(fault).__name__
        raise InputError("config file", problem, "a readable YAML file (UTF-8)") from None
    except NotYaml as fault:
        line = f" in line {fault.line}" if fault.line else ""
        raise InputError("config file", f"{fault.problem}{line}", "a readable YAML file (UTF-8)") from None
