"""Step `register`: pose of a planar pair in the CT's coronal plane."""

import json
import logging
import math

from planardose.errors import InputError
from planardose.frames import PlanarPose
from planardose.io.files import write_text
from planardose.library import load_nuclide
from planardose.physics.attenuation import linear_attenuation_per_mm
from planardose.recon.fine import Fine, place
from planardose.recon.likeness import Size, fitted_size
from planardose.recon.placement import Placement
from planardose.recon.register import LEAST_UNCERTAINTY_MM, Images, Matcher, check_arrangement, check_misfit
from planardose.recon.register import register as search
from planardose.recon.setting import load_setting
from planardose.run import Run

log = logging.getLogger(__name__)
# Measured on Monte Carlo phantoms: own patient 0.96-0.99, of similar size 0.93-0.97.
OUTLINE_LIMIT = 0.95
# Size of the images for the best fit on the CT: right pairs of two demo cohorts 1.01 to 1.03 across and 0.997 to 1.010
# along, other patients' 0.82 to 1.19 and 0.92 to 1.20; a real CT's own 0.99 to 1.00 and 1.00 to 1.04 (1.04 with the few
# counts of 168 h). The limits leave room for breathing, which moves organs against bones, and for fat that takes up
# less than the rest; tighter ones (-3 to +8 % and 2.5 %) refused 17 more of 110 wrong pairs, and right images as well.
ACROSS_LIMITS = (0.94, 1.12)
ALONG_LIMITS = (0.92, 1.08)
CLEARLY = 3.0  # standard uncertainties of the size beyond a limit
# Share of unexplained counts: own patient 0.01-0.07, with a perturbed segmentation up to 0.21, another one 0.06-1.1.
MISFIT_LIMIT = 0.30


def check_outline(outline: float, where: str) -> None:
    """Refuse a planar image that shows another patient's outline."""
    if outline < OUTLINE_LIMIT:
        raise InputError(
            f"{where} planar",
            f"its body outline overlaps this patient's CT by {100 * outline:.1f} % only after registration",
            f"at least {100 * OUTLINE_LIMIT:.0f} %",
            "check that CT and planar show the same patient; if you know that they do, give "
            "patients.<id>.<timepoint>.same_patient: 'reason' in the config",
        )


def check_size(size: Size, where: str) -> None:
    """Refuse a planar image of a body that is clearly larger or smaller than this patient's."""
    for name, value, u, (low, high) in (
        ("across", size.across, size.across_u, ACROSS_LIMITS),
        ("along", size.along, size.along_u, ALONG_LIMITS),
    ):
        if not low - CLEARLY * u <= value <= high + CLEARLY * u:
            raise InputError(
                f"{where} planar",
                f"its body fits this patient's CT best when the images are made {100 * abs(value - 1):.1f} % "
                f"{'larger' if value > 1 else 'smaller'} {name} the body",
                f"{100 * (low - 1):+.1f} to {100 * (high - 1):+.1f} %",
                "check that CT and planar show the same patient, and the pixel size; if you know that they do, give "
                "patients.<id>.<timepoint>.same_patient: 'reason' in the config",
            )


def uncertainties(organs: tuple[str, ...], fine: Fine | None) -> dict:
    """What is known of a placement, for the registration file; nothing of one set by hand."""
    if fine is None:
        return {"uncertainty_mm": None, "organs_u_mm": {}, "activity_u": {}}
    u, relative = fine.uncertainty, zip(organs, fine.activity_u, strict=True)
    return {
        "uncertainty_mm": round(math.hypot(max(u["x"], u["z"]), LEAST_UNCERTAINTY_MM), 4),
        "organs_u_mm": {o: [round(u[f"{o} {axis}"], 3) for axis in "xz"] for o in fine.placement.organs},
        "activity_u": {o: round(float(r), 5) for o, r in relative},
    }


def register(run: Run, patient: str, timepoint: str) -> None:
    """Register one time point and write its pose.

    Raises
    ------
    InputError
        If an earlier output is missing, or the counts do not fit this patient's CT at any pose.
    """
    setting, hand = load_setting(run, patient, timepoint), run.config.hand(patient, timepoint)
    images = Images(setting.photopeak(), setting.pair.pixel_mm)
    model, total = setting.model, setting.responses.total
    fine = None
    if hand.shift_mm is not None:
        pose = PlanarPose(hand.shift_mm[0], hand.shift_mm[1], hand.rotation_deg)
        misfit = Matcher(model, total, images).misfit(pose)
        shift, before, method, size, placement = (0.0, 0.0), misfit, "by hand", None, Placement(pose)
    else:
        limits = run.config.registration
        found = search(model, total, images, limits.max_shift_mm, limits.max_rotation_deg)
        pose, before, misfit = found.pose, found.misfit_before, found.misfit_after
        check_arrangement(model, total, images, limits.max_shift_mm, misfit, setting.where)
        size = fitted_size(model, total, images, pose)
        if hand.same_patient is None:
            check_outline(found.outline, setting.where)
            check_size(size, setting.where)
        check_misfit(misfit, MISFIT_LIMIT, setting.where)
        mu = linear_attenuation_per_mm("water", load_nuclide(setting.nuclide_name).imaged_line().energy_kev)
        fine = place(setting.projector, model, total, images, pose, mu, limits.max_rotation_deg)
        placement, method = fine.placement, "search"
        shift = placement.pose.x_mm - found.start.x_mm, placement.pose.z_mm - found.start.z_mm
    result = placement.told() | {
        "misfit_before": round(before, 6),
        "misfit_after": round(misfit, 6),
        "misfit_limit": MISFIT_LIMIT,
        "misfit_placed": None if fine is None else round(fine.misfit, 6),
        "shift_from_outline_mm": [round(s, 4) for s in shift],
        "method": method,
        "size_of_best_fit": None if size is None else [round(size.across, 4), round(size.along, 4)],
        "size_uncertainty": None if size is None else [round(size.across_u, 4), round(size.along_u, 4)],
    }
    result |= uncertainties(model.organs, fine)
    output = run.path("registration", patient=patient, timepoint=timepoint)
    write_text(output, json.dumps(result, indent=1) + "\n")
    sources = [
        run.path("model", patient=patient),
        run.path("planar", patient=patient, timepoint=timepoint),
    ]
    run.sidecar(output, "register", "pose of the planar images in the CT's coronal plane", "mm, degrees", sources)
    at = placement.pose
    log.info("%s %s: x %.1f mm, z %.1f mm, misfit %.3f", patient, timepoint, at.x_mm, at.z_mm, misfit)
