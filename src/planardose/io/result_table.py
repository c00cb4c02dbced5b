"""Tables of the results as later steps read them."""

import pandas as pd

from planardose.errors import InputError
from planardose.io.files import sha256_of
from planardose.run import Run, place_of
from planardose.sidecar import read_sidecar


def read_rows(run: Run, key: str, step: str, columns: tuple[str, ...] = (), **wildcards) -> pd.DataFrame:
    """A table as its step wrote it.

    Parameters
    ----------
    run : Run
    key : str
        Of `paths.TEMPLATES`.
    step : str
        Command that writes it.
    columns : tuple of str
        Those that an older version's table may lack.
    **wildcards
        patient, and timepoint where the table is one's.

    Raises
    ------
    InputError
        If it is missing, lacks one of `columns`, or does not have the hash in its sidecar: it was cut off or changed,
        which its rows need not show.
    """
    path = run.need(key, step, **wildcards)
    if sha256_of(path) != read_sidecar(path).get("sha256"):
        raise InputError(place_of(key, **wildcards), "cut off, or changed after it was written",
                         "the file whose sha256 its sidecar holds", f"run 'planardose {step}' again")  # fmt: skip
    table = pd.read_csv(path)
    missing = next((c for c in columns if c not in table), None)
    if missing:
        raise InputError(place_of(key, **wildcards), f"no column '{missing}'", "results of this version of planardose",
                         f"run 'planardose {step}' again")  # fmt: skip
    return table
