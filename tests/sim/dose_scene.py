"""Scene and listed values for tests of the photon dose."""

import montecarlo_scenes

from planardose.library import DATA, load_nuclide

LU = load_nuclide("177Lu")
LU_KEV = sum(x.energy_kev * x.per_decay for x in LU.lines)


def mixed_phantom():
    """Air, adipose, soft tissue and bone in blocks, uneven axes; activity spread unevenly."""
    density, source, grid, _ = montecarlo_scenes.mixed_phantom()
    return density, source, grid


def table(name):
    rows = [x.split("\t") for x in (DATA / "validation" / name).read_text().splitlines() if not x.startswith("#")]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
