"""Step `register`: place of a planar pair in the CT's coronal plane."""

import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from planardose.config import Registration
from planardose.frames import PlanarPose
from planardose.io.files import atomic, write_text
from planardose.library import load_nuclide
from planardose.physics.attenuation import linear_attenuation_per_mm
from planardose.planar import rebin
from planardose.recon.fine import Fine, kept, place
from planardose.recon.likeness import fitted_size
from planardose.recon.matcher import Images, Matcher
from planardose.recon.placement import Placement
from planardose.recon.register import register as search
from planardose.recon.setting import Setting, load_setting
from planardose.run import Run
from planardose.steps.registration_checks import (
    MISFIT_LIMIT,
    check_arrangement,
    check_misfit,
    check_outline,
    check_shown,
    check_size,
    misfit_with_foci,
)

log = logging.getLogger(__name__)
LEAST_UNCERTAINTY_MM = 1.0  # texture within organs moves the optimum by about this on Monte Carlo data
SHOWN_NOTED = 0.99  # share of the body in the CT: with less in the images it is told


def shown_share(matcher: Matcher, pose: PlanarPose, where: str) -> float:
    """Share of the body in the CT that the images show at a pose; what is missing is told."""
    cells = np.minimum(rebin(matcher.ones, matcher.images.pixel_mm, matcher.grid, pose)[0] / matcher.cell, 1.0)
    share = float(cells[matcher.body].mean())
    if share < SHOWN_NOTED:
        low, high = matcher.grid.axis_mm(2)[np.flatnonzero((cells > 0.5).any(axis=0))[[0, -1]]]
        log.warning(
            "%s planar: the images show %.1f %% of the body in the CT, z from %.0f to %.0f mm; beyond them nothing is "
            "measured", where, 100 * share, low, high,
        )  # fmt: skip
    return share


def uncertainties(organs: tuple[str, ...], fine: Fine) -> dict:
    """What is known of a placement, for the registration file."""
    u, relative = fine.uncertainty, zip(organs, fine.activity_u, strict=True)
    return {
        "uncertainty_mm": round(math.hypot(max(u["x"], u["z"]), LEAST_UNCERTAINTY_MM), 4),
        "organs_u_mm": {o: [round(u[f"{o} {axis}"], 3) for axis in "xz"] for o in fine.placement.organs},
        "activity_u": {o: round(float(r), 5) for o, r in relative},
    }


def write_views(run: Run, patient: str, timepoint: str, before: tuple, after: tuple) -> None:
    """Counts and fit, each (2, I, K), at the start and as placed, for the patient's page."""
    path = run.path("registration_views", patient=patient, timepoint=timepoint)
    arrays = dict(
        zip(("counts_before", "expected_before", "counts_after", "expected_after"), (*before, *after), strict=True)
    )
    with atomic(path) as temporary:
        np.savez_compressed(temporary, **{name: image.astype(np.float32) for name, image in arrays.items()})
    sources = [run.path("planar", patient=patient, timepoint=timepoint)]
    run.sidecar(path, "register", "photopeak counts and fit before and after the registration", "counts", sources)


@dataclass(frozen=True)
class Outcome:
    """What a registration writes: the placement, further entries of its file, and both pairs of views."""

    placement: Placement
    told: dict
    before: tuple[np.ndarray, np.ndarray]
    after: tuple[np.ndarray, np.ndarray]


def by_hand(setting: Setting, images: Images, pose: PlanarPose) -> Outcome:
    """The pose that the user gave, with its misfit and the uncertainty that the counts leave of it."""
    mu = linear_attenuation_per_mm("water", load_nuclide(setting.nuclide_name).imaged_line().energy_kev)
    matcher = Matcher(setting.model, setting.responses.total, images)
    check_shown(matcher, pose, setting.where)
    fine = kept(setting.model, setting.tissues.responses.total, images, pose, mu)
    misfit = round(matcher.misfit(pose), 6)
    told = {
        "misfit_before": misfit,
        "misfit_after": misfit,
        "misfit_placed": None,
        "misfit_with_foci": None,
        "shift_from_outline_mm": [0.0, 0.0],
        "method": "by hand",
        "size_of_best_fit": None,
        "size_uncertainty": None,
    }
    shown = matcher.shown(pose)
    return Outcome(fine.placement, told | uncertainties(setting.model.organs, fine), shown, shown)


def by_search(
    setting: Setting,
    images: Images,
    limits: Registration,
    same_patient: str | None,
    with_projector: Callable[[], Setting],
) -> Outcome:
    """The placement that explains the counts best.

    Parameters
    ----------
    setting : Setting
    images : Images
    limits : Registration
    same_patient : str or None
        Why the images are taken for this patient's whatever the counts say; None: the counts decide.
    with_projector : callable
        Gives the setting with a `Projector`, which is asked for only where the organs leave much unexplained.

    Raises
    ------
    InputError
        If the counts do not fit this patient's CT at any pose.
    """
    model, total, where = setting.model, setting.responses.total, setting.where
    found = search(model, total, images, limits.max_shift_mm, limits.max_rotation_deg)
    check_arrangement(setting, images, limits, found, with_projector)
    size = fitted_size(model, total, images, found.pose)
    if same_patient is None:
        check_outline(found.outline, where)
        check_size(size, where)
    mu = linear_attenuation_per_mm("water", load_nuclide(setting.nuclide_name).imaged_line().energy_kev)
    fine = place(model, setting.tissues.responses.total, images, found.pose, mu, limits.max_rotation_deg)
    pose, beside_foci = fine.placement.pose, None
    if found.misfit_after > MISFIT_LIMIT and same_patient is None:
        beside_foci = misfit_with_foci(with_projector(), fine.placement)
        check_misfit(beside_foci, where)
    told = {
        "misfit_before": round(found.misfit_before, 6),
        "misfit_after": round(found.misfit_after, 6),
        "misfit_placed": round(fine.misfit, 6),
        "misfit_with_foci": None if beside_foci is None else round(beside_foci, 6),
        "shift_from_outline_mm": [round(pose.x_mm - found.start.x_mm, 4), round(pose.z_mm - found.start.z_mm, 4)],
        "method": "search",
        "size_of_best_fit": [round(size.across, 4), round(size.along, 4)],
        "size_uncertainty": [round(size.across_u, 4), round(size.along_u, 4)],
    }
    before = Matcher(model, total, images).shown(found.start)
    return Outcome(fine.placement, told | uncertainties(model.organs, fine), before, (fine.counts, fine.expected))


def register(run: Run, patient: str, timepoint: str) -> None:
    """Register one time point and write its placement.

    Raises
    ------
    InputError
        If an earlier output is missing or the counts do not fit this patient's CT at any pose.
    """
    setting, hand = load_setting(run, patient, timepoint), run.config.hand(patient, timepoint)
    images = Images(setting.photopeak(), setting.pair.pixel_mm)

    @cache
    def with_projector() -> Setting:
        from planardose.recon.projector import Projector  # torch, which few images need here

        return load_setting(run, patient, timepoint, Projector)

    if hand.shift_mm is not None:
        outcome = by_hand(setting, images, PlanarPose(hand.shift_mm[0], hand.shift_mm[1], hand.rotation_deg))
    else:
        outcome = by_search(setting, images, run.config.registration, hand.same_patient, with_projector)
    shown = shown_share(Matcher(setting.model, setting.responses.total, images), outcome.placement.pose, setting.where)
    write_views(run, patient, timepoint, outcome.before, outcome.after)
    result = outcome.placement.told() | {"misfit_limit": MISFIT_LIMIT, "shown": round(shown, 4)} | outcome.told
    output = run.path("registration", patient=patient, timepoint=timepoint)
    write_text(output, json.dumps(result, indent=1) + "\n")
    sources = [
        run.path("model", patient=patient),
        run.path("planar", patient=patient, timepoint=timepoint),
    ]
    run.sidecar(output, "register", "place of the planar images in the CT's coronal plane", "mm, degrees", sources)
    at, misfit = outcome.placement.pose, outcome.told["misfit_after"]
    log.info("%s %s: %s, misfit %.3f", patient, timepoint, f"x {at.x_mm:z.1f} mm, z {at.z_mm:z.1f} mm", misfit)
