"""``planardose --help``: every command in full, the user's own before the steps that a run calls."""

import click
from typer.core import TyperGroup

SECTIONS = {
    "Your cohort": ("check", "plan", "status", "export-dicom", "calibrate", "list", "doctor"),
    "Synthetic patients, comparison and validation": (
        "make-demo", "evaluate", "verify", "validate-physics", "benchmark",
    ),
    "Steps, in the order in which Snakemake calls them": (
        "import-ct", "segment", "import-prior", "sample-uptake", "project", "train", "reinforce", "train-diffusion",
        "import-planar", "register", "reconstruct", "compare-spect", "spect-activity", "fit-kinetics",
        "absorbed-dose", "report", "report-cohort",
    ),
}  # fmt: skip


class Commands(TyperGroup):
    """The group of all commands."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections; a summary is the first line of its command's help."""
        for title, names in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(n, self.commands[n].help.splitlines()[0]) for n in names], col_max=20)
