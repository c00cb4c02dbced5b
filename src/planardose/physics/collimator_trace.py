"""Running the collimator's kernels: unscattered transmission over directions, and scatter in the lead."""

from functools import partial

import numpy as np
import warp as wp

from planardose.library import Camera
from planardose.physics import collimator_kernel, lead_scatter_kernel
from planardose.physics.collimator_grid import CORE, TANGENT_LAST, Settings, azimuth_nodes, tangent_nodes
from planardose.physics.detector import interaction_fraction
from planardose.physics.form_factors import STEP, coherent_norm, form_factors, incoherent_norm_barn
from planardose.physics.lead import EDGE_KEV, FIRST_KEV, k_x_rays, lead_per_mm, lead_table
from planardose.physics.warp_arrays import in_threads, scalars
from planardose.physics.warp_runtime import load_kernel

SEED = 82  # of the tables: a property of the model, not of a run
BLACK = 1e-12  # of photons straight through the crystal without interacting: less is not told apart


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

    in_threads(part, rows)
    return tuple(f.numpy().astype(np.float64) for f in found)


def lead_on(camera: Camera, settings: Settings, device: str) -> lead_scatter_kernel.Lead:
    """The kernel's tables."""
    scalar = partial(scalars, device=device)
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
        only; `collimator_grid.SHIFTS` bins of the Compton shift; lead's K X rays.
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

        in_threads(part, pieces)
        found[batch] = sum(s.numpy() for s in spectra) / (lead_scatter_kernel.FIXED_POINT * per_batch)
    image = sum(i.numpy() for i in images).reshape(shape)
    return image / (lead_scatter_kernel.FIXED_POINT * per_batch * settings.batches), found
