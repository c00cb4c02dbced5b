"""Analytic projector of heads at any angles about the long axis, and its exact adjoint: SPECT, oblique, lateral.

The camera of `recon.projector`, seen from anywhere. A head sees every voxel through the matter on its line, at a
distance and at a place across: voxels are shared between the two nearest of a row of distances and of a comb of fine
columns, and each distance has its blur, the same for all heads. Attenuation follows the ray from the voxel's centre
exactly; nothing is turned or resampled, so that at 0 and 180 degrees it is `Projector` but for the columns' comb.
"""

import warnings
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch

from planardose.heads import Columns, Head
from planardose.image import Grid
from planardose.library import Camera, Nuclide
from planardose.patient_model import PatientModel
from planardose.physics.attenuation import mu_per_mm
from planardose.physics.couch import couch_transmission
from planardose.physics.multiple_scatter import multiple_scatter
from planardose.physics.sensitivity import air_sensitivity_cps_per_mbq
from planardose.recon.blur import banded, counted_lines, layer_kernel, separable
from planardose.recon.camera_views import Responses
from planardose.recon.scatter import directed_sources, parameters, scatter_kernels, surroundings_shares, transfer

EDGE = 0.25  # of the largest rate in a slice of an evenly filled body: where its outline is
FINE = 5  # of the comb, per column; odd, so that a tooth lies in the middle of a column
# Sharing between teeth 2 mm apart adds at most 1 mm2 to the variance of a response whose variance is 30 mm2 or more;
# sharing between distances 15 mm apart, whose widths (standard deviation) differ by 0.5 mm, at most 0.06 mm2.
NODE_MM = 15.0


def _ray_lengths(grid: Grid, head: Head) -> list[tuple[int, int, float]]:
    """Voxels that a ray from a voxel's centre toward a head crosses: offsets (di, dj) and lengths in mm, nearest first.

    The same for every voxel of the grid.
    """
    direction = head.normal[:2] / grid.spacing_mm[:2]  # voxels per mm
    crossings = [
        (np.arange(grid.shape[axis]) + 0.5) / abs(d) if d != 0 else np.array([]) for axis, d in enumerate(direction)
    ]
    ends = np.unique(np.round(np.concatenate(crossings), 9))
    starts = np.concatenate([[0.0], ends[:-1]])
    cells = np.floor(0.5 * (starts + ends)[:, None] * direction + 0.5).astype(int)
    reach = np.array(grid.shape[:2])
    inside = (np.abs(cells) < reach).all(axis=1)
    kept = zip(cells[inside], (ends - starts)[inside], strict=True)
    return [(int(i), int(j), float(length)) for (i, j), length in kept]


def escape(mu: np.ndarray, grid: Grid, head: Head) -> np.ndarray:
    """Probability (I, J, K) that photons leave toward a head: from the rays of the centres, mean over each voxel.

    Parameters
    ----------
    mu : (I, J, K) float
        1/mm.
    grid : Grid
        Of `mu`.
    head : Head
        Its direction matters only, not its place.
    """
    mu = np.asarray(mu, dtype=np.float64)
    optical = np.zeros_like(mu)
    n_i, n_j = mu.shape[:2]
    for di, dj, length in _ray_lengths(grid, head):
        here = (slice(max(0, -di), n_i - max(0, di)), slice(max(0, -dj), n_j - max(0, dj)))
        there = (slice(max(0, di), n_i + min(0, di)), slice(max(0, dj), n_j + min(0, dj)))
        optical[here] += length * mu[there]
    out = np.exp(-optical)
    for axis in (0, 1):
        half = np.maximum(0.5 * mu * abs(head.normal[axis]) * grid.spacing_mm[axis], 1e-6)
        out *= np.sinh(half) / half
    return out


@lru_cache(maxsize=1024)
def _profiles(
    camera: Camera, nuclide: Nuclide, distance_mm: float, pixel_mm: tuple[float, float], penetration: bool
) -> tuple[np.ndarray, np.ndarray]:
    """`separable` of the response to a voxel in columns that are `FINE` times finer than the pixels.

    A voxel's width across is that of a pixel, whatever the angle: the footprint of a turned square is a trapezoid of
    the same variance.
    """
    kernel = layer_kernel(camera, nuclide, distance_mm, (pixel_mm[0] / FINE, pixel_mm[1]), penetration)
    across, along = separable(kernel)
    return np.array([np.convolve(p, np.full(FINE, 1 / FINE)) for p in across]), along


class AngledProjector:
    """Primary photopeak rates of a patient model in any number of views.

    Parameters
    ----------
    model : PatientModel
        Voxels as wide along x as along y.
    camera : Camera
    nuclide : Nuclide
    heads : tuple of Head
        One per view, each at one distance. Pixels outside a head's `field_mm` count nothing.
    scale : float
        Site's in-air calibration over the computed sensitivity (1 without a calibration).
    penetration : bool
        Photons through septa and scattered in the lead take part.
    columns : Columns or None
        None: `Columns.covering`.
    dtype : torch.dtype
        Of maps and projections; on the CPU, as all classical methods.

    Raises
    ------
    ValueError
        If voxels are not square, a face lies inside the body, or its distance follows the contour.
    """

    def __init__(
        self,
        model: PatientModel,
        camera: Camera,
        nuclide: Nuclide,
        heads: tuple[Head, ...],
        scale: float = 1.0,
        penetration: bool = True,
        columns: Columns | None = None,
        dtype: torch.dtype = torch.float32,
    ):
        grid, step = model.grid, tuple(float(s) for s in model.grid.spacing_mm)
        if abs(step[0] - step[1]) > 1e-6:
            raise ValueError(f"voxels must be square across the long axis, got {step[:2]} mm")
        self.grid, self.heads, self.dtype = grid, tuple(heads), dtype
        self.columns = columns or Columns.covering(grid, self.heads)
        self.camera, self.nuclide, self.penetration = camera, nuclide, penetration
        self.sensitivity = scale * air_sensitivity_cps_per_mbq(camera, nuclide, nuclide.photopeak, penetration)
        self.density, self.shares = model.density, surroundings_shares(model, parameters().surroundings_mm)
        occupied = (model.fractions.sum(axis=0) > 0).any(axis=2)
        distances = [self._distances(h, occupied) for h in self.heads]
        self.nodes = int(max(d.max() for d in distances) / NODE_MM) + 2  # distances from 0 on
        self.factors = self._attenuations(model, counted_lines(camera, nuclide, penetration))
        (scattered_kev,) = multiple_scatter(camera, nuclide, penetration, np.inf).mean_kev[:1]
        self.factors_scattered = self._attenuations(model, {float(scattered_kev): 1.0})
        self.spreads = [self._spread(h, d) for h, d in zip(self.heads, distances, strict=True)]
        self._set_blur(step)
        seen = [h.in_field(self.columns.centres_mm, grid.axis_mm(2)) for h in self.heads]
        self.seen = self.tensor(np.array(seen))  # (V, U, K): 1 in the field, 0 outside

    def tensor(self, array: np.ndarray) -> torch.Tensor:
        """The array in the projector's precision."""
        return torch.as_tensor(np.ascontiguousarray(array), dtype=self.dtype)

    @property
    def views(self) -> range:
        """Numbers of the views, in the order of `heads`."""
        return range(len(self.heads))

    def _distances(self, head: Head, occupied: np.ndarray) -> np.ndarray:
        """(I, J) mm from voxels to the face; those without body may lie behind it."""
        x, y = self.grid.axis_mm(0), self.grid.axis_mm(1)
        if np.ndim(head.distance_mm) != 0:
            raise ValueError("a head whose distance follows the contour is not supported here")
        out = head.distance_mm - head.normal[0] * x[:, None] - head.normal[1] * y[None, :]
        if (out[occupied] < -self.grid.spacing_mm[0]).any():
            raise ValueError(f"the collimator's face at {head.angle_deg:g} degrees lies inside the body")
        return np.maximum(out, 0.0)

    def _attenuations(self, model: PatientModel, lines: dict[float, float]) -> list[torch.Tensor]:
        """Per view (I J, K): cps per MBq in the voxel of photons of these energies and shares, all pixels together."""
        mu = {energy: mu_per_mm(model.partial_density, energy) for energy in lines}
        out = []
        for head in self.heads:
            total = sum(
                share * float(couch_transmission(e, head.aluminium_mm)) * escape(mu[e], self.grid, head)
                for e, share in lines.items()
            )
            out.append(self.tensor(self.sensitivity * total.reshape(-1, total.shape[2])))
        return out

    def _spread(self, head: Head, distance: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Shares (D T, I J) of voxels in distances and teeth of the comb, and the transpose, both sparse."""
        c, (x, y) = self.columns, (self.grid.axis_mm(a) for a in (0, 1))
        across = head.tangent[0] * x[:, None] + head.tangent[1] * y[None, :]
        tooth = ((across - c.first_mm) / c.width_mm * FINE - 0.5).ravel()
        layer = (distance / NODE_MM).ravel()
        voxel, teeth = np.arange(tooth.size), c.count * FINE
        rows, columns, values = [], [], []
        for d in (0, 1):
            for t in (0, 1):
                near, at = np.floor(layer) + d, np.floor(tooth + 1e-9) + t
                share = (1 - np.abs(layer - near)) * np.clip(1 - np.abs(tooth - at), 0.0, 1.0)
                inside = (at >= 0) & (at < teeth) & (share > 1e-9)
                rows.append((near * teeth + at)[inside])
                columns.append(voxel[inside])
                values.append(share[inside])
        index = np.stack([np.concatenate(rows), np.concatenate(columns)]).astype(np.int64)
        shape = (self.nodes * teeth, tooth.size)
        share = self.tensor(np.concatenate(values))
        given = torch.sparse_coo_tensor(torch.as_tensor(index), share, shape, check_invariants=True)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
            return given.coalesce().to_sparse_csr(), given.t().coalesce().to_sparse_csr()

    def _set_blur(self, step: tuple[float, float, float]) -> None:
        """(D, R U, T) from the comb to columns, and (D R, K', K) along z, for each distance."""
        count, blur_x, blur_z = self.columns.count, [], []
        for node in range(self.nodes):
            x, z = _profiles(self.camera, self.nuclide, node * NODE_MM, (step[0], step[2]), self.penetration)
            fine = banded(x, count * FINE)  # (R, fine column, tooth)
            blur_x.append(fine.reshape(len(x), count, FINE, -1).sum(axis=2).reshape(-1, count * FINE))
            blur_z.append(banded(z, self.grid.shape[2]))
        self.blur_x, self.blur_z = self.tensor(np.array(blur_x)), self.tensor(np.concatenate(blur_z))

    def forward(self, activity: torch.Tensor, views: range | list[int] | None = None) -> torch.Tensor:
        """Rates (V, U, K) in cps of an activity map (I, J, K) in MBq per voxel, in the given views (None: all)."""
        flat = activity.reshape(-1, activity.shape[2])
        chosen = self.views if views is None else views
        return torch.stack([self._view(flat, self.factors[v], v) for v in chosen])

    def _view(self, flat: torch.Tensor, factors: torch.Tensor, v: int) -> torch.Tensor:
        """Rates (U, K) of a map (I J, K) in one view, with its `factors`."""
        comb = (self.spreads[v][0] @ (flat * factors)).reshape(self.nodes, -1, flat.shape[1])
        across = torch.bmm(self.blur_x, comb).reshape(len(self.blur_z), self.columns.count, -1)
        return torch.bmm(across, self.blur_z.transpose(1, 2)).sum(dim=0) * self.seen[v]

    def adjoint(self, rates: torch.Tensor, views: range | list[int] | None = None) -> torch.Tensor:
        """Transpose of `forward`: (V, U, K) to (I, J, K)."""
        chosen = self.views if views is None else views
        out = sum(self._view_adjoint(r, v) for r, v in zip(rates, chosen, strict=True))
        return out.reshape(self.grid.shape)

    def _view_adjoint(self, rates: torch.Tensor, v: int) -> torch.Tensor:
        spread = (rates * self.seen[v]).expand(len(self.blur_z), -1, -1)
        across = torch.bmm(spread, self.blur_z).reshape(self.nodes, -1, rates.shape[1])
        comb = torch.bmm(self.blur_x.transpose(1, 2), across).reshape(-1, rates.shape[1])
        return (self.spreads[v][1] @ comb) * self.factors[v]

    def scatter(self, activity: np.ndarray) -> np.ndarray:
        """Photopeak rates (V, U, K) float64 in cps of photons scattered in the patient, of one map (I, J, K)."""
        reach = tuple(n // 2 for n in self._towards(self.heads[0]).shape[2:])

        def transfers(size: tuple[int, ...]) -> Iterator[np.ndarray]:
            return (transfer(self._towards(h), size) for h in self.heads)

        sources = directed_sources(np.asarray(activity), self.density, self.shares, reach, transfers)
        with torch.no_grad():
            flat = (self.tensor(s.reshape(-1, s.shape[-1])) for s in sources)
            views = [self._view(s, self.factors_scattered[v], v).cpu().numpy() for v, s in enumerate(flat)]
        return np.array(views, dtype=np.float64)

    def _towards(self, head: Head) -> np.ndarray:
        """Scatter kernels towards a head: computed for the first octant, then mirrored."""
        x, y = (float(c) for c in np.round(head.normal[:2], 9))
        step = tuple(float(s) for s in self.grid.spacing_mm)
        low, high = sorted((abs(x), abs(y)))
        kernel = scatter_kernels(self.camera, self.nuclide, step, self.penetration, np.inf, (low, high))
        if abs(x) > abs(y):
            kernel = kernel.swapaxes(2, 3)
        return kernel[:, :, :: 1 if x >= 0 else -1, :: 1 if y >= 0 else -1]

    def of_body(self, model: PatientModel) -> np.ndarray:
        """(V, U, K) bool: cells in whose lines of sight the model has body, as `CameraViews.of_body`.

        The outline is where an evenly filled body gives `EDGE` of the largest rate in its slice.
        """
        with torch.no_grad():
            rates = self.forward(self.tensor(model.fractions.sum(axis=0))).cpu().numpy()
        return rates > EDGE * rates.max(axis=1, keepdims=True)

    def organ_responses(self, fractions: np.ndarray) -> Responses:
        """Primary and scatter rates of every organ (O, V, U, K), from its fractions (O, I, J, K), evenly filled."""
        volumes = [f * np.float32(self.grid.voxel_ml) for f in fractions]
        with torch.no_grad():
            primary = [self.forward(self.tensor(v)).cpu().numpy() for v in volumes]
        return Responses(np.array(primary, dtype=np.float64), np.array([self.scatter(v) for v in volumes]))
