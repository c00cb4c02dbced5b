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
from planardose.physics.warp_arrays import scalars
from planardose.physics.warp_runtime import load_kernel

DEVICE = "cpu"  # a table takes seconds there, once
SEED = 82  # of the tables: a property of the model, not of a run
BLACK = 1e-12  # of photons straight through the crystal without interacting: less is not told apart


def trace_transmission(
    camera: Camera, energy_kev: float, settings: Settings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chance of coming through, averaged over the point of entry, without touching lead, and through lead unscattered.

    Returns
    -------
    strict, penetrating, path : (tangents, azimuths) float64
        The third is the chance to penetrate times the lead on the way, mm.
    """
    load_kernel(collimator_kernel, DEVICE)
    tangents = tangent_nodes(camera, settings.tangents)
    core = tangents < CORE * camera.hole_mm / camera.length_mm
    entries = np.where(core, settings.core_entries, settings.entries)
    shape = (settings.tangents, settings.azimuths)
    found = [wp.zeros(shape, dtype=wp.float32, device=DEVICE) for _ in range(3)]
    wp.launch(
        collimator_kernel.transmission, dim=shape, device=DEVICE,
        inputs=[scalars(tangents, DEVICE), scalars(azimuth_nodes(settings.azimuths), DEVICE),
                wp.array(entries, dtype=wp.int32, device=DEVICE), wp.uint64(SEED), camera.hole_mm,
                camera.hole_mm + camera.septum_mm, camera.length_mm, float(lead_per_mm(energy_kev)), *found],
    )  # fmt: skip
    return tuple(f.numpy().astype(np.float64) for f in found)


def lead_of(camera: Camera, settings: Settings) -> lead_scatter_kernel.Lead:
    """The kernel's tables."""
    scalar = partial(scalars, device=DEVICE)
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


def trace_scatter(camera: Camera, energy_kev: float, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Photons that scattered in lead, or that lead emitted, and reach the crystal, per photon emitted into 4 pi.

    Returns
    -------
    image : (distances, channels, rings) float64
        Weighted by the gain in interactions of their oblique path through the crystal. Channels: coherently scattered
        only; `collimator_grid.SHIFTS` bins of the Compton shift; lead's K X rays.
    spectrum : (batches, channels) float64
        Unweighted, per batch.
    """
    load_kernel(lead_scatter_kernel, DEVICE)
    lead, count = lead_of(camera, settings), settings.histories // settings.batches
    shape = (len(settings.distances_mm), lead_scatter_kernel.CHANNELS, settings.rings)
    image = wp.zeros(shape[0] * shape[1] * shape[2], dtype=wp.int64, device=DEVICE)
    found = np.zeros((settings.batches, shape[1]))
    for batch in range(settings.batches):
        spectrum = wp.zeros(shape[1], dtype=wp.int64, device=DEVICE)
        wp.launch(
            lead_scatter_kernel.histories, dim=count, device=DEVICE,
            inputs=[lead, energy_kev, wp.uint64(SEED), wp.uint64(batch * count), image, spectrum],
        )
        found[batch] = spectrum.numpy() / (lead_scatter_kernel.FIXED_POINT * count)
    return image.numpy().reshape(shape) / (lead_scatter_kernel.FIXED_POINT * count * settings.batches), found
