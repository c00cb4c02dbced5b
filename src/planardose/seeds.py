"""Seeds: every random draw in the package is keyed by (root seed, step, patient, index)."""

import hashlib

import numpy as np


def _word(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def seed_for(root: int, step: str, patient: str = "", index: int = 0) -> int:
    """A 63-bit seed for one draw.

    Parameters
    ----------
    root : int
        The run's seed (config key ``seed``).
    step, patient : str
        Name of the step that draws, and the pseudonym.
    index : int
        Number of the draw within that step (sample, chunk, history block...).

    Returns
    -------
    int
        In [0, 2**63), equal on every machine and Python version (numpy ``SeedSequence``, SHA-256 of the names).
    """
    sequence = np.random.SeedSequence([root, _word(step), _word(patient), index])
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def rng_for(root: int, step: str, patient: str = "", index: int = 0) -> np.random.Generator:
    """A numpy generator with the seed of `seed_for`, whose arguments it takes."""
    return np.random.default_rng(seed_for(root, step, patient, index))
