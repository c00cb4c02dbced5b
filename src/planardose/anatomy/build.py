"""CT and labels to the patient on the reconstruction grid.

Where the body leaves the CT through its lower or upper face, the edge slice is repeated beyond it as the organ
``outside_ct``. The grid's slices cannot always end on both faces; the slice that holds the upper face then has a
share of ``outside_ct`` too, so that it is full of matter.
"""

import logging

import numpy as np

from planardose.anatomy.body import SKIN_HU, body_mask
from planardose.anatomy.corrupted import Corruption
from planardose.anatomy.materials import partial_density_from_hu
from planardose.anatomy.orient import closest_ras
from planardose.anatomy.pushing import Pusher
from planardose.errors import InputError
from planardose.image import Grid, Volume, box_of
from planardose.organs import LESION_BASE, OUTSIDE_CT, REMAINDER, is_lesion, source_name, sources
from planardose.patient_model import MATERIALS, PatientModel

MARGIN_MM = 100.0  # beyond the CT: a photon from farther away hardly reaches the CT's slices
PAD_MM = 20.0  # around the body, for blurred counts beside it
OUTSIDE, FAR_OUTSIDE = 0.02, 0.1  # share of labelled voxels out of the body: told, refused
LESION_OUTSIDE = 0.5  # share of a lesion in the air: refused; a lesion of the skin may stick out
FACE_AREA_MM2 = 1000.0  # of body in the first or last slice: less is noise or the top of the head
log = logging.getLogger(__name__)


def _by_slices(volume: Volume) -> Volume:
    """The same volume with the voxels of a slice together in memory."""
    return Volume(np.asfortranarray(volume.data), volume.grid, volume.quantity, volume.unit)


def _touched_faces(body: np.ndarray, grid: Grid) -> tuple[bool, bool]:
    """Whether the body leaves the CT at its (lower, upper) end of k."""
    voxel_mm2 = grid.spacing_mm[0] * grid.spacing_mm[1]
    lower, upper = (bool(body[:, :, k].sum() * voxel_mm2 > FACE_AREA_MM2) for k in (0, -1))
    return lower, upper


def _body_box_mm(body: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """RAS box (low, high) in mm around the body's voxels."""
    box, affine = box_of(body), grid.ras_from_voxel.copy()
    affine[:3, 3] = (grid.ras_from_voxel @ [*(s.start for s in box), 1.0])[:3]
    return Grid(tuple(s.stop - s.start for s in box), affine).bounds_mm()


def _labelled(ct: Volume, labels: Volume, body: np.ndarray, where: str) -> tuple[np.ndarray, list[str]]:
    """Labelled voxels, and a note where many are out of the body: too many are another patient's or turned."""
    labelled = labels.data > 0
    share = (labelled & ~body).sum() / max(1, labelled.sum())
    if share > FAR_OUTSIDE:
        raise InputError(where, f"{share:.0%} of the labelled voxels lie outside the body", "labels of this CT",
                         "check that the segmentation is this patient's and not turned")
    _check_lesions(ct, labels.data, body, where)
    told = (
        f"{100 * share:.1f} % of the labelled voxels lie outside the body seen in the CT (above {FAR_OUTSIDE:.0%} they "
        "are refused): look whether the outlines fit it"
    )
    return labelled, [told] if share > OUTSIDE else []


def _check_lesions(ct: Volume, labels: np.ndarray, body: np.ndarray, where: str) -> None:
    """Refuse a lesion in the air beside the patient; one in an arm apart from the trunk, which is no body, is kept."""
    whole = np.bincount(labels.ravel(order="K"))
    outside = np.bincount(labels[~body & (ct.data <= SKIN_HU)], minlength=len(whole))
    for label in np.flatnonzero(outside > LESION_OUTSIDE * whole):
        if label > LESION_BASE:
            found = f"{outside[label] / whole[label]:.0%} of {source_name(int(label))} lie in the air beside the body"
            raise InputError(f"{where} lesions", found, "lesions of this CT",
                             "check that the map is this patient's and not turned")


def _work_grid(body: np.ndarray, ct_grid: Grid, grid_mm: float) -> tuple[Grid, tuple[int, int]]:
    """RAS-aligned cubic grid around the body, and its margin in slices at the (lower, upper) end of k."""
    touched = _touched_faces(body, ct_grid)
    low, high = _body_box_mm(body, ct_grid)
    low = low - PAD_MM * np.array([1, 1, not touched[0]])
    high = high + PAD_MM * np.array([1, 1, not touched[1]])
    count = np.ceil((high - low) / grid_mm - 1e-3).astype(int)
    start = 0.5 * (low + high - count * grid_mm)
    if touched[0]:
        start[2] = low[2]
    elif touched[1]:
        start[2] = high[2] - count[2] * grid_mm
    slices = int(np.ceil(MARGIN_MM / grid_mm - 1e-3))
    margin = (slices * touched[0], slices * touched[1])
    start[2] -= margin[0] * grid_mm
    count[2] += sum(margin)
    return Grid.axis_aligned(tuple(count), grid_mm, start + grid_mm / 2), margin


def _classes(voxels: np.ndarray, where: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Source classes present (in table order, lesions, `remainder`) and each label's, from the voxels of each label."""
    present = np.flatnonzero(voxels)
    try:
        names = {int(n): source_name(int(n)) for n in present if n > 0}
    except KeyError as fault:
        expected = "labels of data/organs.tsv, or 1001... for lesions"
        raise InputError(where, f"label {fault} is not known", expected) from None
    found = set(names.values()) - {REMAINDER}
    organs = [s for s in sources() if s in found]
    organs += [source_name(n) for n in sorted(names) if is_lesion(names[n])]
    organs.append(REMAINDER)
    class_of_label = np.full(voxels.size, len(organs) - 1, dtype=np.int64)
    for n, name in names.items():
        class_of_label[n] = organs.index(name)
    return tuple(organs), class_of_label


class _Builder:
    """Collects fractions, partial densities and masses slice by slice."""

    def __init__(self, ct: Volume, labels: Volume, corruption: Corruption, grid: Grid, organs: int):
        self.ct, self.labels, self.corruption, self.grid = ct, labels, corruption, grid
        self.pusher = Pusher(ct.grid, grid)
        self.fractions = np.zeros((organs, *grid.shape), dtype=np.float32)
        self.density = np.zeros((len(MATERIALS), *grid.shape), dtype=np.float32)
        self.mass_g = np.zeros(organs)

    def add(self, mask: np.ndarray, k: int, organ_of_label: np.ndarray, at: int | None = None) -> None:
        """Push slice `k` of the CT, where `mask` (I, J) holds, into the grid; `at` puts it at another slice's place."""
        i, j = np.nonzero(mask)
        label = self.labels.data[i, j, k]
        hu = self.corruption.trusted_hu(self.ct.data[i, j, k], label)
        voxel, cell, weight = self.pusher.slice_parts(i, j, k if at is None else at)
        if voxel.size == 0:
            return
        first, last = cell[2].min(), cell[2].max() + 1
        shape = (*self.grid.shape[:2], int(last - first))
        size = int(np.prod(shape))
        flat = (cell[0] * shape[1] + cell[1]) * shape[2] + cell[2] - first
        organ = organ_of_label[label][voxel]
        total = np.bincount(organ * size + flat, weight, len(self.fractions) * size)
        self.fractions[..., first:last] += total.reshape(-1, *shape)
        partial = partial_density_from_hu(hu)
        mass = weight * partial.sum(axis=0)[voxel]
        self.mass_g += np.bincount(organ, mass, len(self.mass_g)) * self.grid.voxel_ml
        for sums, values in zip(self.density, partial, strict=True):
            sums[..., first:last] += np.bincount(flat, weight * values[voxel], size).reshape(shape)

    def add_margin(self, body: np.ndarray, margin: tuple[int, int]) -> None:
        """Repeat the edge slices of the CT beyond its faces as the last organ; `Pusher` drops what leaves the grid."""
        outside = np.full_like(self.corruption.voxels, len(self.fractions) - 1)
        reach = int(np.ceil((MARGIN_MM + 2 * self.grid.spacing_mm[2]) / self.ct.grid.spacing_mm[2]))
        last = body.shape[2] - 1
        for n in range(1, reach + 1):
            if margin[0]:
                self.add(body[:, :, 0], 0, outside, at=-n)
            if margin[1]:
                self.add(body[:, :, last], last, outside, at=last + n)


def build_model(
    ct: Volume, labels: Volume, grid_mm: float, where: str = "ct", notes: list[str] | None = None
) -> PatientModel:
    """Patient model from a CT and its label map.

    Parameters
    ----------
    ct : Volume
        HU, any orientation.
    labels : Volume
        Integer labels (`organs`) on the CT's grid; 0 is unlabelled. A voxel belongs to one label only.
    grid_mm : float
        Voxel size of the model.
    where : str
        Pseudonymous place, for errors and warnings.
    notes : list of str or None
        Takes what is warned of as well: contrast medium, metal, labels outside the body.

    Returns
    -------
    PatientModel
        In the order of the organ table, then lesions, `remainder`, and `outside_ct` where the body leaves the CT.
        Volumes and masses are those of the CT's voxels.

    Raises
    ------
    InputError
        No body in the CT, an unknown label, labels outside the body.
    ValueError
        Labels on another grid.
    """
    if not labels.grid.same_as(ct.grid):
        raise ValueError("labels are not on the CT's grid")
    ct, labels = (_by_slices(closest_ras(v)) for v in (ct, labels))
    corruption = Corruption(ct, labels)
    organs, class_of_label = _classes(corruption.voxels, where)
    body = body_mask(ct, where)
    labelled, told = _labelled(ct, labels, body, where)
    body |= labelled  # a labelled voxel is body, whatever its CT number
    told = [*corruption.notes, *told]
    for note in told:
        log.warning("%s: %s", where, note)
    if notes is not None:
        notes += told
    grid, margin = _work_grid(body, ct.grid, grid_mm)
    if any(margin):
        organs = (*organs, OUTSIDE_CT)
    builder = _Builder(ct, labels, corruption, grid, len(organs))
    for k in range(body.shape[2]):
        builder.add(body[:, :, k], k, class_of_label)
    if any(margin):
        builder.add_margin(body, margin)
    return PatientModel(grid, organs, builder.fractions, builder.density, margin, builder.mass_g)
