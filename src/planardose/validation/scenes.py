"""Phantoms of the checks, and the transport's tables for them."""

from dataclasses import dataclass, replace

import numpy as np

from planardose.anatomy.materials import partial_density_from_hu
from planardose.anatomy.phantom import DESIGN_ML, Phantom
from planardose.anatomy.phantom_parts import parts_of
from planardose.heads import opposed_heads
from planardose.image import Grid
from planardose.library import Camera, Nuclide, load_camera, load_nuclide
from planardose.organs import label_of_name
from planardose.patient_model import MATERIALS
from planardose.physics.attenuation import MM_PER_CM, density_g_ml
from planardose.planar import EnergyWindow
from planardose.sim import montecarlo
from planardose.sim.montecarlo import Options, Views, setup_of
from planardose.sim.montecarlo_device import upload_tables
from planardose.sim.montecarlo_kernel import Tables
from planardose.sim.montecarlo_tables import EnergyTables, energy_tables
from planardose.sim.raster import Raster
from planardose.validation.check import Effort, Measured
from planardose.validation.references import setups, xcom_per_cm

DEVICE = "cpu"
REPEATS = 10  # runs whose spread gives the error of a total
LUNG_G_ML = 0.26  # ICRU Report 44, inflated lung
FAT_MM = 20.0  # in the middle of the demo's range
TRUNK_MM = (150.0, 650.0)  # of the design anatomy, along z


def melp() -> Camera:
    """The catalogue's MELP camera."""
    return load_camera("siemens_symbia_melp")


def bare(camera: Camera, crystal_mm: float) -> Camera:
    """A camera with nothing before its crystal of this thickness, and nothing behind."""
    return replace(camera, crystal_mm=crystal_mm, front_mm=0.0, cover_mm=0.0, backscatter_mm=0.0)


def simind_camera() -> Camera:
    """The MELP camera in the set-up of SIMIND's values for 177Lu in air."""
    return bare(melp(), setups()["simind_177lu"]["crystal_mm"])


def lutetium() -> Nuclide:
    """The catalogue's 177Lu."""
    return load_nuclide("177Lu")


def one_line() -> Nuclide:
    """177Lu with its 208 keV line alone."""
    return replace(lutetium(), lines=(lutetium().imaged_line(),))


def soft_tissue_per_mm() -> float:
    """Attenuation of soft tissue at the 208 keV line as NIST XCOM has it, 1/mm: not the transport's own."""
    return xcom_per_cm("soft_tissue", 208.37) / MM_PER_CM


@dataclass(frozen=True)
class Scene:
    """A phantom before the heads: (3, I, J, K) g/mL, (I, J, K) MBq, and the RAS y of both faces in mm."""

    density: np.ndarray
    activity: np.ndarray
    grid: Grid
    face_mm: tuple[float, float]


def block(density_g_ml: float, grid: Grid) -> np.ndarray:
    """(3, I, J, K) float32: the whole grid of soft tissue."""
    out = np.zeros((len(MATERIALS), *grid.shape), dtype=np.float32)
    out[MATERIALS.index("soft_tissue")] = density_g_ml
    return out


def point_source(grid: Grid, index: tuple[int, int, int]) -> np.ndarray:
    """(I, J, K): 1 MBq in one voxel."""
    out = np.zeros(grid.shape)
    out[index] = 1.0
    return out


def point_in_box(index: tuple[int, int, int] = (8, 2, 6), soft_tissue: bool = True) -> Scene:
    """1 MBq in one voxel of a box of soft tissue (or air) with three different axes."""
    grid = Grid.axis_aligned((17, 9, 13), (8.0, 12.0, 10.0), (-50.0, 20.0, 600.0))
    low, high = grid.bounds_mm()
    density = block(density_g_ml("soft_tissue") if soft_tissue else 0.0, grid)
    return Scene(density, point_source(grid, index), grid, (high[1] + 30.0, low[1] - 50.0))


def uneven_phantom() -> Scene:
    """Air, adipose, soft tissue and bone in random blocks; activity spread unevenly, none in the bone."""
    rng = np.random.default_rng(4)
    grid = Grid.axis_aligned((10, 7, 9), (14.0, 20.0, 18.0), (-60.0, -60.0, -70.0))
    kind = rng.integers(0, 4, grid.shape)
    density = np.zeros((len(MATERIALS), *grid.shape), dtype=np.float32)
    for n, material in enumerate(MATERIALS):
        density[n][kind == n] = density_g_ml(material)
    return Scene(density, rng.random(grid.shape) * (kind != MATERIALS.index("bone")), grid, (100.0, -110.0))


def layered_phantom() -> Scene:
    """Layers of adipose, lung, soft tissue and bone, each as wide as the grid; activity spread unevenly in the middle.

    Nothing changes along x and z, so that photons that leave a little aslant meet what those along the normal meet.
    """
    grid = Grid.axis_aligned((16, 9, 14), (14.0, 20.0, 18.0), (-105.0, -80.0, -117.0))
    density = np.zeros((len(MATERIALS), *grid.shape), dtype=np.float32)
    layers = ("adipose", *["soft_tissue"] * 2, "bone", "soft_tissue", "lung", *["soft_tissue"] * 2, "adipose")
    for j, layer in enumerate(layers):
        material = "soft_tissue" if layer == "lung" else layer
        density[MATERIALS.index(material), :, j] = LUNG_G_ML if layer == "lung" else density_g_ml(material)
    activity = np.zeros(grid.shape)
    activity[5:11, 1:8, 4:10] = np.random.default_rng(4).random((6, 7, 6))
    return Scene(density, activity, grid, (130.0, -130.0))


def cube() -> Scene:
    """Point source in the middle of a cube of soft tissue of 19.7 cm, voxels of 4.8 mm."""
    grid = Grid.axis_aligned((41, 41, 41), 4.8, -96.0)
    return Scene(block(density_g_ml("soft_tissue"), grid), point_source(grid, (20, 20, 20)), grid, (150.0, -150.0))


def liver_in_torso() -> Scene:
    """Even activity in the liver (1.75 L) of the demo's design anatomy with 20 mm of fat, from thigh to lungs."""
    parts = parts_of(dict.fromkeys(DESIGN_ML, 1.0) | {"medulla": 0.65}, FAT_MM, False, (0.0, 0.0, 0.0))
    phantom = Phantom(parts, np.ones(3), ())
    low, high = phantom.extent_mm(16.0)
    low[2], high[2] = TRUNK_MM
    grid = Grid.covering(low, high, 8.0)
    sampled = phantom.on_grid(grid)
    liver = np.where(sampled.labels == label_of_name()["liver"], 1.0, 0.0)
    face = grid.axis_mm(1)[np.flatnonzero(sampled.body.any(axis=(0, 2)))[[-1, 0]]] + np.array([30.0, -30.0])
    return Scene(partial_density_from_hu(sampled.hu), liver / liver.sum(), grid, (float(face[0]), float(face[1])))


def followed_tables() -> EnergyTables:
    """The transport's tables for 177Lu's photopeak, MELP, without penetration."""
    return energy_tables(melp(), lutetium(), (lutetium().photopeak,), True, False)


def uploaded(scene: Scene | None = None) -> Tables:
    """The kernel's tables for a scene (by default a few voxels of soft tissue) and all lines of 177Lu."""
    if scene is None:
        grid = Grid.axis_aligned((2, 2, 2), 10.0, 0.0)
        scene = Scene(block(density_g_ml("soft_tissue"), grid), np.ones(grid.shape), grid, (50.0, -50.0))
    setting = (Raster(scene.grid, ()), melp(), followed_tables(), (lutetium().photopeak,))
    return upload_tables(setup_of(scene.density, scene.activity, *setting, Options(DEVICE, penetration=False)), DEVICE)


def simulate(
    scene: Scene,
    effort: Effort,
    histories: float,
    nuclide: Nuclide | None = None,
    windows: tuple[EnergyWindow, ...] | None = None,
    camera: Camera | None = None,
    seed: int | None = None,
    couch_mm: float = 0.0,
    **options,
) -> Views:
    """Views of a scene by the geometric collimator, by default of 177Lu's photopeak with the MELP camera.

    `options` are those of `planardose.sim.montecarlo.Options`.
    """
    nuclide, camera = nuclide or lutetium(), camera or melp()
    chosen = Options(**({"device": DEVICE, "threads": effort.threads, "penetration": False} | options))
    return montecarlo.simulate(
        scene.density, scene.activity, scene.grid, camera, nuclide, windows or (nuclide.photopeak,),
        opposed_heads(scene.face_mm, couch_mm), effort.count(histories), effort.seed if seed is None else seed, chosen,
    )  # fmt: skip


@dataclass(frozen=True)
class Totals:
    """Counts per second of both views together, per window (W,): rate, its standard error, and primaries."""

    rate: np.ndarray
    error: np.ndarray
    primary: np.ndarray

    def scatter_to_primary(self, window: int = 0) -> Measured:
        """Scattered over unscattered counts."""
        primary = self.primary[window]
        return Measured(float(self.rate[window] / primary - 1), float(self.error[window] / primary))


def totals(scene: Scene, effort: Effort, histories: float, **more) -> Totals:
    """Of `REPEATS` runs with seeds of their own: pixels share scores, so their errors do not add up to the total's."""
    runs = [
        simulate(scene, effort, histories / REPEATS, seed=effort.seed + n, batches=1, **more) for n in range(REPEATS)
    ]
    rates = np.array([r.rate.sum(axis=(0, 2, 3)) for r in runs])
    error = rates.std(axis=0, ddof=1) / np.sqrt(REPEATS)
    return Totals(rates.mean(axis=0), error, runs[0].primary.sum(axis=(0, 2, 3)))
