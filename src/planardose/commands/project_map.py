"""Command `project` on any activity map and CT: planar images as the camera would take them."""

import json
import logging
import re
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

import planardose
from planardose import plausible
from planardose.anatomy.scene import Scene, read_scene
from planardose.errors import InputError, shown
from planardose.frames import PlanarPose
from planardose.heads import Head, face_positions_mm, opposed_heads
from planardose.io.dicom_new import ANONYMOUS
from planardose.io.dicom_nm_write import write_planar
from planardose.io.dicom_study import Study, study_of
from planardose.io.files import is_nifti, sha256_of, write_text
from planardose.io.planar_file import write_user_pair
from planardose.library import Camera, Nuclide, load_camera, load_nuclide
from planardose.patient_model import PatientModel
from planardose.physics.scatter_windows import primary_weights
from planardose.physics.warp_runtime import warp_device
from planardose.planar import EnergyWindow, PlanarPair
from planardose.run import command_line
from planardose.sidecar import sidecar_of
from planardose.sim.acquire import DeadTime, acquire
from planardose.sim.device import enough_memory
from planardose.sim.montecarlo import Options, Views, simulate
from planardose.sim.montecarlo_tables import LOWEST_KEV, unfollowed_share, visible_from_kev

FINEST_MM, COARSEST_MM = 1.0, 20.0
MOST_UNFOLLOWED = 0.01  # of a window's counts in air may come from lines too low to be followed
COARSER = "a larger --grid-mm"
DEFAULT_DATE = datetime(2000, 1, 1)  # of the image where none is given: the same bytes on any day
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wish:
    """What the user asked for; the command line's options by name."""

    nuclide: str
    camera: str
    windows: tuple[str, ...] = ()
    seconds_per_row: float | None = None
    duration_s: float | None = None
    histories: float = 1e7
    relative_error: float | None = None
    seed: int = 2026
    grid_mm: float = 4.0
    distance_mm: tuple[float, float] | None = None
    noise: bool = True
    penetration: bool = True
    couch: bool = True
    dead_time: bool = True
    acquired_at: datetime = DEFAULT_DATE
    device: str = "auto"
    threads: int = 1
    from_ct: bool = False  # name and id of the CT's header, not ANON

    @property
    def swept(self) -> bool:
        """Whether the images are those of a sweep."""
        return self.seconds_per_row is not None


@dataclass(frozen=True)
class Setting:
    """What the pair is taken with, and where: RAS y of both faces, and their distances from the body's axis, mm."""

    camera: Camera
    nuclide: Nuclide
    windows: tuple[EnergyWindow, ...]
    pose: PlanarPose
    faces_mm: tuple[float, float]
    distance_mm: tuple[float, float]

    def heads(self, wish: Wish) -> tuple[Head, ...]:
        """Both heads with the camera's field: all of it in a static image, its width in a sweep."""
        field = (np.inf if wish.swept else self.camera.field_mm[0], self.camera.field_mm[1])
        return tuple(
            Head(h.angle_deg, h.distance_mm, field, (self.pose.z_mm, self.pose.x_mm), h.aluminium_mm)
            for h in opposed_heads(self.faces_mm, self.camera.couch_mm if wish.couch else 0.0)
        )

    @property
    def centre_mm(self) -> tuple[float, float, float]:
        """RAS place of the images' centre on the body's axis."""
        return self.pose.x_mm, self.faces_mm[0] - self.distance_mm[0], self.pose.z_mm


def project_map(activity: Path, ct: Path, out: Path, wish: Wish) -> None:
    """Write ``out`` (.dcm: NM DICOM; .npz: counts with their JSON beside) and ``out.json``, its sidecar.

    Raises
    ------
    InputError
        One line for anything in files or options that cannot give a right image.
    """
    camera, nuclide = load_camera(wish.camera), load_nuclide(wish.nuclide)
    windows = _windows(wish.windows, camera, nuclide, wish.penetration)
    _check(wish, out)
    study = _study(ct, out, wish)
    with enough_memory(COARSER):
        scene = read_scene(activity, ct, wish.grid_mm)
    _check_activity(float(scene.activity_mbq.sum(dtype=np.float64)))
    pose = PlanarPose(*(float(scene.grid.axis_mm(a).mean()) for a in (0, 2)))
    setting = Setting(camera, nuclide, windows, pose, *_faces(scene, wish.distance_mm))
    options = Options(warp_device(wish.device), wish.threads, relative_error=wish.relative_error,
                      penetration=wish.penetration)  # fmt: skip
    with enough_memory(COARSER):
        views = simulate(scene.partial_density, scene.activity_mbq, scene.grid, camera, nuclide, windows,
                         setting.heads(wish), wish.histories, wish.seed, options)  # fmt: skip
    if wish.relative_error is not None and views.clear_error > wish.relative_error:
        log.warning("relative error %.3g after all %d histories", views.clear_error, views.histories)
    _write(out, _pair(views, scene, setting, wish), setting, wish, study)
    _sidecar(out, scene, views, setting, wish, {"activity": activity, "ct": ct})


def _study(ct: Path, out: Path, wish: Wish) -> Study | None:
    """The study that DICOM views of a DICOM CT join; without one they are in a study and a frame of their own."""
    if out.suffix.lower() == ".npz" and wish.from_ct:
        raise InputError("--identity from-ct", "an .npz names nobody", "--out with .dcm")
    if out.suffix.lower() == ".npz" or (is_nifti(ct) and not wish.from_ct):
        return None
    return study_of(ct, ANONYMOUS, wish.from_ct, wish.acquired_at, "--ct")


def _check(wish: Wish, out: Path) -> None:
    if out.suffix.lower() not in (".dcm", ".npz"):
        raise InputError("--out", f"a file that ends in '{out.suffix}'", ".dcm or .npz")
    if (wish.seconds_per_row is None) == (wish.duration_s is None):
        raise InputError("project", "--seconds-per-row and --duration-s" if wish.duration_s else "no time",
                         "one of --seconds-per-row (sweep: time of a row in the field) and --duration-s (static image)")
    for name in ("seconds_per_row", "duration_s", "histories", "relative_error", "grid_mm"):
        value = getattr(wish, name)
        if value is not None and not (np.isfinite(value) and value > 0):
            raise InputError(f"--{name.replace('_', '-')}", f"{value:g}", "a positive number")
    if not FINEST_MM <= wish.grid_mm <= COARSEST_MM:
        raise InputError("--grid-mm", f"{wish.grid_mm:g}", f"{FINEST_MM:g} to {COARSEST_MM:g} mm")


def _check_activity(mbq: float) -> None:
    """Refuse more than any patient is given: a map in another unit, of which dead time would leave nothing."""
    most = plausible.SOURCE_MBQ.high
    if mbq > most:
        raise InputError("--activity", f"{mbq:.3g} MBq in all", f"at most {most:g} MBq", "give Bq/mL")


def _windows(texts: tuple[str, ...], camera: Camera, nuclide: Nuclide, penetration: bool) -> tuple[EnergyWindow, ...]:
    """Windows from ``low-high`` in keV, each reachable by a photon of the nuclide; none: the nuclide's own.

    One of its own may see nearly nothing: it is recorded all the same, above the highest line too (111In).
    """
    found = []
    for text in [t for given in texts for t in given.split(",")]:
        parts = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*-\s*(\d+(?:\.\d*)?)\s*", text)
        if not parts or not 0 < float(parts[1]) < float(parts[2]):
            raise InputError("--windows", shown(text), "LOW-HIGH in keV, e.g. 187.2-228.8")
        found.append(EnergyWindow(float(parts[1]), float(parts[2])))
    highest = max(x.energy_kev for x in nuclide.lines)
    for w in found:
        where = f"--windows {w.low_kev:g}-{w.high_kev:g}"
        if w.high_kev <= LOWEST_KEV:
            raise InputError(where, f"photons of up to {LOWEST_KEV:g} keV are not followed", "a window above them")
        if w.low_kev < LOWEST_KEV:
            log.warning("%s: what photons of less than %g keV would count is left out", where, LOWEST_KEV)
        if visible_from_kev(camera, (w,), penetration) >= highest:
            raise InputError(where, f"no photon of {nuclide.name} reaches it",
                             f"a window that photons of at most {highest:g} keV can reach")
        if (share := unfollowed_share(camera, nuclide, w)) > MOST_UNFOLLOWED:
            raise InputError(where,
                             f"{share:.0%} of its counts are of {nuclide.name}'s lines below {LOWEST_KEV:g} keV",
                             f"a window that counts lines from {LOWEST_KEV:g} keV on: no others are followed")
    return tuple(found) or (nuclide.photopeak, *nuclide.scatter_windows)


def _faces(scene: Scene, distance_mm: tuple[float, float] | None) -> tuple[tuple[float, float], tuple[float, float]]:
    """RAS y of the faces, and their distances from the body's axis."""
    model = PatientModel(scene.grid, ("remainder",), scene.body[None], scene.partial_density)
    faces = face_positions_mm(model, distance_mm, "project")
    axis = 0.5 * sum(float(scene.grid.axis_mm(1)[n]) for n in np.flatnonzero(model.body.any(axis=(0, 2)))[[0, -1]])
    return faces, (faces[0] - axis, axis - faces[1])


def _pair(views: Views, scene: Scene, setting: Setting, wish: Wish) -> PlanarPair:
    camera, nuclide, windows, swept = setting.camera, setting.nuclide, setting.windows, wish.swept
    length = scene.grid.shape[2] * wish.grid_mm if swept else camera.field_mm[0]
    exposure = wish.seconds_per_row if swept else wish.duration_s
    duration = exposure * max(length / camera.field_mm[0], 1.0) + 2.0 * swept  # a sweep takes longer than its rows
    matrix = tuple(int(np.ceil(x / camera.pixel_mm)) for x in (length, camera.field_mm[1]))
    loss = None
    energy = nuclide.imaged_line().energy_kev
    peak = next((n for n, w in enumerate(windows) if w.contains(energy)), 0)
    if wish.dead_time and (tau := camera.tau_in(windows[peak], nuclide)) is not None:
        loss = DeadTime(tau, tuple(primary_weights(windows, peak, nuclide)), camera.field_mm[0] if swept else None)
    rng = np.random.default_rng(wish.seed) if wish.noise else None
    pixel = (camera.pixel_mm, camera.pixel_mm)
    counts = acquire(views.rate, scene.grid, pixel, matrix, setting.pose, exposure, rng, loss)
    return PlanarPair(counts, windows, pixel, float(exposure), wish.acquired_at, float(duration), setting.distance_mm)


def _write(out: Path, pair: PlanarPair, setting: Setting, wish: Wish, study: Study | None) -> None:
    if out.suffix.lower() == ".npz":
        write_user_pair(out, pair)
    elif pair.counts.max() > np.iinfo(np.uint16).max:
        raise InputError("--out", f"{pair.counts.max():.4g} counts in a pixel do not fit DICOM's 16 bits",
                         f"at most {np.iinfo(np.uint16).max}", "write .npz or shorten the acquisition")
    else:
        place = {"study": study, "centre_mm": setting.centre_mm} if study else {}
        write_planar(out, pair, setting.camera, setting.nuclide.name, seed=wish.seed, **place)


def _sidecar(
    out: Path, scene: Scene, views: Views, setting: Setting, wish: Wish, inputs: dict[str, Path]
) -> None:
    meta = {
        "quantity": "counts", "unit": "1", "planardose": planardose.__version__, "command": command_line(),
        "sha256": sha256_of(out), "inputs": {k: sha256_of(p) for k, p in inputs.items()},
        "options": {k: v for k, v in asdict(wish).items() if k not in ("windows", "acquired_at")},
        "windows_kev": [[w.low_kev, w.high_kev] for w in setting.windows], "face_mm": list(setting.faces_mm),
        "couch_mm_aluminium": setting.camera.couch_mm if wish.couch else 0.0,
        "grid": {"shape": scene.grid.shape, "spacing_mm": wish.grid_mm},
        "activity_mbq": float(scene.activity_mbq.sum(dtype=np.float64)),
        "activity_outside_ct": scene.outside_ct, "activity_outside_body": scene.outside_body,
        "histories": views.histories, "relative_error": views.clear_error, "photon_balance": views.balance,
        "rate_cps": views.rate.sum(axis=(2, 3)).tolist(), "unscattered_cps": views.primary.sum(axis=(2, 3)).tolist(),
    }  # fmt: skip
    write_text(sidecar_of(out), json.dumps(meta, indent=1, sort_keys=True) + "\n")
