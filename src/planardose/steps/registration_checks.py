"""Whether registered images are this patient's and their views the right way round: what `register` refuses."""

import logging
from collections.abc import Callable
from dataclasses import replace

from planardose.cohort import key_by_hand
from planardose.config import Registration
from planardose.errors import InputError
from planardose.frames import PlanarPose
from planardose.planar import PlanarPair
from planardose.recon.arrangement import Arrangement, best_rival
from planardose.recon.gate import judged_cells
from planardose.recon.likeness import Size
from planardose.recon.matcher import Images, Matcher, unexplained
from planardose.recon.placement import Placement
from planardose.recon.qplanar import qplanar
from planardose.recon.register import Registered
from planardose.recon.setting import Setting

log = logging.getLogger(__name__)
# Measured on Monte Carlo phantoms: own patient 0.96-0.99 (0.938 or more with arms beside the body that the CT does not
# show), of similar size 0.93-0.97.
OUTLINE_LIMIT = 0.935
# Size of the images for the best fit on the CT: right pairs of two demo cohorts 1.01 to 1.03 across and 0.997 to 1.010
# along, other patients' 0.82 to 1.19 and 0.92 to 1.20; a real CT's own 0.99 to 1.00 and 1.00 to 1.04 (1.04 with the few
# counts of 168 h). The limits leave room for breathing, which moves organs against bones, and for fat that takes up
# less than the rest; tighter ones (-3 to +8 % and 2.5 %) refused 17 more of 110 wrong pairs, and right images as well.
ACROSS_LIMITS = (0.94, 1.12)
ALONG_LIMITS = (0.92, 1.08)
CLEARLY = 3.0  # standard uncertainties of the size beyond a limit
# Share of unexplained counts (`recon.matcher.unexplained`). `benchmarks/wrong_pairs` on the demo of seed 7: right pairs
# 0.02 to 0.11, as much with the true outlines as with the demo's perturbed ones; other patients' 0.10 to 0.23. Right
# pairs of a patient of seed 3 have 0.07 to 0.14. Poor segmentations had up to 0.21, so the limit cannot tell
# every other patient: outline and size are judged as well. Bright lesions that nobody outlined leave up to 0.53; where
# the organs leave more than the limit, foci are searched for and the rest is judged: 0.03 to 0.08 then
# (`benchmarks/nuclides`, P05).
MISFIT_LIMIT = 0.30
# Another arrangement of the views is the right one where the ratio of its misfit to that of the one that is told, times
# the same ratio with foci, is smaller. 109 wrong arrangements of validation patients came to 0.70 at most; right ones
# are not asked but for bright lesions, and came to 1.6 and more. Foci alone do not tell: nine of them explained
# exchanged heads of few counts.
CLEARLY_BETTER = 0.8
LEAST_MISFIT = 0.01  # that foci can leave is noise


def check_shown(matcher: Matcher, pose: PlanarPose, where: str) -> None:
    """Refuse a pose set by hand at which the images show no body."""
    if not (matcher.seen(pose)[1] & matcher.body).any():
        raise InputError(
            f"{where} planar",
            f"at x {pose.x_mm:g}, z {pose.z_mm:g} mm its images show none of the body in the CT",
            "a pose at which they do",
            f"check {key_by_hand(where)}.shift_mm in the config",
        )


def check_outline(outline: float, where: str) -> None:
    """Refuse a planar image that shows another patient's outline."""
    if outline < OUTLINE_LIMIT:
        raise InputError(
            f"{where} planar",
            f"its body outline overlaps this patient's CT by {100 * outline:.1f} % only after registration",
            f"at least {100 * OUTLINE_LIMIT:.1f} %",
            "check that CT and planar show the same patient; if you know that they do, give "
            f"{key_by_hand(where)}.same_patient: 'reason' in the config",
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
                f"{key_by_hand(where)}.same_patient: 'reason' in the config",
            )


def misfit_with_foci(setting: Setting, placement: Placement) -> float:
    """Share of the counts that organs and foci leave unexplained: bright lesions that nobody outlined are no sign of
    another patient, what is missing beside them is.

    The setting's projector is a `Projector`; takes as long as the search for foci in `reconstruct`.
    """
    from planardose.recon.patient_sources import even_sources, with_foci  # torch

    acquired = setting.acquired_at(placement)
    fitted = with_foci(even_sources(setting), setting, acquired)
    fit = qplanar(setting.projector, fitted.sources, acquired, fitted.responses)
    misfit = unexplained(acquired.counts, fit.expected, judged_cells(setting.model, acquired.of_body))
    log.info("%s: %d foci leave %.3f of the counts unexplained", setting.where, len(fitted.foci.found), misfit)
    return misfit


def check_misfit(misfit: float, where: str) -> None:
    """Refuse a planar image that this anatomy cannot explain."""
    if misfit > MISFIT_LIMIT:
        raise InputError(
            f"{where} planar",
            f"{100 * misfit:.0f} % of its counts do not fit this patient's CT after registration",
            f"at most {100 * MISFIT_LIMIT:.0f} %",
            "check that CT and planar show the same patient, no view is mirrored and the labels hold every bright "
            f"organ; if you know that all is right, give {key_by_hand(where)}.same_patient: 'reason' in the config",
        )


def check_arrangement(
    setting: Setting,
    images: Images,
    limits: Registration,
    found: Registered,
    with_projector: Callable[[], Setting],
) -> None:
    """Refuse views that the patient explains clearly better with the heads exchanged, mirrored or upside down.

    Parameters
    ----------
    setting, images, limits
        What was registered, and how far.
    found : Registered
        Of the images as they are.
    with_projector : callable
        Gives the setting with a `Projector`, which is asked for only where another arrangement may be the right one.

    Raises
    ------
    InputError
        Naming what puts the views right.
    """
    rival = best_rival(
        setting.model, setting.responses.total, images, limits.max_shift_mm, limits.max_rotation_deg, found.misfit_after
    )
    if rival is None:
        return
    as_told = with_projector()
    arranged = ((as_told, found), (_arranged(as_told, rival.arrangement), rival))
    own, other = (max(misfit_with_foci(s, Placement(r.pose)), LEAST_MISFIT) for s, r in arranged)
    if rival.misfit / found.misfit_after * other / own < CLEARLY_BETTER:
        key, told = key_by_hand(setting.where), f"{100 * found.misfit_after:.0f} % of its counts do not fit"
        put_right = rival.arrangement.key and f"{key}.{rival.arrangement.key} in the config puts them right"
        as_seen = f"export the images as the camera saw them, or give {key}.shift_mm if they are right"
        raise InputError(
            f"{setting.where} planar",
            f"{told} this patient's CT, {100 * rival.misfit:.0f} % {rival.arrangement.name}",
            "the anterior and the posterior view as the camera sees them",
            f"look at the images; {put_right or as_seen}",
        )


def _arranged(setting: Setting, arrangement: Arrangement) -> Setting:
    """The setting with its views put right."""
    counts = PlanarPair.counts_from_ras(arrangement.put_right(setting.pair.ras()))
    return replace(setting, pair=replace(setting.pair, counts=counts))
