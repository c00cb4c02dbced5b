"""The patient on the reconstruction grid: what fraction of each voxel is which organ, and what it is made of."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from planardose.image import Grid
from planardose.io.files import atomic

MATERIALS = ("adipose", "soft_tissue", "bone")


@dataclass(frozen=True)
class PatientModel:
    """Anatomy on a RAS-aligned grid with cubic voxels.

    The grid covers the CT, and a margin of slices beyond its first and last one where the body leaves the CT: there
    the edge slice is repeated and all of it is the organ ``outside_ct``, so that activity out of the CT shows as such.

    Parameters
    ----------
    grid : Grid
    organs : tuple of str
        Names of source classes, `remainder` and, with a margin, `outside_ct`, last.
    fractions : (O, I, J, K) float32
        Fraction of each voxel's volume that belongs to each organ; sums to the body's share of the voxel.
    partial_density : (3, I, J, K) float32, g/mL
        Mass of adipose, soft tissue and bone (`MATERIALS`) per voxel volume.
    margin : tuple of int
        Number of slices beyond the CT at the (lower, upper) end of k.
    mass_g : (O,) float64 or None
        Mass of each organ by the CT's own voxels; None where there are none, as for organs that were drawn or split.

    Raises
    ------
    ValueError
        On shapes that do not fit each other, or a grid that is not RAS-aligned.
    """

    grid: Grid
    organs: tuple[str, ...]
    fractions: np.ndarray = field(repr=False)
    partial_density: np.ndarray = field(repr=False)
    margin: tuple[int, int] = (0, 0)
    mass_g: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.mass_g is not None and len(self.mass_g) != len(self.organs):
            raise ValueError(f"{len(self.mass_g)} masses for {len(self.organs)} organs")
        if self.fractions.shape != (len(self.organs), *self.grid.shape):
            raise ValueError(
                f"fractions have shape {self.fractions.shape}, expected {(len(self.organs), *self.grid.shape)}"
            )
        if self.partial_density.shape != (len(MATERIALS), *self.grid.shape):
            raise ValueError(f"partial_density has shape {self.partial_density.shape}")
        if not self.grid.is_ras_aligned:
            raise ValueError("the patient model needs a RAS-aligned grid")

    @property
    def density(self) -> np.ndarray:
        """(I, J, K) float32, g/mL."""
        return self.partial_density.sum(axis=0)

    @property
    def body(self) -> np.ndarray:
        """(I, J, K) bool: voxels that are at least half body."""
        return self.fractions.sum(axis=0) >= 0.5

    @property
    def ct_slices(self) -> slice:
        """Slices of k that lie in the CT."""
        return slice(self.margin[0], self.grid.shape[2] - self.margin[1])

    @property
    def ct_grid(self) -> Grid:
        """The grid without the margin: where maps are written."""
        affine = self.grid.ras_from_voxel.copy()
        affine[2, 3] += self.margin[0] * affine[2, 2]
        i, j, k = self.grid.shape
        return Grid((i, j, k - sum(self.margin)), affine)

    def volumes_ml(self) -> np.ndarray:
        """(O,) float64: volume of each organ in the grid, margin included for `outside_ct` only."""
        return self.fractions.sum(axis=(1, 2, 3), dtype=np.float64) * self.grid.voxel_ml

    def masses_g(self) -> np.ndarray:
        """(O,) float64: mass of each organ by the CT's voxels.

        Without them the mass of a voxel of this grid is shared by volume, which mixes an organ's density with its
        neighbours': soft tissue in lung of 2 mL comes out at half its mass in voxels of 10 mm, lungs 20 % too heavy.
        """
        if self.mass_g is not None:
            return self.mass_g
        share = self.fractions / np.maximum(self.fractions.sum(axis=0), 1e-6)
        return (share * self.density).sum(axis=(1, 2, 3), dtype=np.float64) * self.grid.voxel_ml

    def save(self, path: Path) -> None:
        """Write an NPZ atomically; masses are those of `masses_g`."""
        head = {"organs": self.organs, "margin": self.margin}
        with atomic(path) as temporary:
            np.savez_compressed(
                temporary,
                fractions=self.fractions,
                partial_density=self.partial_density,
                ras_from_voxel=self.grid.ras_from_voxel,
                mass_g=self.masses_g(),
                head=np.array(json.dumps(head)),
            )

    @classmethod
    def load(cls, path: Path) -> "PatientModel":
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as z:
            head = json.loads(str(z["head"]))
            fractions = z["fractions"]
            return cls(
                Grid(fractions.shape[1:], z["ras_from_voxel"]),
                tuple(head["organs"]),
                fractions,
                z["partial_density"],
                tuple(head["margin"]),
                z["mass_g"],
            )
