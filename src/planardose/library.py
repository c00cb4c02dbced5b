"""The catalogues: nuclides, cameras, tracers as readable YAML files in ``data/``, and in the user's own folders.

A user adds one by dropping a file with the same keys into a folder named in the config key ``library``.
"""

import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from planardose.errors import InputError, shown
from planardose.planar import EnergyWindow

DATA = Path(__file__).parent / "data"
KINDS = ("nuclides", "cameras", "tracers")
USER_FOLDERS_VARIABLE = "PLANARDOSE_LIBRARY"


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


@dataclass(frozen=True)
class Camera:
    """A gamma camera with its collimator (hexagonal lead holes) and NaI(Tl) crystal. Lengths in mm.

    `intrinsic_fwhm_mm` and `energy_resolution` (fraction, FWHM/E) hold at `reference_kev`; both scale as 1/sqrt(E).
    `field_mm` is (axial, transverse). `tau_us` is the paralysable dead time on the photopeak rate, or None.
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


@cache
def _folders() -> tuple[Path, ...]:
    extra = [Path(p) for p in os.environ.get(USER_FOLDERS_VARIABLE, "").split(os.pathsep) if p]
    return (*extra, DATA)


def names(kind: str) -> list[str]:
    """Names of all entries of a kind (``nuclides``, ``cameras``, ``tracers``), the user's and ours."""
    return sorted({f.stem for folder in _folders() for f in (folder / kind).glob("*.yaml")})


def entry_path(kind: str, name: str) -> Path:
    """File of an entry; a name that is not in the catalogue raises `InputError` with the names there are."""
    known = names(kind)
    if name not in known:
        raise InputError(
            f"{kind[:-1]} {shown(name)}",
            "not in the catalogue",
            f"one of {', '.join(known)}",
            f"see 'planardose list' or add data/{kind}/NAME.yaml to a library folder",
        )
    return next(f for folder in _folders() if (f := folder / kind / f"{name}.yaml").is_file())


def read_entry(kind: str, name: str) -> dict:
    """The YAML mapping of an entry."""
    return yaml.safe_load(entry_path(kind, name).read_text())


def canonical_nuclide(text: str) -> str:
    """``177Lu`` from ``177Lu``, ``Lu-177``, ``Lu177`` or ``lu 177`` (``99mTc`` alike); else the text, stripped."""
    compact = re.sub(r"[\s_-]", "", text)
    for pattern in (r"(?P<mass>\d+m?)(?P<element>[A-Za-z]{1,2})", r"(?P<element>[A-Za-z]{1,2})(?P<mass>\d+m?)"):
        if found := re.fullmatch(pattern, compact):
            return found["mass"] + found["element"].capitalize()
    return text.strip()


@cache
def load_nuclide(name: str) -> Nuclide:
    """Nuclide of the catalogue by any spelling of its name."""
    name = canonical_nuclide(name)
    d = read_entry("nuclides", name)
    try:
        return Nuclide(
            name=name,
            half_life_h=float(d["half_life_h"]),
            lines=tuple(Line(float(e), float(p) / 100) for e, p in d["lines_kev_percent"]),
            electron_kev=float(d["electron_kev_per_decay"]),
            photon_kev=float(d["photon_kev_per_decay"]),
            photopeak=EnergyWindow(*d["photopeak_kev"]),
            scatter_windows=tuple(EnergyWindow(*w) for w in d["scatter_windows_kev"]),
            source=d["source"],
        )
    except (KeyError, TypeError, ValueError) as fault:
        raise InputError(
            f"nuclide file {name}.yaml", f"{type(fault).__name__}: {fault}", "the keys of 177Lu.yaml"
        ) from None


@cache
def load_camera(name: str) -> Camera:
    """Camera of the catalogue."""
    d = read_entry("cameras", name)
    try:
        tau = d.get("tau_us")
        return Camera(
            name=name,
            vendor=str(d["vendor"]),
            collimator=str(d["collimator"]),
            source=d["source"],
            field_mm=(float(d["field_mm"][0]), float(d["field_mm"][1])),
            tau_us=None if tau is None else float(tau),
            **{
                k: float(d[k])
                for k in (
                    "hole_mm",
                    "septum_mm",
                    "length_mm",
                    "crystal_mm",
                    "intrinsic_fwhm_mm",
                    "energy_resolution",
                    "reference_kev",
                    "pixel_mm",
                )
            },
        )
    except (KeyError, TypeError, ValueError) as fault:
        raise InputError(
            f"camera file {name}.yaml", f"{type(fault).__name__}: {fault}", "the keys of siemens_symbia_melp.yaml"
        ) from None
