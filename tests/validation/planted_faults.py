"""One fault, or more, for every row of ``validate-physics``: what could be wrong in the code that the row exercises."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import warp as wp
import xraylib
from planting import Garden

from planardose import library
from planardose.physics import (
    attenuation,
    collimator,
    compton,
    crystal,
    dead_time,
    form_factors,
    lead,
    penetration,
    warp_random,
)
from planardose.physics.head_response import head_efficiency
from planardose.planar import PlanarPair
from planardose.sim import acquire, dose_tables, montecarlo, montecarlo_columns, montecarlo_tables, montecarlo_track
from planardose.sim import montecarlo_kernel as kernel

REST_KEV = 510.99895


@dataclass(frozen=True)
class Fault:
    """What is wrong, the rows (patterns) that must see it, and how it is planted.

    `own_tables`: it changes what `io.cache` keeps between runs, so it gets a folder of its own.
    """

    what: str
    rows: tuple[str, ...]
    plant: Callable[[Garden], None]
    own_tables: bool


def fault(what: str, *rows: str, own_tables: bool = False) -> Callable:
    """Register the decorated function as the planting of a fault."""

    def register(plant: Callable[[Garden], None]) -> Callable:
        FAULTS.append(Fault(what, rows, plant, own_tables))
        return plant

    return register


FAULTS: list[Fault] = []


# --- matter and Compton scattering ---------------------------------------------------------------------------------


@fault("mu 5 % too high", "mu_*", "slab_*", "primary_*", "view_ratio")
def _(garden):
    garden.change(attenuation._one, lambda value, *_: 1.05 * value)


@fault("coherent scattering left out of the attenuation", "mu_water_80", "mu_bone_113", "mu_lead_208")
def _(garden):
    def total(z: int, energy_kev: float) -> float:
        return xraylib.CS_Total(z, energy_kev) - xraylib.CS_Rayl(z, energy_kev)

    without = attenuation.PROCESSES | {"total": total}
    garden.monkeypatch.setattr(attenuation, "PROCESSES", without)


@fault("Klein-Nishina with half the recoil", "klein_nishina_total_*", "klein_nishina_cosine_*")
def _(garden):
    original = compton.differential_barn_sr
    garden.replace(original, lambda energy, cosine: original(0.5 * np.asarray(energy), cosine))


@fault("scattered photons keep their energy", "klein_nishina_energy_*", "backscatter_energy", "crystal_208*",
       "crystal_321", "simind_photopeak", "backscatter_edge", own_tables=True)
def _(garden):
    garden.replace(compton.scattered_energy_kev, lambda energy, cosine: energy + 0.0 * cosine)


@fault("iodine X rays do not leave the crystal", "crystal_113", "crystal_140", own_tables=True)
def _(garden):
    garden.change(crystal._fluorescence, lambda energy, *_: 0.0 * energy)


# --- samplers --------------------------------------------------------------------------------------------------------


@fault("electrons taken as free", "compton_angle_*")
def _(garden):
    garden.change(form_factors.form_factors, lambda f, *_: replace(f, incoherent=np.ones_like(f.incoherent)))


@fault("form factor not squared", "rayleigh_angle_*")
def _(garden):
    def unsquared(f, *_):
        cells = np.diff((np.arange(f.coherent.size) * form_factors.STEP) ** 2) * np.sqrt(f.coherent[1:])
        return replace(f, coherent_integral=np.append(0.0, np.cumsum(cells)))

    garden.change(form_factors.form_factors, unsquared)


@wp.func
def crowded_at_the_pole(state: wp.uint64) -> wp.vec3:
    up = 2.0 * warp_random.uniform(state) - 1.0
    turn = 6.283185307179586 * warp_random.uniform(state + wp.uint64(5))
    polar = 1.5707963267948966 * (1.0 - up)
    return wp.vec3(wp.sin(polar) * wp.cos(turn), wp.sin(polar) * wp.sin(turn), wp.cos(polar))


@fault("polar angle uniform instead of its cosine", "isotropic")
def _(garden):
    garden.replace(warp_random.isotropic, crowded_at_the_pole)


@wp.func
def half_turned(d: wp.vec3, cosine: float, azimuth: float) -> wp.vec3:
    a = wp.normalize(wp.cross(d, wp.vec3(0.0, 0.0, 1.0)))
    b = wp.cross(d, a)
    sine = wp.sqrt(wp.max(1.0 - cosine * cosine, 0.0))
    return d * cosine + a * (sine * wp.cos(0.5 * azimuth)) + b * (sine * wp.sin(0.5 * azimuth))


@fault("azimuth over half a turn", "turned_azimuth")
def _(garden):
    garden.replace(warp_random.turned, half_turned)


@fault("voxel of emission off by one", "emission_voxel")
def _(garden):
    garden.change(montecarlo_tables.emission_tables, lambda t, *_: (np.roll(t[0], 1), *t[1:]))


@wp.func
def not_hashed(state: wp.uint64) -> wp.uint64:
    return state


@fault("random numbers not hashed", "uniform_pairs", "place_in_voxel")
def _(garden):
    garden.replace(warp_random.hash64, not_hashed)


@wp.func
def never_the_last_line(t: kernel.Tables, state: wp.uint64) -> float:
    u = 0.98 * warp_random.uniform(state)
    line = int(0)  # noqa: RUF046, UP018
    while line < t.line_kev.shape[0] - 1 and t.line_cumulative[line] <= u:
        line = line + 1
    return t.line_kev[line]


@fault("a line's yield cut short", "line_choice")
def _(garden):
    garden.replace(kernel.emission_energy, never_the_last_line)


# --- transport -------------------------------------------------------------------------------------------------------


@fault("majorant below the densest voxels", "delta_tracking")
def _(garden):
    garden.change(montecarlo_tables.majorant_per_mm, lambda bound, *_: 0.6 * bound)


@wp.func
def silent_roulette(balance: wp.array(dtype=wp.int64), weight: float, u: float) -> float:
    if weight >= 0.05:
        return weight
    if u * 0.25 < weight:
        kernel.credit(balance, kernel.GAINED, 0.25 - weight)
        return 0.25
    return 0.0


@fault("roulette's losses not in the balance", "photon_balance")
def _(garden):
    garden.replace(kernel.roulette, silent_roulette)


def change_launches(garden: Garden, how: Callable[[list], None]) -> None:
    """Launches of the photon kernel get other inputs: tables, heads, seed, batch, count, first, scores, balance."""
    launch = wp.launch

    def faulty(launched, *args, **kwargs):
        if launched is montecarlo_track.histories:
            kwargs["inputs"] = list(kwargs["inputs"])
            how(kwargs["inputs"])
        return launch(launched, *args, **kwargs)

    garden.monkeypatch.setattr(wp, "launch", faulty)


@fault("histories numbered within a launch", "threads_bits", "split_bits")
def _(garden):
    def from_the_batch(inputs):
        inputs[5] = inputs[3]

    change_launches(garden, from_the_batch)


@fault("histories numbered within a batch", "error_law")
def _(garden):
    def from_zero(inputs):
        inputs[5] = wp.uint64(inputs[5].value - inputs[3].value)
        inputs[3] = wp.uint64(0)

    change_launches(garden, from_zero)


@fault("seed not used", "seed_bits")
def _(garden):
    def constant(inputs):
        inputs[2] = wp.uint64(5)

    change_launches(garden, constant)


@fault("forced densities not normalised", "forced_*")
def _(garden):
    garden.change(form_factors.incoherent_norm_barn, lambda barn, *_: 0.1 * barn)


@fault("dead time within the transport", "linearity", "additivity")
def _(garden):
    garden.change(montecarlo.image_of_layers, lambda image, *_: image * np.exp(-1e-4 * image.sum()))


@fault("spread of batches taken for the error of their mean", "stated_error")
def _(garden):
    original = montecarlo._Simulation.stage

    def stage(self, *args):
        mean, variance, balance = original(self, *args)
        return mean, variance * self.options.batches, balance

    garden.monkeypatch.setattr(montecarlo._Simulation, "stage", stage)


# --- crystal and dead time -------------------------------------------------------------------------------------------


@fault("yields of ICRP-107, 6 % higher", "simind_*", "melp_total", "megp_geometric", "megp_total", "iodine_total")
def _(garden):
    for nuclide in ("177Lu", "123I"):
        lines = library.read_entry("nuclides", nuclide)["lines_kev_percent"]
        garden.catalogue("nuclides", nuclide, lines_kev_percent=[[e, 1.06 * p] for e, p in lines])


@fault("lines above the window left out", "iodine_geometric")
def _(garden):
    lines = library.read_entry("nuclides", "123I")["lines_kev_percent"]
    garden.catalogue("nuclides", "123I", lines_kev_percent=[[e, p] for e, p in lines if e < 170.0])


@fault("non-paralysable dead time", "dead_time_loss", "dead_time_inverse")
def _(garden):
    garden.replace(dead_time.paralysable, lambda rate, tau_us: rate / (1 + rate * tau_us * 1e-6))


@fault("dead times of the windows exchanged", "dead_time_tau_*")
def _(garden):
    garden.catalogue("cameras", "siemens_symbia_melp", tau_by_kev={"177Lu": [[112.95, 4.60], [208.37, 5.99]]})


# --- collimator ------------------------------------------------------------------------------------------------------


@fault("effective instead of true hole length", "hole_efficiency", "traced_holes", "*_fwhm_melp_5",
       "*_fwhm_melp_10", "*_fwhm_melp_15", "*_fwhm_melp_20")
def _(garden):
    garden.catalogue("cameras", "siemens_symbia_melp", length_mm=40.64 - 2 / 1.029)


@fault("holes of the wrong length", "*_fwhm_megp_5", "*_fwhm_megp_10", "*_fwhm_megp_15", "*_fwhm_megp_20")
def _(garden):
    garden.catalogue("cameras", "ge_670_megp", length_mm=55.0)


@fault("lead of half its density", "unscattered_*", own_tables=True)
def _(garden):
    garden.change(lead.lead_per_mm, lambda mu, *_: 0.5 * mu)


@fault("scatter in lead counted whatever its energy", "lead_scatter_208")
def _(garden):
    garden.change(penetration._channel_counts, lambda counted, *_: np.full_like(counted, 0.54))


@fault("intrinsic resolution as a standard deviation", "*_fwhm_*_0")
def _(garden):
    garden.change(collimator.intrinsic_fwhm_mm, lambda width, *_: width / 2.355)


# --- camera ----------------------------------------------------------------------------------------------------------


@fault("posterior view flipped for the anterior one", "geometric_mean")
def _(garden):
    def anterior_twice(masses, *_):
        return masses[:, :, :, [0, 0]]

    garden.change(montecarlo_columns.masses_ahead, anterior_twice)


@fault("energy window shifted", "counts_in_air", "cube_scatter", "cube_analog", "liver_scatter")
def _(garden):
    def shifted(camera, window, *more):
        return head_efficiency(camera, replace(window, low_kev=window.low_kev - 20.0), *more)

    garden.monkeypatch.setattr(montecarlo_tables, "head_efficiency", shifted)


@fault("axes of the pixels exchanged", "pixel_*")
def _(garden):
    original = acquire.rates_on_pixels
    garden.replace(original, lambda rate, grid, pixel, *more: original(rate, grid, pixel[::-1], *more))


@fault("posterior view mirrored", "pixel_posterior")
def _(garden):
    original = PlanarPair.counts_from_ras

    def mirrored(ras):
        counts = original(ras)
        counts[1] = counts[1, :, :, ::-1]
        return counts

    garden.monkeypatch.setattr(PlanarPair, "counts_from_ras", mirrored)


# --- dose ------------------------------------------------------------------------------------------------------------


@fault("energy absorbed 10 % too high", "sphere_*")
def _(garden):
    garden.change(dose_tables.dose_cross_sections, lambda s, *_: replace(s, absorption=1.1 * s.absorption))
