"""Tables of the results as later steps read them."""

import pandas as pd

from planardose.errors import InputError
from planardose.io.files import sha256_of
from planardose.run import Run, place_of
from planardose.sidecar import read_sidecar


def read_rows(run: Run, key: str, step: str, **wildcards) -> pd.DataFrame:
    """A table as its step wrote it.

    Parameters
    ----------
    run : Run
    key : str
        Of `paths.TEMPLATES`.
    step : str
        Command that writes it.
    **wildcards
        patient, and timepoint where the table is one's.

    Raises
    ------
    InputError
        If it is missing, or does not have the hash in its sidecar: it was cut off or changed, which its rows need not
        show.
    """
    path = run.need(key, step, **wildcards)
    if sha256_of(path) != read_sidecar(path).get("sha256"):
        raise InputError(place_of(key, **wildcards), "cut off, or changed after it was written",
                         "the file whose sha256 its sidecar holds", f"run 'planardose {step}' again")  # fmt: skip
    return pd.read_csv(path)
