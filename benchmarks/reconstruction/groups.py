"""The groups of methods that the benchmark compares: variants of the config and of the sheet, and their names there."""

from dataclasses import dataclass, field

from benchmarks.reconstruction.cohort import ALL_LESIONS

from planardose.config import Config, parse_config

BEFORE = {"sampling", "projection", "grid_mm", "segmentation", "registration"}  # config keys of the steps before


@dataclass(frozen=True)
class Group:
    """Methods that are computed together, as a variant of the config and of the sheet.

    Parameters
    ----------
    methods : tuple of str
        Of the chain's registry (config key `methods`); what the config adds to them is not reported.
    config : dict
        Other keys of the config.
    cells : dict
        Columns of the sheet that are set, e.g. ``{"prior_image": "inputs/{patient}/pet.nii.gz"}``.
    rename : dict
        How methods are called in the table, where the variant of the config makes another method of them.
    generic : bool
        The network is the one trained on other anatomies (`generic`), not the patient's own.
    lifted : bool
        The networks see lifted views (`lifted`) instead of what the chain's see.
    left_out : tuple of str
        Methods that others need and that another group reports.
    unregistered : bool
        The image's centre lies on the CT's instead of where the registration finds it.
    without : str
        Key of `ablation.WITHOUT`: what the methods do without.
    """

    methods: tuple[str, ...]
    config: dict = field(default_factory=dict)
    cells: dict = field(default_factory=dict)
    rename: dict = field(default_factory=dict)
    generic: bool = False
    lifted: bool = False
    left_out: tuple[str, ...] = ()
    unregistered: bool = False
    without: str = ""

    def settings(self, seed: int, precision: str, patients: dict | None = None) -> Config:
        """The config of a cell."""
        train = {**self.config.get("train", {}), "precision": precision}
        every = {"methods": self.methods, "seed": seed, "patients": patients or {}}
        return parse_config({**self.config, "train": train, **every})

    @property
    def trained(self) -> bool:
        """Whether it has a network."""
        return not {"unet", "diffusion"}.isdisjoint(self.methods)

    @property
    def seeded(self) -> bool:
        """Whether it has a network that a training seed changes."""
        return self.trained and self.config.get("train") != NOT_TRAINED["train"]

    @property
    def before(self) -> tuple[dict, dict, bool]:
        """What model, registration and virtual data depend on beyond the default config and sheet."""
        return self.cells, {k: self.config[k] for k in BEFORE & set(self.config)}, self.unregistered


NOT_TRAINED = {"train": {"steps": 0}}  # the chain's default
TRAINED = {"train": {"steps": 200}}
SCRATCH = {"train": {"start": "scratch", "steps": 200}}


def _called(methods: tuple[str, ...], config: dict, condition: str) -> dict[str, str]:
    """Names of methods under a condition; a U-Net without steps is the population network."""
    named = {"unet": "population network"} if config.get("train") == NOT_TRAINED["train"] else {}
    return {m: f"{named.get(m, m)}, {condition}" for m in methods}


def _with_prior(name: str, condition: str, methods: tuple[str, ...], config: dict | None = None) -> Group:
    """Methods that are given a prior image of the case's `PRIORS`."""
    cells, config = {"prior_image": f"inputs/{{patient}}/{name}"}, config or {}
    return Group(methods, config, cells, _called(methods, config, condition))


def _with_masks(methods: tuple[str, ...], config: dict | None = None) -> Group:
    """Methods that are told of all lesions."""
    cells, config = {"lesions": f"inputs/{{patient}}/{ALL_LESIONS}"}, config or {}
    return Group(methods, config, cells, _called(methods, config, "lesion masks"))


def _without_foci(methods: tuple[str, ...], config: dict | None = None) -> Group:
    """Methods as they are when the counts are not searched for foci."""
    config = config or {}
    return Group(methods, {**config, "reconstruction": {"foci": False}}, rename=_called(methods, config, "no foci"))


def _at_7mm(methods: tuple[str, ...], config: dict | None = None) -> Group:
    """Methods at voxels that the population network does not know."""
    config = config or {}
    return Group(methods, {"grid_mm": 7, **config}, rename=_called(methods, config, "7 mm"))


# A new method, or a run with prior image or lesion masks, is one line here.
GROUPS = {
    "classical": Group(("conjugate_view", "qplanar", "qplanar_mlem", "mlem")),
    "unet": Group(("unet",), TRAINED),
    "unet_scratch": Group(("unet",), SCRATCH, rename={"unet": "unet, no population"}),
    "unet_half": Group(("unet",), {"train": {"steps": 100}}, rename={"unet": "unet, half the steps"}),
    "unet_gentle": Group(
        ("unet",), {"train": {"steps": 200, "learning_rate": 5e-4}}, rename={"unet": "unet, low rate"}
    ),
    "population": Group(("unet",), NOT_TRAINED, rename={"unet": "population network"}),
    "reinforced": Group(
        ("unet",), {**TRAINED, "reinforce": {"steps": 50, "checkpoint_every": 10}}, rename={"unet": "unet, reinforced"}
    ),
    "no_foci": _without_foci(("qplanar", "qplanar_mlem")),
    "no_foci_population": _without_foci(("unet",), NOT_TRAINED),
    "lesion_masks": _with_masks(("qplanar_mlem",)),
    "lesion_masks_unet": _with_masks(("unet",), TRAINED),
    "lesion_masks_population": _with_masks(("unet",), NOT_TRAINED),
    "prior": _with_prior("prior.nii.gz", "prior image", ("qplanar_mlem",)),
    "prior_unet": _with_prior("prior.nii.gz", "prior image", ("unet",), TRAINED),
    "prior_population": _with_prior("prior.nii.gz", "prior image", ("unet",), NOT_TRAINED),
    "prior_off": _with_prior("prior_off.nii.gz", "prior image 10 mm off", ("qplanar_mlem",)),
    "prior_poor": _with_prior("prior_poor.nii.gz", "poor prior image", ("qplanar_mlem",)),
    "unregistered": Group(
        ("qplanar_mlem",), rename={"qplanar_mlem": "qplanar_mlem, not registered"}, unregistered=True
    ),
    "no_scatter": Group(
        ("qplanar_mlem",), rename={"qplanar_mlem": "qplanar_mlem, scatter not modelled"}, without="scatter"
    ),
    "no_ratios": Group(
        ("unet",), SCRATCH, rename={"unet": "unet, no population, blind to the counts"},
        without="ratios",
    ),
    "no_base": Group(
        ("unet",), SCRATCH, rename={"unet": "unet, no population, no physics base"},
        without="base",
    ),
    "unet_7mm": _at_7mm(("qplanar_mlem", "unet"), TRAINED),
    "population_7mm": _at_7mm(("unet",), NOT_TRAINED),
    "unet_generic": Group(("unet",), TRAINED, rename={"unet": "unet_generic"}, generic=True),
    "diffusion": Group(("unet", "diffusion"), TRAINED, left_out=("unet",)),
    "resunet": Group(
        ("unet", "diffusion"), TRAINED, rename={"unet": "resunet", "diffusion": "resunet_diffusion"}, lifted=True
    ),
    "resunet_generic": Group(
        ("unet", "diffusion"), TRAINED, rename={"unet": "resunet_generic", "diffusion": "resunet_diffusion_generic"},
        generic=True, lifted=True,
    ),
}
