"""Which methods stand beside each other in the tables, and what they are compared with."""

from dataclasses import dataclass

BESIDE = ("uniform body", "all-zero image")


@dataclass(frozen=True)
class Section:
    """A table of scores and one of paired differences to `reference`; `methods` in the order of the columns.

    A method that no section names comes at the end of the first.
    """

    title: str
    reference: str
    methods: tuple[str, ...]


SECTIONS = (
    Section(
        "Methods", "qplanar_mlem",
        ("conjugate_view", "qplanar", "qplanar_mlem", "mlem", "population network", "unet", "diffusion", *BESIDE),
    ),
    Section(
        "With and without the search for foci", "qplanar_mlem, no foci",
        ("qplanar, no foci", "qplanar_mlem, no foci", "population network, no foci", "qplanar", "qplanar_mlem",
         "population network", "unet", "diffusion"),
    ),
    Section(
        "How the network is trained", "qplanar_mlem",
        ("qplanar_mlem", "population network", "unet", "unet, reinforced", "unet, no population",
         "unet, no population, blind to the counts", "unet_generic", "unet, half the steps", "unet, low rate"),
    ),
    Section(
        "Trained on the patient against not trained on it", "population network", ("population network", "unet"),
    ),
    Section(
        "The same with a prior image", "population network, prior image",
        ("population network, prior image", "unet, prior image"),
    ),
    Section(
        "Against the network", "unet", ("unet", "population network", "unet, reinforced", "diffusion"),
    ),
    Section(
        "At voxels of 7 mm, which the population network does not know", "population network, 7 mm",
        ("qplanar_mlem, 7 mm", "population network, 7 mm", "unet, 7 mm"),
    ),
    Section(
        "Trained on the patient against trained on other anatomies with as many samples and steps", "unet_generic",
        ("unet_generic", "unet, no population"),
    ),
    Section(
        "The paper's U-Net: the same", "resunet_generic", ("resunet_generic", "resunet"),
    ),
    Section(
        "The paper's diffusion model: the same", "resunet_diffusion_generic",
        ("resunet_diffusion_generic", "resunet_diffusion"),
    ),
    Section(
        "Without parts of the network's input", "unet, no population",
        ("unet, no population", "unet, no population, blind to the counts", "unet, no population, no physics base"),
    ),
    Section(
        "Without registration, without scatter correction", "qplanar_mlem",
        ("qplanar_mlem", "qplanar_mlem, not registered", "qplanar_mlem, scatter not modelled"),
    ),
    Section(
        "Prior image and lesion masks", "qplanar_mlem",
        ("qplanar_mlem", "qplanar_mlem, prior image", "qplanar_mlem, prior image 10 mm off",
         "qplanar_mlem, poor prior image", "population network, prior image", "unet, prior image",
         "qplanar_mlem, lesion masks", "population network, lesion masks", "unet, lesion masks"),
    ),
)  # fmt: skip


def shown_sections(there: list[str]) -> list[tuple[Section, list[str]]]:
    """Sections with something beside their reference, and their methods among those that are there."""
    named = {m for section in SECTIONS for m in section.methods}
    found = []
    for number, section in enumerate(SECTIONS):
        more = tuple(m for m in there if m not in named) if number == 0 else ()
        methods = [m for m in (*section.methods, *more) if m in there]
        if section.reference in methods and len(methods) > 1:
            found.append((section, methods))
    return found
