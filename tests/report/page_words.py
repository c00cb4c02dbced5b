"""A patient's page and its words, for tests of what they say."""

import re


def page(run, patient="P01"):
    return run.path("report", patient=patient).read_text()


def text_of(html):
    """Words of a page without scripts, styles and tags."""
    return re.sub(r"<[^>]+>", " ", re.sub(r"<(script|style)>.*?</\1>", "", html, flags=re.S))
