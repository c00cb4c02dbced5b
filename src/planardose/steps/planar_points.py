"""A patient's planar time points as the report reads them: the images as imported, and what counts them."""

from dataclasses import dataclass, field
from functools import cached_property

from planardose.cohort import Row
from planardose.io.planar_file import load_pair
from planardose.library import Camera, Nuclide, load_camera, load_nuclide
from planardose.planar import EnergyWindow, PlanarPair
from planardose.recon.acquired import without_dead_time
from planardose.run import Run, Told


@dataclass(frozen=True)
class PlanarPoint:
    """One time point: its row of the sheet, the pair as acquired, and what the sidecar of its import tells."""

    row: Row
    pair: PlanarPair = field(repr=False)
    told: Told = field(repr=False)
    camera: Camera
    nuclide: Nuclide

    @property
    def name(self) -> str:
        """The time point."""
        return self.row.timepoint

    @property
    def peak(self) -> int:
        """Index of the photopeak window."""
        return self.nuclide.peak_index(self.pair.windows)

    @property
    def photopeak(self) -> EnergyWindow:
        """The photopeak window as acquired."""
        return self.pair.windows[self.peak]

    @property
    def scatter_windows(self) -> str:
        """Windows beside the photopeak in words, or ``none``."""
        return "; ".join(f"{low:g}–{high:g}" for low, high in self.told["scatter_windows_kev"]) or "none"

    @property
    def has_dead_time(self) -> bool:
        """Whether a dead time is known of this camera and nuclide."""
        return self.camera.tau_in(self.photopeak, self.nuclide) is not None

    @cached_property
    def lost_by_dead_time(self) -> float | None:
        """Share of the photopeak counts that dead time took and the reconstruction put back; None where not known."""
        if not self.has_dead_time:
            return None
        true = without_dead_time(self.pair, self.camera, self.nuclide)
        seen, there = (float(p.counts[:, self.peak].sum(dtype=float)) for p in (self.pair, true))
        return 1.0 - seen / there


def planar_points(run: Run, patient: str) -> tuple[PlanarPoint, ...]:
    """The patient's time points with planar images, in the sheet's order."""
    return tuple(_read(run, row) for row in run.cohort.rows_of(patient) if not row.from_spect)


def _read(run: Run, row: Row) -> PlanarPoint:
    keys = {"patient": row.patient, "timepoint": row.timepoint}
    pair = load_pair(run.need("planar", "import-planar", **keys))
    told = run.told("planar", "import-planar", **keys)
    return PlanarPoint(row, pair, told, load_camera(row.camera), load_nuclide(row.nuclide))
