"""What the patient's page tells of one planar acquisition."""

from planardose.patient_model import PatientModel
from planardose.physics.calibration import Scale, uncalibrated_relative_u
from planardose.recon.uncertainty import calibration_relative_u
from planardose.report.images import registration_figure, views_figure
from planardose.report.patient_page import TimePointInput
from planardose.report.text import hours as hours_text
from planardose.report.text import number, percent
from planardose.run import Run
from planardose.steps.cycle_points import CyclePoints
from planardose.steps.planar_points import PlanarPoint
from planardose.steps.report_views import before_after, views_of

CLEAR_MOVE = 2.0  # standard uncertainties


def planar_point(
    run: Run, point: PlanarPoint, points: CyclePoints, n: int, summary: dict, model: PatientModel
) -> TimePointInput:
    """One acquisition, time point `n` of a cycle, with its facts as text."""
    name, pair, camera = point.name, point.pair, point.camera
    keys = {"patient": point.row.patient, "timepoint": name}
    views = views_of(run, **keys, method=summary["method"], model=model)
    pose = run.content("registration", "register", **keys)
    distance, lost = pair.detector_distance_mm, point.lost_by_dead_time
    counts = pair.counts[:, point.peak].sum(axis=(1, 2), dtype=float)
    facts = (
        ("After injection", hours_text(points.hours[n])),
        ("Start of acquisition", f"{pair.acquired_at:%Y-%m-%d %H:%M}"),
        ("Camera", f"{camera.vendor}, {camera.collimator}, {camera.crystal_mm:g} mm NaI"),
        ("Windows, keV", "; ".join(f"{w.low_kev:g}–{w.high_kev:g}" for w in pair.windows)),
        ("Scatter windows, keV", point.scatter_windows),
        ("Exposure of a point, duration", f"{pair.exposure_s:.0f} s, {pair.duration_s / 60:.1f} min"),
        ("Matrix, pixel", f"{pair.counts.shape[2]} × {pair.counts.shape[3]}, {pair.pixel_mm[0]:.2f} mm"),
        *([] if pair.more is None else [("Oblique views", ", ".join(f"{a:g}°" for a in pair.more.angles_deg))]),
        ("Collimator to body axis", "not stated" if distance is None else f"{distance[0]:.0f} / {distance[1]:.0f} mm"),
        ("Photopeak counts, ant. / post.", " / ".join(number(float(c)) for c in counts)),
        ("Counts lost by dead time", "not known" if lost is None else percent(lost, 1)),
        ("Calibration, per head in air", scale_text(summary["scale"][name])),
        ("Position x, z; rotation", f"{pose['x_mm']:z.1f}, {pose['z_mm']:z.1f} mm; {pose['rotation_deg']:z.2f}°"),
        ("Position found", _found(pose)),
        ("Misfit before → after; placed", _misfits(pose)),
        ("Posterior head x, z; rotation", _head(pose)),
        ("Organs moved, x / z", _moves(pose)),
    )
    if run.cohort.has_prior(point.row.patient):
        prior = run.content("prior_decision", "reconstruct", **keys)
        facts += (("Prior image", _prior_text(prior)),)
    gate = run.content("gate", "reconstruct", **keys)
    figures = views_figure(views), registration_figure(before_after(run, **keys, spacing_mm=views.spacing_mm))
    return TimePointInput(name, points.cycle, float(points.hours[n]), facts, gate, *figures)


def scale_text(s: dict) -> str:
    """The sheet's calibration beside the computed sensitivity, with its uncertainty."""
    measured, computed = s["measured_cps_per_mbq"], s["computed_cps_per_mbq"]
    if measured is None:
        return f"none; computed for the camera type, {computed:.3g} cps/MBq; ± {percent(uncalibrated_relative_u())}"
    stated = s["measured_cps_per_mbq_u"]
    assumed = " (assumed)" if stated is None else ""
    return f"{Scale(measured, computed)}; ± {percent(calibration_relative_u(measured, stated))}{assumed}"


def _prior_text(prior: dict) -> str:
    """Whether the prior image is used, why, and how much better the counts are explained with it."""
    if not prior["used"]:
        return f"not used: {prior['reason']}"
    gain = percent(1.0 - prior["misfit_with"] / prior["misfit_without"], 0)
    return (
        f"used: {gain} less misfit; texture {100 * prior['texture_weight']:.0f} %, {len(prior['foci'])} foci; "
        f"moved {', '.join(f'{s:z.1f}' for s in prior['shift_mm'])} mm"
    )


def _found(pose: dict) -> str:
    """How the position was found, how well, and how far from the outlines' match."""
    known = pose["uncertainty_mm"]  # an older version had none of a pose by hand
    u = "uncertainty not known" if known is None else f"± {known:.1f} mm"
    if pose["method"] != "search":
        return f"{pose['method']}, {u}"
    x, z = pose["shift_from_outline_mm"]
    return f"by {pose['method']}, {u}; {x:z.0f}, {z:z.0f} mm from outline"


def _misfits(pose: dict) -> str:
    placed = pose["misfit_placed"]
    limit = percent(pose["misfit_limit"], 0)
    text = f"{percent(pose['misfit_before'], 1)} → {percent(pose['misfit_after'], 1)} (refused above {limit})"
    if pose["misfit_with_foci"] is not None:
        text = f"{text}; {percent(pose['misfit_with_foci'], 1)} with foci"
    return text if placed is None else f"{text}; {percent(placed, 1)}"


def _head(pose: dict) -> str:
    x, z, turn = pose["posterior_head"]
    return f"{x:z.1f}, {z:z.1f} mm; {turn:z.2f}°" if any(pose["posterior_head"]) else "as the anterior"


def _moves(pose: dict) -> str:
    """Organs that lay clearly elsewhere than in the CT."""
    moves, u = pose["organs_mm"], pose["organs_u_mm"]
    clear = [o for o in moves if max(abs(m) / s for m, s in zip(moves[o], u[o], strict=True)) > CLEAR_MOVE]
    told = [f"{o.replace('_', ' ')} {moves[o][0]:z.0f} / {moves[o][1]:z.0f} mm" for o in clear]
    return "; ".join(told) or "none clearly"
