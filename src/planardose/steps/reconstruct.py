"""Step `reconstruct`: every method of the config for one time point, organ rows, and the consistency gate."""

import json
import logging
from dataclasses import replace

import numpy as np

from planardose.cohort import Row
from planardose.errors import InputError
from planardose.image import Volume
from planardose.io.files import atomic, write_text
from planardose.io.nifti import write_volume
from planardose.io.views_file import save_views
from planardose.recon import gate
from planardose.recon.foci_table import foci_lines
from planardose.recon.organ_table import COLUMNS, organ_lines
from planardose.recon.organ_totals import in_ct
from planardose.recon.projector import Projector
from planardose.recon.qplanar import LEAST_IN_SIGHT
from planardose.recon.setting import Setting, load_setting
from planardose.run import Run
from planardose.steps.estimates import FALLBACK, Estimates
from planardose.units import BQ_PER_MBQ, rounded

log = logging.getLogger(__name__)
# In the body. 74 right acquisitions of make-demo (seeds 7, 6001) have 0.02 to 0.84, as their reports print ("of the
# administered, decay-corrected"), and a calibration may be off by a third.
MOST_OF_INJECTION = 2.0


def _device(run: Run) -> str:
    """Of the networks: a GPU where there is one and `diffusion` draws; a cluster may run this step on a node without.

    The U-Net's map takes less on the CPU than CUDA to start, and without draws any number of these jobs run at once.
    """
    if "diffusion" not in run.config.methods or run.config.device == "cpu":
        return "cpu"
    from planardose.learn.device import device_of  # heavy, as all that networks take

    return device_of("auto")


def decision(gates: dict[str, gate.Gate], wanted: str, accepted: str | None) -> dict:
    """Which map is dosed: the wanted one when its gate passes or the user accepts it, else the fallback, visibly."""
    passed = wanted not in gates or gates[wanted].passed or accepted is not None
    chosen = wanted if passed or FALLBACK not in gates else FALLBACK
    used = accepted if wanted in gates and not gates[wanted].passed else None
    return {"chosen": chosen, "status": "ok" if passed else "fallback", "accepted": used}


QUANTITY = "activity concentration at mid-time of the acquisition"
QUANTITY_U = "standard uncertainty of the " + QUANTITY


def _write_map(
    run: Run, path, setting: Setting, activity: np.ndarray, method: str, sources: list, quantity: str = QUANTITY
) -> None:
    grid = setting.model.ct_grid
    bq_ml = in_ct(setting.model, activity) * (BQ_PER_MBQ / grid.voxel_ml)
    write_volume(path, Volume(bq_ml, grid, quantity, "Bq/mL"))
    run.sidecar(path, "reconstruct", quantity, "Bq/mL", sources, method=method, calibrated=setting.calibrated)


def check_total(row: Row, setting: Setting, found_mbq: float) -> None:
    """Refuse an activity that no injection explains: a slip in a unit or a time. The report tells of smaller ones."""
    left_mbq = row.left_mbq(setting.pair.mid_time)
    if found_mbq > MOST_OF_INJECTION * left_mbq:
        raise InputError(
            f"{row.where} planar",
            f"its counts are {found_mbq:.4g} MBq in this patient, {found_mbq / left_mbq:.2g} times what is left of the "
            f"injection ({left_mbq:.4g} MBq)",
            f"at most {MOST_OF_INJECTION:g} times",
            "check injected_mbq, the times, the calibration, and duration or scan velocity of the images",
        )


def reconstruct(run: Run, patient: str, timepoint: str) -> None:
    """Compute every method for one time point.

    Raises
    ------
    InputError
        If an earlier output is missing, the acquisition's windows do not fit the nuclide, or far more activity is found
        than was injected.
    """
    keys = {"patient": patient, "timepoint": timepoint}
    registration = run.content("registration", "register", patient=patient, timepoint=timepoint)
    setting = load_setting(run, patient, timepoint, Projector, _device(run))
    sources = [run.path(k, **keys) for k in ("model", "planar", "registration")]
    estimates = Estimates(run, patient, timepoint, setting, registration)
    check_total(run.cohort.row(patient, timepoint), setting, estimates.total_mbq)
    if not estimates.has_scatter_window:
        log.warning("%s %s: no window tells the scatter in the photopeak; all scatter is modelled", patient, timepoint)
    _warn_of_cut(estimates, f"{patient} {timepoint}")
    lines, views, gates = [COLUMNS], {}, {}
    for method in run.config.methods:
        if method == "conjugate_view":
            lines += organ_lines(setting.model, method, estimates.conjugate_rows())
            continue
        activity = estimates.map(method)
        _write_maps(run, keys, estimates, method, activity, sources)
        rows = estimates.fitted.rows(activity, estimates.fit)
        lines += organ_lines(setting.model, method, rows, estimates.uncertainty(method, rows))
        views[method] = estimates.expected(activity)
        gates[method] = estimates.checked(method, activity)
        log.info("%s %s %s: deviance %.2f", patient, timepoint, method, gates[method].deviance)
    _write_organs(run, keys, estimates, lines, sources)
    path = run.path("views", **keys)
    save_views(path, estimates.measured.counts, views)
    run.sidecar(path, "reconstruct", "measured and re-projected photopeak counts", "1", sources)
    _write_foci(run, keys, estimates, sources)
    _write_prior(run, keys, estimates, sources)
    _write_gate(run, keys, gates, estimates.consistency(), sources)


def _warn_of_cut(estimates: Estimates, where: str) -> None:
    cut = estimates.cut()
    hidden = [o for o, share in cut.items() if share <= LEAST_IN_SIGHT]
    part = [o for o in cut if o not in hidden]
    if hidden:
        log.warning("%s: not in the images, their activity is not known: %s", where, ", ".join(hidden))
    if part:
        log.warning("%s: partly in the images, taken to hold beyond them what they hold there: %s", where,
                    ", ".join(part))  # fmt: skip


def _write_maps(run: Run, keys: dict, estimates: Estimates, method: str, activity: np.ndarray, sources: list) -> None:
    """A method's map (I, J, K) MBq per voxel, and that of its uncertainty where it has one."""
    setting = estimates.setting
    made_of = [*sources, *(run.path(k, patient=keys["patient"]) for k in run.config.weights_of(method))]
    _write_map(run, run.path("map", method=method, **keys), setting, activity, method, made_of)
    if method in estimates.map_u:
        u_map = np.hypot(estimates.map_u[method], setting.calibration_u * activity)
        _write_map(run, run.path("map_u", method=method, **keys), setting, u_map, method, made_of, QUANTITY_U)


def _write_organs(run: Run, keys: dict, estimates: Estimates, lines: list[str], sources: list) -> None:
    setting, path = estimates.setting, run.path("organs", **keys)
    split = zip(setting.model.organs, estimates.fitted.split(estimates.fit), strict=True)
    with atomic(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n")
    run.sidecar(
        path,
        "reconstruct",
        "organ activity at mid-time",
        "MBq",
        sources,
        calibrated=setting.calibrated,
        calibration_relative_u=rounded(setting.calibration_u),
        uncertainty_terms=_terms(estimates),
        conjugate_view_scatter="energy windows" if estimates.has_scatter_window else "modelled",
        share_in_images=estimates.cut(),
        split_by_mbq_ml={o: rounded(c) for o, c in split},
        **({} if estimates.centre_y_mm is None else _views_told(setting, estimates.centre_y_mm)),
    )


def _terms(estimates: Estimates) -> dict[str, dict[str, float | None]]:
    """Organ -> what its uncertainty is made of, for a calibration on other cohorts."""
    t, virtual = estimates.terms, estimates.relative_u
    rows = zip(estimates.model.organs, t.counts_mbq, t.counting_mbq, t.spread_mbq, t.holds_mbq, strict=True)
    return {
        o: {
            "counts_mbq": rounded(counts) if np.isfinite(counts) else None,
            "counting_mbq": rounded(counting),
            "spread_mbq": rounded(spread),
            "holds_mbq": rounded(holds),
            "virtual": rounded(virtual.get(o, 0.0)),
        }
        for o, counts, counting, spread, holds in rows
    }


def _write_foci(run: Run, keys: dict, estimates: Estimates, sources: list) -> None:
    fitted, path = estimates.fitted, run.path("foci", **keys)
    mbq = fitted.focus_mbq(estimates.fit)
    write_text(path, "\n".join(foci_lines(fitted.foci, fitted.model, mbq, estimates.setting.calibration_u)) + "\n")
    run.sidecar(path, "reconstruct", "foci of activity that no outline tells of", "mm, MBq", sources)
    if len(mbq):
        log.info("%s %s: %d foci of activity that no outline tells of, %.3g MBq", *keys.values(), len(mbq), mbq.sum())


def _write_prior(run: Run, keys: dict, estimates: Estimates, sources: list) -> None:
    told, path = estimates.fitted.told(estimates.fit), run.path("prior_decision", **keys)
    if run.cohort.has_prior(keys["patient"]):
        sources = [*sources, run.path("prior", patient=keys["patient"])]
        log.info("%s %s prior image: %s, %s", *keys.values(), "used" if told["used"] else "not used", told["reason"])
    write_text(path, json.dumps(told, indent=1) + "\n")
    run.sidecar(path, "reconstruct", "decision on the prior image", "mm, MBq", sources)


def _views_told(setting: Setting, centre_y_mm: float) -> dict:
    return {"views_deg": [h.angle_deg for h in setting.more.heads], "centre_of_rotation_y_mm": rounded(centre_y_mm)}


def _write_gate(run: Run, keys: dict, gates: dict[str, gate.Gate], inputs: dict, sources: list) -> None:
    """Every map fails where the inputs do not belong together: no method makes up for that."""
    gates = {m: replace(g, passed=g.passed and inputs["passed"]) for m, g in gates.items()}

    def told(g: gate.Gate) -> dict:
        strips = [[rounded(d) for d in view] for view in g.strips]
        organs = {o: [rounded(d) for d in views] for o, views in g.organs.items()}
        overall = {"deviance": rounded(g.deviance), "deviance_of_map": rounded(g.deviance_of_map)}
        return overall | {"per_view_strip": strips, "per_organ": organs, "passed": g.passed}

    accepted = run.config.hand(keys["patient"], keys["timepoint"]).accept_gate
    result = {m: told(g) for m, g in gates.items()} | decision(gates, run.config.map_method, accepted)
    result["inputs"] = inputs
    path = run.path("gate", **keys)
    write_text(path, json.dumps(result | {"limit": run.config.reconstruction.gate_deviance}, indent=1) + "\n")
    run.sidecar(path, "reconstruct", "deviance of the re-projected maps; U-Net: after one MLEM step", "1", sources)
