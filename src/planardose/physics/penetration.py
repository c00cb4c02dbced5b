"""What a head records besides the photons that touch no lead: penetration, lead scatter and lead X rays.

Tables are traced at `NODES_KEV` only, and only at those that bracket the energies asked for. Between two nodes the
logarithm of the penetrating share is interpolated over the attenuation coefficient of lead, with its slopes (the mean
lead path) known; scattered over penetrating photons in log energy, at the energies that the same scattering angles
give. No interpolation crosses the K edge of lead.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.interpolate import CubicHermiteSpline
from scipy.ndimage import map_coordinates

from planardose.library import Camera
from planardose.physics.collimator_grid import (
    radius_at,
    share_at,
    solid_angle_share,
    tangent_nodes,
)
from planardose.physics.collimator_table import CollimatorTable, collimator_table
from planardose.physics.detector import detection_efficiency, interaction_fraction
from planardose.physics.lead import BELOW_EDGE_KEV, EDGE_KEV, FIRST_KEV, LAST_KEV, lead_per_mm
from planardose.planar import EnergyWindow

# Just above the lines of 177Lu (113, 208, 250, 321 keV), 99mTc (140.5), 111In (171, 245), 131I (284, 364, 637, 723),
# 123I (159, 529) and 161Tb (48.9, 74.6), so that a run up to a line needs no node far beyond it.
BELOW_KEV = (40.0, 49.0, 60.0, 70.0, 80.5, BELOW_EDGE_KEV)
ABOVE_KEV = (EDGE_KEV, 98.0, 115.0, 143.0, 171.3, 208.37, 250.0, 284.3, 325.0, 367.0, 430.0, 529.0,
             637.0, 726.0, LAST_KEV)
NODES_KEV = np.array(BELOW_KEV + ABOVE_KEV)
SEEN = 1e-3  # of a window's best efficiency: photons of which no part is counted better have no table traced
TINY = 1e-30  # keeps the logarithm of no counts finite


@dataclass(frozen=True)
class Counts:
    """Counts per photon emitted into 4 pi, for energies (N,): `through` lead, `scattered` (and emitted) by lead."""

    through: np.ndarray
    scattered: np.ndarray


@lru_cache(maxsize=64)
def _detected(camera: Camera, window: EnergyWindow) -> tuple[np.ndarray, np.ndarray]:
    """Energies in keV steps, and how the window counts photons at normal incidence."""
    energy = np.arange(FIRST_KEV, LAST_KEV + 1)
    return energy, np.asarray(detection_efficiency(camera, window, energy))


def _counted_from_kev(camera: Camera, window: EnergyWindow) -> float:
    """Lowest energy whose photons the window counts with `SEEN` of its best efficiency."""
    energy, counted = _detected(camera, window)
    return float(energy[np.argmax(counted > SEEN * counted.max())])


def oblique_gain(camera: Camera, energy_kev: float, tangent: np.ndarray) -> np.ndarray:
    """Interactions in the crystal of photons that enter at a slope, over those at normal incidence."""
    straight = interaction_fraction(camera, energy_kev)
    return -np.expm1(np.log1p(-np.minimum(straight, 1 - 1e-12)) * np.sqrt(1 + tangent**2)) / straight


def _through_rings(camera: Camera, table: CollimatorTable) -> np.ndarray:
    """(T,) photons through lead around each of the table's tangents, oblique gain included, per photon emitted."""
    count = len(table.penetrating)
    gain = oblique_gain(camera, float(table.energy_kev), tangent_nodes(camera, count))
    return solid_angle_share(camera, count) * table.penetrating.mean(axis=1) * gain


def _channel_counts(camera: Camera, window: EnergyWindow, table: CollimatorTable, energy_kev: np.ndarray) -> np.ndarray:
    """(N, C) chance that a channel's photons are counted, for incident energies (N,)."""
    return np.interp(table.channel_kev(energy_kev), *_detected(camera, window))


def _scattered_at_node(camera: Camera, window: EnergyWindow, node: int, energy_kev: np.ndarray) -> np.ndarray:
    """(N,) scattered counts per penetrating photon, with the lead as it is at a node."""
    table = collimator_table(camera, float(NODES_KEV[node]))
    counted = _channel_counts(camera, window, table, energy_kev)
    return counted @ table.scatter_image[0].sum(axis=-1) / _through_rings(camera, table).sum()


def _penetrating(camera: Camera, node: int, energy_kev: np.ndarray) -> np.ndarray:
    """(N,) penetrating photons at energies from a node to the next, by cubic Hermite interpolation of the logarithm."""
    tables = [collimator_table(camera, float(NODES_KEV[n])) for n in (node, node + 1)]
    mu = [float(lead_per_mm(float(t.energy_kev))) for t in tables]
    height = [np.log(_through_rings(camera, t).sum()) for t in tables]
    order = np.argsort(mu)
    spline = CubicHermiteSpline(*(np.array(v)[order] for v in (mu, height, [-float(t.path_mm) for t in tables])))
    return np.exp(spline(np.clip(lead_per_mm(energy_kev), min(mu), max(mu))))


def brackets(energy_kev: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower and upper node (N,) of energies on one side of the K edge, and the upper's share in log energy."""
    below = len(BELOW_KEV)
    energy = np.clip(energy_kev, NODES_KEV[0], NODES_KEV[-1])
    low = np.searchsorted(NODES_KEV, energy, side="right") - 1
    above = energy >= EDGE_KEV
    low = np.where(above, np.clip(low, below, NODES_KEV.size - 2), np.clip(low, 0, below - 2))
    share = np.log(energy / NODES_KEV[low]) / np.log(NODES_KEV[low + 1] / NODES_KEV[low])
    return low, low + 1, np.clip(share, 0.0, 1.0)


def lead_counts(camera: Camera, window: EnergyWindow, energy_kev: np.ndarray) -> Counts:
    """Counts from photons that met lead, for energies (N,); 0 where the window sees nothing of them."""
    energy = np.asarray(energy_kev, dtype=np.float64)
    through, scattered = np.zeros_like(energy), np.zeros_like(energy)
    low, _, share = brackets(energy)
    seen = energy >= _counted_from_kev(camera, window)
    for node in np.unique(low[seen]):
        here = seen & (low == node)
        f = share[here]
        photons = _penetrating(camera, node, energy[here])
        through[here] = photons * np.interp(energy[here], *_detected(camera, window))
        first, last = (_scattered_at_node(camera, window, n, energy[here]) for n in (node, node + 1))
        scattered[here] = photons * np.exp((1 - f) * np.log(first + TINY) + f * np.log(last + TINY))
    return Counts(through, scattered)


@dataclass(frozen=True)
class LeadImage:
    """Counts from photons that met lead, per photon emitted, around a point source at one distance.

    `through` (T, A): density over the tangent's plane at the nodes of `collimator_grid`, and `through_rings` (T,) its
    totals; `scatter_rings` (R,): totals in rings. `reach_mm` on the crystal per unit of the tangent.
    """

    camera: Camera
    through: np.ndarray
    through_rings: np.ndarray
    scatter_rings: np.ndarray
    reach_mm: float

    def _within(self, rings: np.ndarray, tangent: float) -> float:
        """Counts of rings (N,) inside a radius."""
        edges = np.arange(rings.size + 1) / rings.size
        return float(np.interp(share_at(self.camera, tangent), edges, np.append(0.0, np.cumsum(rings))))

    def beyond(self, tangent: float) -> float:
        """Counts outside a radius."""
        return float(sum(r.sum() - self._within(r, tangent) for r in (self.through_rings, self.scatter_rings)))

    def radius(self, counts: float) -> float:
        """Smallest tangent (on a scale of 400 steps) outside which there are no more than so many counts."""
        for tangent in radius_at(self.camera, np.linspace(0.0, 1.0, 401)):
            if self.beyond(tangent) <= counts:
                return float(tangent)
        return float(radius_at(self.camera, np.array(1.0)))

    def sampled(self, offset_mm: np.ndarray, tangent: float) -> np.ndarray:
        """(N, N) counts around the points of a square grid of offsets (N,), inside a radius."""
        x, z = offset_mm[:, None] / self.reach_mm, offset_mm[None, :] / self.reach_mm
        r = np.hypot(x, z)
        azimuth = np.abs((np.arctan2(z, x) + np.pi / 6) % (np.pi / 3) - np.pi / 6)
        at = share_at(self.camera, r)
        size, turns = self.through.shape
        position = [at * size - 0.5, azimuth / (np.pi / 6) * turns - 0.5]
        through = map_coordinates(self.through, position, order=1, mode="nearest")
        rings = self.scatter_rings.size
        edges = radius_at(self.camera, np.arange(rings + 1) / rings)
        density = self.scatter_rings / (np.pi * np.diff(edges**2))
        scatter = np.interp(at * rings - 0.5, np.arange(rings), density)
        out = np.zeros_like(r)
        for part, totals in ((through, self.through_rings), (scatter, self.scatter_rings)):
            part = np.where(r <= tangent, part, 0.0)
            out += part * (self._within(totals, tangent) / max(part.sum(), TINY))
        return out


def lead_image(camera: Camera, window: EnergyWindow, energy_kev: float, distance_mm: float) -> LeadImage | None:
    """Image of the photons that met lead, or None where the window sees nothing of them."""
    if energy_kev < _counted_from_kev(camera, window):
        return None
    energy = np.array([energy_kev])
    total = lead_counts(camera, window, energy)
    (low,), (high,), (share,) = brackets(energy)
    through, through_rings, scatter_rings = 0.0, 0.0, 0.0
    for node, weight in ((low, 1 - share), (high, share)):
        if weight == 0:
            continue
        table = collimator_table(camera, float(NODES_KEV[node]))
        tangent = tangent_nodes(camera, len(table.penetrating))
        rings = _through_rings(camera, table)
        scale = weight * total.through[0] / max(rings.sum(), TINY)
        density = oblique_gain(camera, float(table.energy_kev), tangent) / (4 * np.pi * (1 + tangent**2) ** 1.5)
        through = through + scale * table.penetrating * density[:, None]
        through_rings = through_rings + scale * rings
        counted = _channel_counts(camera, window, table, energy)[0]
        image = np.einsum("dcr,c->dr", table.scatter_image, counted)
        profile = np.array([np.interp(distance_mm, table.distances_mm, ring) for ring in image.T])
        scatter_rings = scatter_rings + profile * (weight * total.scattered[0] / max(profile.sum(), TINY))
    return LeadImage(camera, through, through_rings, scatter_rings, distance_mm + camera.length_mm + camera.gap_mm)
