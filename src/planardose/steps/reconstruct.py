"""Step `reconstruct`: every method of the config for one time point, organ rows, and the consistency gate."""

import json
import logging
import math
from dataclasses import replace

import numpy as np

from planardose.image import Volume
from planardose.io.files import atomic, write_text
from planardose.io.nifti import write_volume
from planardose.io.views_file import save_views
from planardose.library import load_nuclide
from planardose.patient_model import PatientModel
from planardose.physics.attenuation import mu_per_mm
from planardose.recon import consistency, gate
from planardose.recon.all_views import with_all_views
from planardose.recon.conjugate_view import conjugate_view
from planardose.recon.mlem import flat_start, mlem
from planardose.recon.organ_totals import in_ct
from planardose.recon.placement import Placement
from planardose.recon.projector import Projector
from planardose.recon.qplanar import OrganFit, qplanar, with_modelled_scatter
from planardose.recon.setting import Setting, load_setting
from planardose.recon.texture_error import texture_spread
from planardose.recon.uncertainty import Uncertainty, calibration_relative_u, fit_terms, standard_uncertainty
from planardose.run import Run
from planardose.steps.prior_use import fitted_sources
from planardose.units import BQ_PER_MBQ

log = logging.getLogger(__name__)
FALLBACK = "qplanar_mlem"
# One MLEM step after the network makes its map explain the counts, so that the gate can tell a wrong input from a right
# one. On three demo acquisitions the deviance fell from 1.6-6.8 to 0.5-0.8; with a shift of 15 to 30 mm or a mirrored
# or swapped view it is 0.95-5.3. NRMSE fell by 3 to 4 %, MAE changed by -4 to +7 %.
AFTER_NETWORK = 1
COLUMNS = "organ,method,volume_ml,activity_mbq,activity_mbq_u,activity_mbq_u_own"


def _registration(run: Run, patient: str, timepoint: str) -> dict:
    return json.loads(run.need("registration", "register", patient=patient, timepoint=timepoint).read_text())


def _sizes(registration: dict) -> dict[str, float]:
    """Logarithm of the factors by which the images must grow to fit the CT best, as `register` found; none by hand."""
    size = registration["size_of_best_fit"]
    return {} if size is None else {f"size_{k}": math.log(v) for k, v in zip(("across", "along"), size, strict=True)}


class Estimates:
    """Maps and organ rows of one time point, method by method."""

    def __init__(self, run: Run, patient: str, timepoint: str, setting: Setting, registration: dict):
        self.run, self.patient, self.timepoint = run, patient, timepoint
        self.setting, self.model = setting, setting.model
        self.registration, self.placement = registration, Placement.read(registration)
        self.measured = setting.acquired_at(self.placement)
        even = setting.tissues
        self.even_fit: OrganFit = qplanar(setting.projector, even.sources, self.measured, even.responses)
        self.fitted = fitted_sources(run, patient, setting, self.measured)
        sources, responses = self.fitted.sources, self.fitted.responses
        with_prior = sources is not even.sources
        self.fit = qplanar(setting.projector, sources, self.measured, responses) if with_prior else self.even_fit
        spread = texture_spread(setting.projector, sources, self.fit, responses, self.measured.exposure_s)
        # conjugate view, networks and gate take the opposed pair; QPlanar and MLEM every view
        self.pair = self.acquired = with_modelled_scatter(self.measured, self.fit, responses)
        self.projector, self.centre_y_mm = setting.projector, None
        if setting.more is not None:
            self._take_all_views(sources)
        self.relative_u: dict[str, float] = {}
        self.drawn_u = np.zeros(len(self.model.organs))  # MBq, from the draws' spread
        self.map_u: dict[str, np.ndarray] = {}  # method -> standard uncertainty of each voxel, MBq
        spread = np.sqrt(self.fitted.by_organ(spread**2))
        activity = self.fitted.by_organ(self.fit.concentrations * sources.volumes_ml())
        placed = np.array([registration["activity_u"].get(o, 0.0) for o in self.model.organs])  # relative
        counts = np.hypot(self.fitted.u(self.fit), placed * activity)
        self.terms = fit_terms(self.model, counts, spread, float(activity.sum()))

    def _take_all_views(self, sources: PatientModel) -> None:
        views = with_all_views(self.setting, self.placement.pose)
        self.projector, self.centre_y_mm = views.projector, views.centre_y_mm
        responses = views.projector.organ_responses(sources.fractions)
        self.fit = qplanar(views.projector, sources, views.acquired, responses)
        self.acquired = with_modelled_scatter(views.acquired, self.fit, responses)

    def map(self, method: str) -> np.ndarray:
        """(I, J, K) float64 MBq per voxel."""
        settings, projector = self.run.config.reconstruction, self.projector
        if method == "qplanar":
            return self.fit.map(self.fitted.sources)
        if method == "qplanar_mlem":
            return mlem(projector, self.acquired, self.fit.map(self.fitted.sources), settings.mlem_iterations)
        if method == "mlem":
            start = flat_start(projector, self.model, self.acquired)
            return mlem(projector, self.acquired, start, settings.flat_mlem_iterations)
        if method == "diffusion":
            return self._mean_of_draws()
        from planardose.learn.infer import unet_map  # heavy, and only where the method is asked for

        sources, pair = self.fitted.sources, self.setting.projector
        activity, self.relative_u = unet_map(self.run, self.patient, self.model, pair, self.measured, sources)
        return mlem(projector, self.acquired, activity, AFTER_NETWORK)

    def _mean_of_draws(self) -> np.ndarray:
        from planardose.learn.diffusion_infer import diffusion_draws  # heavy as well

        draws = diffusion_draws(
            self.run,
            self.patient,
            self.timepoint,
            self.model,
            self.setting.projector,
            self.measured,
            self.fitted.sources,
        )
        rows = np.array([self.fitted.rows(m, self.fit) for m in draws.maps])
        self.drawn_u, self.map_u["diffusion"] = draws.organ_u(rows), draws.voxel_u
        return draws.mean

    def virtual_u(self, method: str, rows: np.ndarray) -> np.ndarray:
        """(O,) relative error of a network on the patient's virtual acquisitions, or by its draws; else 0."""
        if method == "diffusion":
            return self.drawn_u / np.maximum(rows, 1e-12)
        known = self.relative_u if method == "unet" else {}
        return np.array([known.get(o, 0.0) for o in self.model.organs])

    def uncertainty(self, method: str, rows: np.ndarray) -> Uncertainty:
        """Of the organ rows (O,) MBq of a method."""
        virtual = self.virtual_u(method, rows)
        return standard_uncertainty(method, self.model, rows, self.terms, virtual, self.setting.calibrated)

    def conjugate_rows(self) -> np.ndarray:
        """(O,) MBq of the conjugate view; without a scatter window the scatter is the one modelled for QPlanar."""
        nuclide, projector = load_nuclide(self.setting.nuclide_name), self.setting.projector
        mu = mu_per_mm(self.model.partial_density, nuclide.imaged_line().energy_kev)
        acquired = self.measured if self.has_scatter_window else self.pair
        per_head = projector.sensitivity * np.sqrt(projector.couch_share)  # geometric mean of both heads
        return conjugate_view(self.model, acquired, mu, float(per_head))

    @property
    def has_scatter_window(self) -> bool:
        return self.measured.scatter is not None

    def expected(self, activity: np.ndarray) -> np.ndarray:
        """(2, I, K) float64 photopeak counts that a map should give: primaries and scatter."""
        projector = self.setting.projector
        return (projector.primary(activity) + projector.scatter(activity)) * self.measured.exposure_s

    def consistency(self) -> dict:
        """Whether images, CT and placement belong together: statistics, their score and its limit, and the verdict."""
        limits, even = consistency.limits(), self.setting.tissues
        beside = self.setting.photopeak_on(consistency.wide_grid(self.model.grid), self.placement.pose)
        found = consistency.statistics(
            even.sources,
            even.responses.total * self.measured.exposure_s,
            self.measured,
            self.pair.scatter,
            self.even_fit,
            beside,
        )
        found |= _sizes(self.registration)
        strips = self.checked(FALLBACK, self.expected(self.map(FALLBACK))).strips
        found["voxel_strip"] = math.log(max(map(max, strips)))
        value, worst = consistency.score(found, limits.usual)
        told = {k: _short(v) for k, v in found.items()}
        verdict = {"score": _short(value), "worst": worst, "limit": limits.score, "passed": value <= limits.score}
        return verdict | {"statistics": told}

    def checked(self, method: str, expected: np.ndarray) -> gate.Gate:
        """Gate of a method's map, from its expected counts."""
        limit, strip = self.run.config.reconstruction.gate_deviance, consistency.limits().strip_deviance
        return gate.check(self.model, self.measured.counts, expected, limit, strip.get(method, np.inf))


def _lines(model, method: str, rows: np.ndarray, u: Uncertainty | None = None) -> list[str]:
    shown = [o for o, organ in enumerate(model.organs) if organ != "outside_ct" or method != "conjugate_view"]
    columns = [rows, *(np.full((2, len(rows)), np.nan) if u is None else (u.total_mbq, u.own_mbq))]
    volumes = model.volumes_ml()

    def told(o: int) -> str:
        values = ("" if np.isnan(c[o]) else f"{c[o]:.8g}" for c in columns)
        return ",".join([model.organs[o], method, f"{volumes[o]:.8g}", *values])

    return [told(o) for o in shown]


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


def reconstruct(run: Run, patient: str, timepoint: str) -> None:
    """Compute every method for one time point.

    Raises
    ------
    InputError
        If an earlier output is missing or the acquisition's windows do not fit the nuclide.
    """
    keys = {"patient": patient, "timepoint": timepoint}
    registration, setting = _registration(run, patient, timepoint), load_setting(run, patient, timepoint, Projector)
    sources = [run.path(k, **keys) for k in ("model", "planar", "registration")]
    estimates, gates, views, lines = Estimates(run, patient, timepoint, setting, registration), {}, {}, [COLUMNS]
    if not estimates.has_scatter_window:
        log.warning("%s %s: no scatter window beside the photopeak; all scatter is modelled", patient, timepoint)
    for method in run.config.methods:
        if method == "conjugate_view":
            rows = estimates.conjugate_rows()
            lines += _lines(setting.model, method, rows)
            continue
        activity = estimates.map(method)
        _write_map(run, run.path("map", method=method, **keys), setting, activity, method, sources)
        if method in estimates.map_u:
            u_map = np.hypot(estimates.map_u[method], calibration_relative_u(setting.calibrated) * activity)
            _write_map(run, run.path("map_u", method=method, **keys), setting, u_map, method, sources, QUANTITY_U)
        rows = estimates.fitted.rows(activity, estimates.fit)
        lines += _lines(setting.model, method, rows, estimates.uncertainty(method, rows))
        views[method] = estimates.expected(activity)
        gates[method] = estimates.checked(method, views[method])
        log.info("%s %s %s: deviance %.2f", patient, timepoint, method, gates[method].deviance)
    split = zip(setting.model.organs, estimates.fitted.split(estimates.fit), strict=True)
    table = run.path("organs", **keys)
    with atomic(table) as temporary:
        temporary.write_text("\n".join(lines) + "\n")
    run.sidecar(
        table,
        "reconstruct",
        "organ activity at mid-time",
        "MBq",
        sources,
        calibrated=setting.calibrated,
        calibration_relative_u=calibration_relative_u(setting.calibrated),
        uncertainty_terms=_terms(estimates),
        conjugate_view_scatter="energy windows" if estimates.has_scatter_window else "modelled",
        split_by_mbq_ml={o: _short(c) for o, c in split},
        **({} if estimates.centre_y_mm is None else _views_told(setting, estimates.centre_y_mm)),
    )
    path = run.path("views", **keys)
    save_views(path, estimates.measured.counts, views)
    run.sidecar(path, "reconstruct", "measured and re-projected photopeak counts", "1", sources)
    _write_prior(run, keys, estimates, sources)
    _write_gate(run, keys, gates, estimates.consistency(), sources)


def _terms(estimates: Estimates) -> dict[str, dict[str, float | None]]:
    """Organ -> what its uncertainty is made of, for a calibration on other cohorts."""
    t, virtual = estimates.terms, estimates.relative_u
    rows = zip(estimates.model.organs, t.counts_mbq, t.spread_mbq, t.holds_mbq, strict=True)
    return {
        o: {
            "counts_mbq": _short(counts) if np.isfinite(counts) else None,
            "spread_mbq": _short(spread),
            "holds_mbq": _short(holds),
            "virtual": _short(virtual.get(o, 0.0)),
        }
        for o, counts, spread, holds in rows
    }


def _write_prior(run: Run, keys: dict, estimates: Estimates, sources: list) -> None:
    told, path = estimates.fitted.told(estimates.fit), run.path("prior_decision", **keys)
    if "prior_image" in run.cohort.rows_of(keys["patient"])[0].paths:
        sources = [*sources, run.path("prior", patient=keys["patient"])]
        log.info("%s %s prior image: %s, %s", *keys.values(), "used" if told["used"] else "not used", told["reason"])
    write_text(path, json.dumps(told, indent=1) + "\n")
    run.sidecar(path, "reconstruct", "decision on the prior image", "mm, MBq", sources)


def _views_told(setting: Setting, centre_y_mm: float) -> dict:
    return {"views_deg": [h.angle_deg for h in setting.more.heads], "centre_of_rotation_y_mm": _short(centre_y_mm)}


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _write_gate(run: Run, keys: dict, gates: dict[str, gate.Gate], inputs: dict, sources: list) -> None:
    """Every map fails where the inputs do not belong together: no method makes up for that."""
    gates = {m: replace(g, passed=g.passed and inputs["passed"]) for m, g in gates.items()}

    def told(g: gate.Gate) -> dict:
        strips = [[_short(d) for d in view] for view in g.strips]
        organs = {o: [_short(d) for d in views] for o, views in g.organs.items()}
        return {"deviance": _short(g.deviance), "per_view_strip": strips, "per_organ": organs, "passed": g.passed}

    accepted = run.config.hand(keys["patient"], keys["timepoint"]).accept_gate
    result = {m: told(g) for m, g in gates.items()} | decision(gates, run.config.map_method, accepted)
    result["inputs"] = inputs
    path = run.path("gate", **keys)
    write_text(path, json.dumps(result | {"limit": run.config.reconstruction.gate_deviance}, indent=1) + "\n")
    run.sidecar(path, "reconstruct", "deviance of the re-projected map", "1", sources)
