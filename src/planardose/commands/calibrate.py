"""Sensitivity of each head from an acquisition of a source of known activity in air."""

import logging
import math
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from planardose import plausible
from planardose.config import Hand
from planardose.errors import InputError
from planardose.io.planar_in import read_planar
from planardose.library import Camera, Nuclide, load_camera, load_nuclide
from planardose.physics.calibration import Scale
from planardose.physics.sensitivity import scale_of
from planardose.planar import VIEWS, PlanarPair
from planardose.recon.acquired import without_dead_time
from planardose.steps.import_planar import check_photopeak
from planardose.times import in_zone
from planardose.units import SECONDS_PER_HOUR, decay_constant_per_h, hours_between

ACTIVITY_UNCERTAINTY = 0.05  # relative, k = 1: a dose calibrator for 177Lu, where the user gives none
BORDER_SHARE = 0.08  # of rows and columns on each side that hold background only
BORDER_LEAST = 2  # pixels
FAST_CPS = 2000.0  # a dead time of 5 us, as of a Symbia T (Uribe et al. 2017), takes 1 % of it
MUCH_LOST = 0.02  # in air a third of it is lost (177Lu, MELP; benchmarks.dead_time.rates): 1.3 % too much is put back
HEAD_ORDERS = ("anterior_first", "posterior_first")
WHERE = "calibrate --planar"
log = logging.getLogger(__name__)


def calibrate(
    planar: Path,
    activity_mbq: float,
    at: datetime,
    camera: str | None = None,
    nuclide: str = "177Lu",
    activity_uncertainty: float = ACTIVITY_UNCERTAINTY,
    head_order: str | None = None,
) -> dict:
    """Counts per second per MBq of each head in the photopeak window, in air, without scatter correction.

    The source lies inside the image; background along the border is scaled to the rest and subtracted. Counts that the
    camera's dead time took are put back, as in the patient's images; where it is not known, a high rate is warned of.

    Parameters
    ----------
    planar : Path
        Static or swept acquisition of both heads, as the sheet's ``planar``.
    activity_mbq, at : float, datetime
        Activity of the source and the time to which it refers, on the camera's clock or with a zone: before the
        acquisition (the activity has decayed since) or after it (there was more then), by up to
        `plausible.CALIBRATION_HALF_LIVES`.
    camera, nuclide : str
        Catalogue names. The camera may be left out for a static acquisition; nothing is computed for comparison then.
    activity_uncertainty : float
        Relative standard uncertainty of the activity, common to both heads.
    head_order : str or None
        As the config key, where the header cannot decide.

    Returns
    -------
    dict
        ``anterior`` and ``posterior`` with ``cps_per_mbq``, ``cps_per_mbq_u`` (k = 1), ``net_counts`` and
        ``background_counts`` (corrected for dead time), ``rate_cps`` (as recorded); ``calibration_cps_per_mbq`` with
        ``_u``, the mean per head for the sheet; ``computed_cps_per_mbq``, ``measured_over_computed`` and
        ``scale_plausible``, whether that ratio is in the range of ``data/physics/calibration.yaml`` (a warning is
        logged otherwise), None without a camera; ``activity_mbq`` at mid-time; ``dead_time_loss``, the larger of both
        heads' share of counts that was put back, None where unknown; ``notes`` on what the header left open or was
        decided by hand, which are logged as well.

    Raises
    ------
    InputError
        On an activity, time or uncertainty that cannot be, a rate above what the camera can record, a missing
        photopeak window, no counts above background, or a sensitivity that no gamma camera has.
    """
    _check_options(activity_mbq, activity_uncertainty, head_order)
    device, source = None if camera is None else load_camera(camera), load_nuclide(nuclide)
    pair, notes = _read(planar, device, source, head_order)
    pair, at = _on_one_clock(pair, at)
    _check_apart(at, pair, source)
    window = source.peak_index(pair.windows)
    mean_mbq = mean_activity(activity_mbq, at, pair, source)
    true = pair if device is None else without_dead_time(pair, device, source)
    heads = {v: _sensitivity(true.counts[n, window], pair.exposure_s * mean_mbq, activity_uncertainty, v)
             for n, v in enumerate(VIEWS)}  # fmt: skip
    recorded, put_back = (x.counts[:, window].sum(axis=(-1, -2), dtype=np.float64) for x in (pair, true))
    for head, rate in zip(heads.values(), recorded / pair.exposure_s, strict=True):
        head["rate_cps"] = float(rate)
    known = device is not None and device.tau_in(pair.windows[window], source) is not None
    lost = float((1.0 - recorded / put_back).max()) if known else None
    if known:
        notes = [*notes, *_told_of_dead_time(device.tau_from(pair.windows[window], source), source, lost)]
    else:
        _warn_of_dead_time(float(recorded.max()) / pair.exposure_s)
    values = np.array([h["cps_per_mbq"] for h in heads.values()])
    counting = np.array([h["net_counts_u"] / h["net_counts"] for h in heads.values()]) * values
    mean = float(values.mean())
    plausible.CALIBRATION.check(mean, "calibrate: the sensitivity found")
    scale = None if device is None else scale_of(mean, device, source, pair.windows[window])
    return {
        **heads,
        "calibration_cps_per_mbq": mean,
        "calibration_cps_per_mbq_u": math.hypot(float(np.linalg.norm(counting)) / 2, mean * activity_uncertainty),
        **_compared(scale),
        "activity_mbq": mean_mbq,
        "dead_time_loss": lost,
        "camera": camera,
        "nuclide": source.name,
        "window_kev": [pair.windows[window].low_kev, pair.windows[window].high_kev],
        "acquired_at": pair.acquired_at.isoformat(),
        "notes": notes,
    }


def _check_options(activity_mbq: float, activity_uncertainty: float, head_order: str | None) -> None:
    """Refuse options that cannot be, before any file is read."""
    if not (math.isfinite(activity_mbq) and activity_mbq > 0):
        raise InputError("calibrate --activity-mbq", f"{activity_mbq:g} MBq", "a positive activity in MBq")
    plausible.SOURCE_MBQ.check(activity_mbq, "calibrate --activity-mbq")
    if not 0 <= activity_uncertainty < 1:
        raise InputError(
            "calibrate --activity-uncertainty", f"{activity_uncertainty:g}", "a fraction from 0 to below 1"
        )
    if head_order not in (None, *HEAD_ORDERS):
        raise InputError("calibrate --head-order", f"'{head_order}'", f"one of {', '.join(HEAD_ORDERS)}")


def _read(planar: Path, device: Camera | None, source: Nuclide, head_order: str | None) -> tuple[PlanarPair, list[str]]:
    """Both views with a photopeak window, and notes on what the header left open, which are logged."""
    hand = Hand(head_order=head_order, flip_posterior=False)  # how the views lie does not change their sums
    found = read_planar(planar, device, WHERE, hand)
    notes = [note for note in found.notes if "flip_posterior" not in note]
    for note in notes:
        log.warning("%s: %s", WHERE, note)
    check_photopeak(found.pair, source, WHERE)
    return found.pair, notes


def _on_one_clock(pair: PlanarPair, at: datetime) -> tuple[PlanarPair, datetime]:
    """Both times without zone on one clock: that of `at` where both name their zone, else the camera's."""
    if at.tzinfo is not None and pair.acquired_at.tzinfo is None:
        raise InputError(
            "calibrate --at",
            f"{at.isoformat()} has a zone, the images have none",
            "the local time on the camera's clock",
        )
    return replace(pair, acquired_at=in_zone(pair.acquired_at, at.utcoffset())), at.replace(tzinfo=None)


def _check_apart(at: datetime, pair: PlanarPair, nuclide: Nuclide) -> None:
    """Refuse a time too far from the acquisition for the activity to be known there."""
    hours = hours_between(at, pair.mid_time)
    if abs(hours) > plausible.CALIBRATION_HALF_LIVES * nuclide.half_life_h:
        raise InputError(
            "calibrate --at",
            f"{at.isoformat()} is {abs(hours) / 24:.3g} days {'before' if hours > 0 else 'after'} the acquisition "
            f"({pair.acquired_at.isoformat()})",
            f"at most {plausible.CALIBRATION_HALF_LIVES:g} half-lives of {nuclide.name} before or after it",
            "give the time to which --activity-mbq refers",
        )


def mean_activity(activity_mbq: float, at: datetime, pair: PlanarPair, nuclide: Nuclide) -> float:
    """Activity (MBq) averaged over the exposure around the acquisition's mid-time.

    At the middle A exp(-lambda t); the average over an exposure T is larger by sinh(x)/x with x = lambda T / 2.
    """
    decay = decay_constant_per_h(nuclide.half_life_h)
    middle = activity_mbq * math.exp(-decay * hours_between(at, pair.mid_time))
    x = decay * pair.exposure_s / SECONDS_PER_HOUR / 2
    return middle * math.sinh(x) / x


def _sensitivity(image: np.ndarray, mbq_s: float, activity_uncertainty: float, view: str) -> dict:
    """Net counts of one head by a frame of background, and what follows from them; `mbq_s` is activity x time."""
    border = np.ones(image.shape, dtype=bool)
    rows, columns = (max(BORDER_LEAST, round(BORDER_SHARE * n)) for n in image.shape)
    border[rows:-rows, columns:-columns] = False
    if border.all():
        raise InputError(
            WHERE, f"an image of {image.shape[0]} x {image.shape[1]} pixels", "an image with room around the source"
        )
    inside, outside = float(image[~border].sum(dtype=np.float64)), float(image[border].sum(dtype=np.float64))
    scale = np.count_nonzero(~border) / np.count_nonzero(border)
    net, net_u = inside - scale * outside, math.sqrt(inside + scale**2 * outside)
    if net <= 3 * net_u:
        raise InputError(
            WHERE,
            f"{net:.0f} counts above the background in the {view} view, +- {net_u:.0f}",
            "a source inside the image that stands out from its border",
        )
    value = net / mbq_s
    return {
        "cps_per_mbq": value,
        "cps_per_mbq_u": value * math.hypot(net_u / net, activity_uncertainty),
        "net_counts": net,
        "net_counts_u": net_u,
        "background_counts": scale * outside,
    }


def _compared(scale: Scale | None) -> dict:
    """The computed sensitivity beside the measured one, with a warning where they are too far apart."""
    if scale is None:
        return dict.fromkeys(("computed_cps_per_mbq", "measured_over_computed", "scale_plausible"))
    if not scale.plausible:
        log.warning("%s: %s; check activity, its time, the window and the camera", WHERE, scale)
    return {
        "computed_cps_per_mbq": scale.computed,
        "measured_over_computed": scale.ratio,
        "scale_plausible": scale.plausible,
    }


def _told_of_dead_time(measured: str, source: Nuclide, lost: float) -> list[str]:
    """Tell where the dead time was `measured`, if not with this source, and warn of a large share `lost`; the notes."""
    if lost > MUCH_LOST:
        log.warning("%s: %.1f %% of the counts put back for dead time as in a patient; in air there is less "
                    "scatter and less is lost: the sensitivity may be too high by nearly as much; take a weaker source",
                    WHERE, 100 * lost)  # fmt: skip
    if not measured:
        return []
    note = f"corrected for dead time with {source.name} by one {measured}"
    log.info("%s: %s", WHERE, note)
    return [note]


def _warn_of_dead_time(rate_cps: float) -> None:
    """Warn of a rate whose dead time matters where none is known."""
    if rate_cps > FAST_CPS:
        log.warning("%s: %.0f counts/s, not corrected for dead time (no camera named, or no tau_us in its file): the "
                    "sensitivity may be too low by 1 %% and more; take a weaker source", WHERE, rate_cps)  # fmt: skip
