"""The photon kernel on a device: upload, launches on threads, and parts where memory is short."""

import logging
from dataclasses import dataclass, field

import numpy as np
import warp as wp

from planardose.errors import InputError
from planardose.physics.form_factors import form_factors
from planardose.physics.warp_arrays import in_threads, scalars, vectors
from planardose.physics.warp_runtime import load_kernel
from planardose.sim import montecarlo_columns, montecarlo_kernel, montecarlo_track
from planardose.sim.device import enough_memory, launches, short_of_memory, source_and_matter
from planardose.sim.montecarlo_tables import EnergyTables, Slots, majorant_per_mm
from planardose.sim.raster import Raster

LARGEST_TALLY = 2**31 - 1  # the kernel counts its cells in 32 bits
FORCED = 2.0  # `Heads.acceptance`
LESS = "coarser voxels or fewer windows"
log = logging.getLogger(__name__)


def load_kernels(device: str) -> None:
    """Load the kernels; on first use they are compiled (seconds) into the user's cache, safely beside others."""
    load_kernel(montecarlo_track, device)
    load_kernel(montecarlo_columns, "cpu")


@dataclass(frozen=True)
class Setup:
    """What the kernel needs of a patient, the heads and the camera, in host memory.

    `density` (I, J, K, 3) and `masses` (I, J, K, H, 3) float32; `efficiency` (H, N, W); `split_kev` (W,) and `slot_of`
    (W, 2) as `montecarlo_tables.scatter_slots`; `acceptance` as `montecarlo_track.Heads`.
    """

    density: np.ndarray = field(repr=False)
    masses: np.ndarray = field(repr=False)
    activity: np.ndarray = field(repr=False)
    raster: Raster
    tables: EnergyTables
    efficiency: np.ndarray
    slots: Slots
    split_kev: np.ndarray
    slot_of: np.ndarray
    acceptance: float = FORCED

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(H, S, L, U, K) of the scores."""
        r = self.raster
        return len(r.heads), len(self.slots), r.layers, r.columns.count, r.grid.shape[2]


def upload_tables(setup: Setup, device: str) -> montecarlo_kernel.Tables:
    """What every history reads, whatever the heads."""
    tables, spacing = setup.tables, setup.raster.grid.spacing_mm
    t = source_and_matter(setup.density, setup.activity, spacing, tables.lines, form_factors(), device)
    t.first_kev = tables.first_kev
    t.total, t.compton = vectors(tables.total, device), vectors(tables.compton, device)
    t.rayleigh = vectors(tables.rayleigh, device)
    t.majorant = scalars(majorant_per_mm(setup.density, tables.total), device)
    t.incoherent_norm = scalars(tables.incoherent_norm, device)
    t.coherent_norm = scalars(tables.coherent_norm, device)
    return t


def _upload_heads(setup: Setup, chosen: range, device: str) -> montecarlo_track.Heads:
    """Some of the heads, consecutive ones."""
    raster, part = setup.raster, slice(chosen.start, chosen.stop)
    low = raster.grid.bounds_mm()[0]
    heads = [raster.heads[h] for h in chosen]
    normal = np.array([h.normal for h in heads]).reshape(-1, 3)
    tangent = np.array([h.tangent for h in heads]).reshape(-1, 3)
    h = montecarlo_track.Heads()
    h.normal, h.tangent = vectors(normal, device), vectors(tangent, device)
    h.mass = vectors(setup.masses[:, :, :, part], device)
    h.efficiency = scalars(setup.efficiency[part], device)
    h.energies, h.windows = setup.efficiency.shape[1:]
    h.split_kev = scalars(np.minimum(setup.split_kev, 1e9), device)
    h.slot = wp.array(setup.slot_of.astype(np.int32).ravel(), dtype=wp.int32, device=device)
    h.slots, h.layers, h.columns = len(setup.slots), raster.layers, raster.columns.count
    # from RAS to the grid's lowest corner, from which the kernel counts
    h.first_depth = scalars(raster.first_depth_mm[part] - normal @ (low * [1, 1, 0]), device)
    h.first_column = scalars(raster.columns.first_mm - tangent @ (low * [1, 1, 0]), device)
    h.layers_per_mm, h.columns_per_mm = 1.0 / raster.layer_mm, 1.0 / raster.columns.width_mm
    h.acceptance = setup.acceptance
    return h


class Tracker:
    """Follows histories on a device; integer tallies, one per thread, so that sums do not depend on who followed what.

    Where the device's memory does not hold all heads at once, or their cells are too many to count, parts of them are
    taken one after the other, with the same histories: the same bits in up to so many times the time.
    """

    @enough_memory(LESS)
    def __init__(self, setup: Setup, device: str, threads: int):
        self.setup, self.device = setup, device
        self.threads = threads if device == "cpu" else 1
        self.cells = int(np.prod(setup.shape[1:]))
        if self.cells > LARGEST_TALLY:
            cells = " x ".join(str(n) for n in setup.shape[1:])
            raise InputError("grid", f"{cells} cells per head are too many", LESS)
        self.at_once = min(max(1, setup.shape[0]), LARGEST_TALLY // self.cells)
        self.tables = upload_tables(setup, device)

    @enough_memory(LESS)
    def follow(self, seed: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores (H, S, L, U, K) and balance of the batch of histories first..last-1, in fixed point.

        Raises
        ------
        InputError
            If a single head does not fit into the device's memory.
        """
        while True:
            try:
                parts = [self._follow(part, seed, first, last) for part in self._parts()]
            except RuntimeError as fault:
                if short_of_memory(fault) != self.device or self.at_once == 1:
                    raise
                self._shrink()
            else:
                return np.concatenate([p[0] for p in parts]), parts[0][1]

    def _parts(self) -> list[range]:
        heads = self.setup.shape[0]
        return [range(h, min(h + self.at_once, heads)) for h in range(0, max(1, heads), self.at_once)]

    def _shrink(self) -> None:
        self._held = None
        self.at_once = -(-self.at_once // 2)
        log.warning("memory of %s is short: the heads are taken %d at a time", self.device, self.at_once)

    _held: tuple | None = None

    def _memory_for(self, part: range) -> tuple:
        """Heads, tallies and balances of a part; kept until another one is asked for."""
        if self._held is None or self._held[0] != part:
            self._held = None
            heads = _upload_heads(self.setup, part, self.device)
            scores = [wp.zeros(len(part) * self.cells, dtype=wp.int64, device=self.device) for _ in range(self.threads)]
            entries = len(montecarlo_kernel.BALANCE)
            balances = [wp.zeros(entries, dtype=wp.int64, device=self.device) for _ in range(self.threads)]
            self._held = (part, heads, scores, balances)
        return self._held

    def _follow(self, part: range, seed: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        _, heads, scores, balances = self._memory_for(part)
        edges = [first + (last - first) * n // self.threads for n in range(self.threads + 1)]

        def run(n: int) -> None:
            scores[n].zero_()
            balances[n].zero_()
            for start, count in launches(edges[n], edges[n + 1]):
                wp.launch(
                    montecarlo_track.histories, dim=count, device=self.device,
                    inputs=[self.tables, heads, wp.uint64(seed), wp.uint64(first), wp.uint64(last - first),
                            wp.uint64(start), scores[n], balances[n]],
                )  # fmt: skip

        in_threads(run, range(self.threads))
        total = sum(s.numpy() for s in scores)
        balance = sum(b.numpy() for b in balances)
        # known without an addition per history, and the balance closes only if all of them were followed
        balance[montecarlo_kernel.BALANCE.index("emitted")] = (last - first) * int(montecarlo_kernel.FIXED_POINT)
        return total.reshape(len(part), *self.setup.shape[1:]), balance
