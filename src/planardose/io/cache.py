"""Arrays that are costly to compute and always the same for a key, kept on disk between runs."""

import hashlib
import json
import logging
import os
import stat
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np

from planardose.io.files import atomic

FOLDER_VARIABLE = "PLANARDOSE_CACHE"
KEY = "_key"  # the key stands in the file too: a file that holds another one is not taken
log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """``$PLANARDOSE_CACHE``, else ``planardose`` below `user_folder`."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    return Path(chosen) if chosen else user_folder() / "planardose"


def user_folder() -> Path:
    """``$XDG_CACHE_HOME``, else ``~/.cache``.

    Where there is no home that can be written, as on some cluster nodes and in containers, a folder of the user's in
    the machine's folder for temporary files.
    """
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    except (OSError, RuntimeError):  # the latter: no HOME, and a user whom the system does not know
        pass
    return _own_temporary_folder()


@cache
def _own_temporary_folder() -> Path:
    """A folder that nobody else can write: code is kept there too."""
    folder = Path(tempfile.gettempdir()) / f"planardose-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022:
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="planardose-"))


def cached_arrays(kind: str, key: Mapping, compute: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays from the cache, or computed and put there.

    A cache is a convenience: a file that is missing, damaged or of another key is computed anew, and a folder that
    cannot be written costs only time. Safe for jobs that run at once: each writes the whole file and renames it.

    Parameters
    ----------
    kind : str
        What the arrays are, e.g. ``"crystal"``: the subfolder's name.
    key : mapping
        Everything on which the arrays depend, as JSON can hold it (numbers, strings, lists, mappings): the physical
        numbers, seeds, and the code, e.g. ``"code": sha256_of(Path(__file__))``. Floats count to the last bit.
    compute : callable
        Makes the arrays by name; names may not begin with ``_``. Object arrays are refused (ValueError).

    Returns
    -------
    dict of str to array
        The same bits whether computed or read.
    """
    text = json.dumps(key, sort_keys=True, allow_nan=False)
    path = cache_folder() / kind / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npz"
    found = _read(path, text)
    if found is None:
        found = {name: np.asarray(a) for name, a in compute().items()}
        _write(path, text, found)
    return found


def _read(path: Path, key: str) -> dict[str, np.ndarray] | None:
    """What the file holds; None where it is not there, not readable or not of this key."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            if str(stored[KEY]) == key:
                return {name: stored[name] for name in stored.files if name != KEY}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as fault:
        log.info("a file of the cache is damaged (%s): computed anew", type(fault).__name__)
    return None


def _write(path: Path, key: str, arrays: dict[str, np.ndarray]) -> None:
    if bad := [n for n, a in arrays.items() if n.startswith("_") or a.dtype.hasobject]:
        raise ValueError(f"array '{bad[0]}' cannot be cached: its name begins with _ or it holds objects")
    try:
        with atomic(path) as temporary:
            np.savez(temporary, **{KEY: np.array(key)}, **arrays)
    except OSError as fault:
        log.info("the cache folder cannot be written (%s); %s chooses another", type(fault).__name__, FOLDER_VARIABLE)
