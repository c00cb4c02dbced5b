"""Templates to HTML: one file that needs nothing else."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import planardose
from planardose.report.charts import plotly_script

FOLDER = Path(__file__).parent


@cache
def _environment() -> Environment:
    return Environment(loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True)


@cache
def _shared() -> dict:
    """What all pages hold; plotly.js alone has 5 MB, and a cohort's page is tried out on each of its patients."""
    style = Markup((FOLDER / "style.css").read_text())
    return {"css": style, "plotly": Markup(plotly_script()), "version": planardose.__version__}


def render(template: str, context: dict) -> str:
    """The template with style, plotly.js and version inlined; text of the context is escaped unless it is `Markup`."""
    return _environment().get_template(template).render(**_shared(), **context)
