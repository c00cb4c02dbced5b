"""Running the collimator's kernels: unscattered transmission over directions, and scatter in the lead."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import warp as wp

from planardose.library import Camera
from planardose.physics import collimator_kernel, lead_scatter_kernel
from planardose.physics.detector import interaction_fraction
from planardose.physics.form_factors import STEP, coherent_norm, form_factors, incoherent_norm_barn
from planardose.physics.lead import EDGE_KEV, FIRST_KEV, k_x_rays, lead_per_mm, lead_table
from planardose.physics.warp_runtime import load_kernel

SEED = 82  # of the tables: a property of the model, not of a run
TANGENT_LAST = 6.0  # directions and rings are kept up to 80.5 degrees from the axis
CORE = 3.0
BLACK = 1e-12  # of photons straight through the crystal without interacting: less is not told apart


@dataclass(frozen=True)
class Settings:
    """How finely a table is traced; defaults: 0.1 % on unscattered, 2 % on all lead-scattered photons."""

    tangents: int = 256  # inclinations traced
    azimuths: int = 32  # over 30 degrees: the lattice's symmetry gives the rest
    entries: int = 129  # points of entry per direction, a multiple of 3
    core_entries: int = 2064  # the same within `CORE` hole widths per length of the axis, where rays cross few septa
    histories: int = 2**18  # photons followed for the scatter
    batches: int = 8  # groups of them, whose spread gives the errors
    rings: int = 64  # radial bins of the scatter's image
    distances_mm: tuple[float, ...] = (0.0, 25.0, 50.0, 100.0, 150.0, 200.0, 300.0, 450.0)


def radius_at(camera: Camera, share: np.ndarray) -> np.ndarray:
    """Tangent at a share (0 to 1) of the logarithmic scale from 0 to `TANGENT_LAST`, even at first, then stretching."""
    scale = camera.hole_mm / camera.length_mm
    return scale * np.expm1(share * np.log1p(TANGENT_LAST / scale))


def share_at(camera: Camera, tangent: np.ndarray) -> np.ndarray:
    """Inverse of `radius_at`."""
    scale = camera.hole_mm / camera.length_mm
    return np.log1p(tangent / scale) / np.log1p(TANGENT_LAST / scale)


def tangent_nodes(camera: Camera, count: int) -> np.ndarray:
    """(count,) middles of even steps on the scale of `radius_at`."""
    return radius_at(camera, (np.arange(count) + 0.5) / count)


def azimuth_nodes(count: int) -> np.ndarray:
    """(count,) middles of even steps over 0 to 30 degrees, after which the lattice repeats or mirrors itself."""
    return np.pi / 6 * (np.arange(count) + 0.5) / count


def solid_angle_share(camera: Camera, count: int) -> np.ndarray:
    """(count,) share of all 4 pi around each of the `tangent_nodes`, all azimuths together."""
    inner, outer = (radius_at(camera, (np.arange(count) + n) / count) for n in (0, 1))
    return 0.5 * (1.0 / np.sqrt(1.0 + inner**2) - 1.0 / np.sqrt(1.0 + outer**2))


def trace_transmission(
    camera: Camera, energy_kev: float, settings: Settings, threads: int = 1, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chance of coming through, averaged over the point of entry, without touching lead, and through lead unscattered.

    Returns
    -------
    strict, penetrating, path : (tangents, azimuths) float64
        The third is the chance to penetrate times the lead on the way, mm.
    """
    load_kernel(collimator_kernel, device)
    tangent = wp.array(tangent_nodes(camera, settings.tangents), dtype=wp.float32, device=device)
    core = tangent_nodes(camera, settings.tangents) < CORE * camera.hole_mm / camera.length_mm
    entries = wp.array(np.where(core, settings.core_entries, settings.entries), dtype=wp.int32, device=device)
    azimuth = wp.array(azimuth_nodes(settings.azimuths), dtype=wp.float32, device=device)
    shape = (settings.tangents, settings.azimuths)
    found = [wp.zeros(shape, dtype=wp.float32, device=device) for _ in range(3)]
    rows = np.array_split(np.arange(settings.tangents), threads if device == "cpu" else 1)

    def part(row: np.ndarray) -> None:
        wp.launch(
            collimator_kernel.transmission, dim=(row.size, settings.azimuths), device=device,
            inputs=[tangent, azimuth, int(row[0]), entries, wp.uint64(SEED), camera.hole_mm,
                    camera.hole_mm + camera.septum_mm, camera.length_mm, float(lead_per_mm(energy_kev)), *found],
        )

    _share_out(part, rows)
    return tuple(f.numpy().astype(np.float64) for f in found)


def _share_out(part, pieces: list) -> None:
    """Run a launch per piece, in as many threads as there are pieces."""
    if len(pieces) == 1:
        part(pieces[0])
        return
    with ThreadPoolExecutor(len(pieces)) as pool:
        list(pool.map(part, pieces))


def lead_on(camera: Camera, settings: Settings, device: str) -> lead_scatter_kernel.Lead:
    """The kernel's tables."""

    def scalar(values: np.ndarray) -> wp.array:
        return wp.array(np.ascontiguousarray(values, dtype=np.float32), dtype=wp.float32, device=device)

    table, factors, (line_kev, line_share) = lead_table(), form_factors("lead"), k_x_rays()
    lead = lead_scatter_kernel.Lead()
    lead.hole, lead.pitch, lead.length = camera.hole_mm, camera.hole_mm + camera.septum_mm, camera.length_mm
    lead.first_kev, lead.edge_kev = FIRST_KEV, EDGE_KEV
    lead.total, lead.compton, lead.coherent_share = (scalar(t) for t in (table.total, table.compton, table.coherent))
    lead.fluorescent = scalar(table.fluorescent)
    lead.crystal = scalar(-np.log(np.maximum(1.0 - interaction_fraction(camera, table.energy_kev), BLACK)))
    lead.x_step = STEP
    lead.incoherent, lead.coherent = scalar(factors.incoherent), scalar(factors.coherent)
    lead.coherent_integral = scalar(factors.coherent_integral)
    lead.incoherent_norm = scalar(incoherent_norm_barn(table.energy_kev, "lead"))
    lead.coherent_norm = scalar(coherent_norm(table.energy_kev, "lead"))
    lead.line_kev, lead.line_share = scalar(line_kev), scalar(line_share)
    lead.distance = scalar(np.array(settings.distances_mm))
    lead.radius_scale, lead.radius_last = camera.hole_mm / camera.length_mm, TANGENT_LAST
    lead.rings = settings.rings
    return lead


def trace_scatter(
    camera: Camera, energy_kev: float, settings: Settings, threads: int = 1, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """Photons that scattered in lead, or that lead emitted, and reach the crystal, per photon emitted into 4 pi.

    Returns
    -------
    image : (distances, channels, rings) float64
        Weighted by the gain in interactions of their oblique path through the crystal. Channels: coherently scattered
        only; `lead_scatter_kernel.SHIFTS` bins of the Compton shift; lead's K X rays.
    spectrum : (batches, channels) float64
        Unweighted, per batch.
    """
    load_kernel(lead_scatter_kernel, device)
    lead = lead_on(camera, settings, device)
    shape = (len(settings.distances_mm), lead_scatter_kernel.CHANNELS, settings.rings)
    pieces = range(threads if device == "cpu" else 1)
    images = [wp.zeros(int(np.prod(shape)), dtype=wp.int64, device=device) for _ in pieces]
    spectra = [wp.zeros(shape[1], dtype=wp.int64, device=device) for _ in pieces]
    per_batch = settings.histories // settings.batches
    found = np.zeros((settings.batches, shape[1]))
    for batch in range(settings.batches):
        edges = [batch * per_batch + per_batch * n // len(pieces) for n in range(len(pieces) + 1)]

        def part(n: int, edges=edges) -> None:
            spectra[n].zero_()
            wp.launch(
                lead_scatter_kernel.histories, dim=edges[n + 1] - edges[n], device=device,
                inputs=[lead, energy_kev, wp.uint64(SEED), wp.uint64(edges[n]), images[n], spectra[n]],
            )

        _share_out(part, list(pieces))
        found[batch] = sum(s.numpy() for s in spectra) / (lead_scatter_kernel.FIXED_POINT * per_batch)
    image = sum(i.numpy() for i in images).reshape(shape)
    return image / (lead_scatter_kernel.FIXED_POINT * per_batch * settings.batches), found
