"""The catalogues: nuclides, cameras, tracers as readable YAML files in ``data/``, and in the user's own folders.

A user adds one by dropping a file with the same keys into a folder named in the config key ``library``
(docs/inputs.md).
"""

import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from planardose import plausible
from planardose.catalogue_file import CatalogueFile
from planardose.data_table import DATA
from planardose.errors import InputError, shown
from planardose.planar import EnergyWindow

KINDS = ("nuclides", "cameras", "tracers")
USER_FOLDERS_VARIABLE = "PLANARDOSE_LIBRARY"
HIGHEST_LINE_KEV = 799.0  # the cross sections (xraylib) end at 800 keV
LOWEST_IMAGED_KEV = 40.0  # the collimator's tables begin there: photons below are not followed to the camera
PHOTON_ENERGY = (0.2, 1.2)  # of the lines together over photon_kev_per_decay: lines above 799 keV may be missing


@dataclass(frozen=True)
class Line:
    """One photon line: energy in keV and photons per decay."""

    energy_kev: float
    per_decay: float


@dataclass(frozen=True)
class Nuclide:
    """A radionuclide with what imaging and local dose need.

    `electron_kev` is the mean electron energy per decay (beta, conversion, Auger), `photon_kev` the mean photon energy.
    `photopeak` is the default imaging window, `scatter_windows` its neighbours for triple-energy-window correction.
    """

    name: str
    half_life_h: float
    lines: tuple[Line, ...]
    electron_kev: float
    photon_kev: float
    photopeak: EnergyWindow
    scatter_windows: tuple[EnergyWindow, ...]
    source: str

    def imaged_line(self) -> Line:
        """The strongest line inside the photopeak window."""
        return max((x for x in self.lines if self.photopeak.contains(x.energy_kev)), key=lambda x: x.per_decay)

    def peak_index(self, windows: tuple[EnergyWindow, ...]) -> int:
        """Index of the narrowest window that holds the imaged line; raises KeyError when none does."""
        energy = self.imaged_line().energy_kev
        inside = [(w.width_kev, n) for n, w in enumerate(windows) if w.contains(energy)]
        if not inside:
            raise KeyError(energy)
        return min(inside)[1]


@dataclass(frozen=True)
class Camera:
    """A gamma camera with its collimator (hexagonal lead holes) and NaI(Tl) crystal. Lengths in mm.

    `intrinsic_fwhm_mm` and `energy_resolution` (fraction, FWHM/E) hold at `reference_kev`; both scale as 1/sqrt(E).
    `field_mm` is (axial, transverse). `tau_us` is the paralysable dead time on the photopeak's rate of primary photons
    (less the triple-energy-window scatter), or None. It holds the events in all windows, and so differs between
    nuclides: `tau_by_kev` holds (nuclide, line in keV, tau in us) where it was measured, `tau_computed_by_kev` where it
    was computed from such a one.

    The defaults stand for keys that a file leaves out. Aluminium: `front_mm` before the collimator (touch plate),
    `cover_mm` between collimator and crystal. `backscatter_mm` of `backscatter_material` (`materials.yaml`) lie behind
    the crystal. `gap_mm` is from the lead to the crystal. `couch_mm` is the patient's couch as aluminium, seen by the
    head below it.
    """

    name: str
    vendor: str
    collimator: str
    hole_mm: float
    septum_mm: float
    length_mm: float
    crystal_mm: float
    intrinsic_fwhm_mm: float
    energy_resolution: float
    reference_kev: float
    field_mm: tuple[float, float]
    pixel_mm: float
    tau_us: float | None
    source: str
    front_mm: float = 0.0
    cover_mm: float = 1.0
    backscatter_mm: float = 75.0
    backscatter_material: str = "pyrex_66"
    gap_mm: float = 0.0
    couch_mm: float = 1.0
    tau_by_kev: tuple[tuple[str, float, float], ...] = ()
    tau_computed_by_kev: tuple[tuple[str, float, float], ...] = ()

    @property
    def states_dead_time(self) -> bool:
        """Whether the file holds a dead time, for any window."""
        return self.tau_us is not None or bool(self.tau_by_kev or self.tau_computed_by_kev)

    def tau_in(self, window: EnergyWindow, nuclide: Nuclide) -> float | None:
        """Dead time, us, on a nuclide's rate in a window: measured or else computed for its line, else `tau_us`."""
        own = _own(self.tau_by_kev, window, nuclide) or _own(self.tau_computed_by_kev, window, nuclide)
        return own[0] if own else self.tau_us

    def tau_from(self, window: EnergyWindow, nuclide: Nuclide) -> str:
        """Where `tau_in` comes from, in words; empty where it was measured so, or the file names no nuclide."""
        computed = _own(self.tau_computed_by_kev, window, nuclide)
        if _own(self.tau_by_kev, window, nuclide):
            return ""
        if not self.tau_by_kev:
            return "computed from one measured with another collimator" if computed else ""
        by_name = {name: [e for n, e, _ in self.tau_by_kev if n == name] for name, *_ in self.tau_by_kev}
        lines = (f"{name} at {' and '.join(f'{e:.0f}' for e in sorted(es))} keV" for name, es in by_name.items())
        measured = f"measured with {' and '.join(lines)}"
        return f"computed from one {measured}" if computed else f"{measured} alone"


def _own(known: tuple[tuple[str, float, float], ...], window: EnergyWindow, nuclide: Nuclide) -> list[float]:
    """Dead times of a nuclide's lines in a window, the one nearest to its imaged line first."""
    imaged_kev = nuclide.imaged_line().energy_kev
    inside = [(abs(e - imaged_kev), tau) for name, e, tau in known if name == nuclide.name and window.contains(e)]
    return [tau for _, tau in sorted(inside)]


@cache
def not_imaged() -> dict[str, str]:
    """Nuclides that cannot be imaged with this package, and why."""
    return yaml.safe_load((DATA / "not_imaged.yaml").read_text())["nuclides"]


@cache
def _folders() -> tuple[Path, ...]:
    extra = [Path(p) for p in os.environ.get(USER_FOLDERS_VARIABLE, "").split(os.pathsep) if p]
    return (*extra, DATA)


def names(kind: str) -> list[str]:
    """Names of all entries of a kind (``nuclides``, ``cameras``, ``tracers``), the user's and ours.

    Raises
    ------
    InputError
        For a nuclide's file under another spelling than the catalogue's: it would never be found.
    """
    found = sorted({f.stem for folder in _folders() for f in (folder / kind).glob("*.yaml") if f.is_file()})
    for name in found if kind == "nuclides" else ():
        if (proper := canonical_nuclide(name)) != name:
            raise InputError(f"nuclide file {shown(name)}", "not a name like 177Lu", f"{proper}.yaml", "rename it")
    return found


def entry_path(kind: str, name: str) -> Path:
    """File of an entry; a name that is not in the catalogue raises `InputError` with the names there are."""
    known = names(kind)
    if name not in known and kind == "nuclides" and name in not_imaged():
        raise InputError(
            f"nuclide {name}",
            f"{not_imaged()[name]}; planar images of it cannot be quantified here",
            f"one of {', '.join(known)}",
        )
    if name not in known:
        raise InputError(
            f"{kind[:-1]} {shown(name)}",
            "not in the catalogue",
            f"one of {', '.join(known)}",
            f"see 'planardose list {kind}', or add {kind}/NAME.yaml to a folder of the config key 'library'",
        )
    return next(f for folder in _folders() if (f := folder / kind / f"{name}.yaml").is_file())


def read_entry(kind: str, name: str) -> dict:
    """The YAML mapping of an entry."""
    example = {"nuclides": "177Lu", "cameras": "siemens_symbia_melp", "tracers": "177Lu-PSMA-617"}[kind]
    return CatalogueFile(kind[:-1], entry_path(kind, name), f"{example}.yaml").content


def canonical_nuclide(text: str) -> str:
    """``177Lu`` from ``177Lu``, ``Lu-177``, ``Lu177`` or ``lu 177`` (``99mTc`` alike); else the text, stripped."""
    compact = re.sub(r"[\s_-]", "", text)
    for pattern in (r"(?P<mass>\d+m?)(?P<element>[A-Za-z]{1,2})", r"(?P<element>[A-Za-z]{1,2})(?P<mass>\d+m?)"):
        if found := re.fullmatch(pattern, compact):
            return found["mass"] + found["element"].capitalize()
    return text.strip()


@cache
def load_nuclide(name: str) -> Nuclide:
    """Nuclide of the catalogue by any spelling of its name; a malformed file raises `InputError`."""
    name = canonical_nuclide(name)
    entry = CatalogueFile("nuclide", entry_path("nuclides", name), "177Lu.yaml")
    nuclide = Nuclide(
        name=name,
        half_life_h=entry.number("half_life_h"),
        lines=tuple(Line(e, percent / 100) for e, percent in entry.pairs("lines_kev_percent")),
        electron_kev=entry.number("electron_kev_per_decay"),
        photon_kev=entry.number("photon_kev_per_decay"),
        photopeak=_window(entry, "photopeak_kev", entry.pair("photopeak_kev")),
        scatter_windows=tuple(_window(entry, "scatter_windows_kev", w) for w in entry.pairs("scatter_windows_kev")),
        source=entry.text("source"),
    )
    entry.done()
    for line in nuclide.lines:
        if line.energy_kev > HIGHEST_LINE_KEV:
            expected = f"lines up to {HIGHEST_LINE_KEV:g} keV, where the cross sections end"
            raise entry.fault("lines_kev_percent", f"a line of {line.energy_kev:g} keV", expected)
    if not any(nuclide.photopeak.contains(x.energy_kev) for x in nuclide.lines):
        raise entry.fault("photopeak_kev", "no line inside", "a window around one of lines_kev_percent")
    if (imaged := nuclide.imaged_line().energy_kev) < LOWEST_IMAGED_KEV:
        expected = f"a window around a line from {LOWEST_IMAGED_KEV:g} keV"
        raise entry.fault("photopeak_kev", f"its line of {imaged:g} keV cannot be followed to the camera", expected)
    together = sum(x.energy_kev * x.per_decay for x in nuclide.lines)
    low, high = (share * nuclide.photon_kev for share in PHOTON_ENERGY)
    if not low <= together <= high:
        expected = f"about photon_kev_per_decay, {nuclide.photon_kev:g} keV: lines in keV and per cent"
        raise entry.fault("lines_kev_percent", f"together {together:.3g} keV per decay", expected)
    return nuclide


def _window(entry: CatalogueFile, key: str, edges: tuple[float, float]) -> EnergyWindow:
    try:
        return EnergyWindow(*edges)
    except ValueError:
        raise entry.fault(key, f"value {list(edges)}", "[low, high] with low below high") from None


def _by_nuclide(entry: CatalogueFile, key: str) -> tuple[tuple[str, float, float], ...]:
    return tuple((canonical_nuclide(name), *pair) for name, *pair in entry.pairs_by_name(key))


def _numbers(value: float | tuple[float, ...] | None) -> tuple[float, ...]:
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


@cache
def load_camera(name: str) -> Camera:
    """Camera of the catalogue; a malformed file raises `InputError`."""
    entry = CatalogueFile("camera", entry_path("cameras", name), "siemens_symbia_melp.yaml")
    needed = ("hole_mm", "septum_mm", "length_mm", "crystal_mm", "intrinsic_fwhm_mm", "energy_resolution",
              "reference_kev", "pixel_mm")  # fmt: skip
    optional = ("front_mm", "cover_mm", "backscatter_mm", "gap_mm", "couch_mm")
    material = entry.text("backscatter_material", Camera.backscatter_material)
    camera = Camera(
        name=name,
        vendor=entry.text("vendor"),
        collimator=entry.text("collimator"),
        source=entry.text("source"),
        field_mm=entry.pair("field_mm"),
        tau_us=entry.number("tau_us", None),
        tau_by_kev=_by_nuclide(entry, "tau_by_kev"),
        tau_computed_by_kev=_by_nuclide(entry, "tau_computed_by_kev"),
        backscatter_material=material,
        **{k: entry.number(k) for k in needed},
        **{k: entry.number(k, getattr(Camera, k), least=0) for k in optional},
    )
    entry.done()
    for key, allowed in plausible.CAMERA.items():
        for value in _numbers(getattr(camera, key)):
            allowed.check(value, f"camera file {name}.yaml, {key}")
    for key in ("tau_by_kev", "tau_computed_by_kev"):
        for nuclide, line_kev, tau_us in getattr(camera, key):
            plausible.CAMERA["tau_us"].check(tau_us, f"camera file {name}.yaml, {key} of {nuclide} at {line_kev:g} keV")
    known = yaml.safe_load((DATA / "physics" / "materials.yaml").read_text())["materials"]
    if material not in known:
        raise entry.fault("backscatter_material", shown(material), f"one of {', '.join(known)}")
    return camera
