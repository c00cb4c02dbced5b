"""Maps, organ rows, uncertainties and gates of one time point, method by method: what `reconstruct` writes."""

import math
from dataclasses import replace

import numpy as np

from planardose.library import load_nuclide
from planardose.organs import OUTSIDE_CT
from planardose.patient_model import PatientModel
from planardose.physics.attenuation import mu_per_mm
from planardose.recon import consistency, gate
from planardose.recon.acquired import as_windows_tell, scatter_gain
from planardose.recon.all_views import with_all_views
from planardose.recon.conjugate_view import conjugate_view
from planardose.recon.mlem import flat_start, mlem
from planardose.recon.organ_totals import with_totals
from planardose.recon.patient_sources import fitted_sources
from planardose.recon.placement import Placement
from planardose.recon.qplanar import LEAST_IN_SIGHT, qplanar, with_modelled_scatter
from planardose.recon.setting import Setting
from planardose.recon.texture_error import texture_spread
from planardose.recon.uncertainty import Uncertainty, fit_terms, standard_uncertainty
from planardose.run import Run
from planardose.units import rounded

FALLBACK = "qplanar_mlem"
WHOLE_ORGAN = 0.95  # of an organ's counts: it lies in the images
# Networks tell where in an organ the activity sits, the likelihood how much there is: their maps get the organ totals
# of `FALLBACK`, and with them that method's calibrated intervals (figures: benchmarks/population/README.md).
#
# Voxel by voxel the U-Net's map is not fitted to the counts. The gate asks whether it can be: it looks at the map after
# one MLEM step, as the wrong inputs show then. The draws of `diffusion` end with such a step, and need no other.
BEFORE_GATE = {"unet": 1}


def _sizes(registration: dict) -> tuple[dict[str, float], dict[str, float]]:
    """Logarithm of the factors by which the images must grow to fit the CT best, as `register` found, and its
    standard uncertainty; none by hand.
    """
    size = registration["size_of_best_fit"]
    if size is None:
        return {}, {}
    names, u = ("size_across", "size_along"), registration["size_uncertainty"]
    relative = [v / s for v, s in zip(u, size, strict=True)]
    return dict(zip(names, map(math.log, size), strict=True)), dict(zip(names, relative, strict=True))


class Estimates:
    """Maps and organ rows of one time point, method by method."""

    def __init__(self, run: Run, patient: str, timepoint: str, setting: Setting, registration: dict):
        self.run, self.patient, self.timepoint = run, patient, timepoint
        self.setting, self.model = setting, setting.model
        self.registration, self.placement = registration, Placement.read(registration)
        if setting.more is not None:  # a displaced head and moved organs are known for the pair alone
            self.placement = Placement(self.placement.pose)
        self.measured = setting.acquired_at(self.placement)
        self.fitted = fitted_sources(run, patient, setting, self.measured)
        sources, responses = self.fitted.sources, self.fitted.responses
        self.fit = self.pair_fit = qplanar(setting.projector, sources, self.measured, responses)
        exposure_s, hosts = self.measured.exposure_s, self.fitted.hosts
        seen = self.measured.of_body
        spread = texture_spread(setting.projector, sources, self.fit, responses, exposure_s, hosts, seen)
        # conjugate view, networks and gate take the opposed pair; QPlanar and the MLEMs every view
        self.pair = self.acquired = with_modelled_scatter(self.measured, self.fit, responses)
        self.projector, self.centre_y_mm = setting.projector, None
        if setting.more is not None:
            self._take_all_views(sources)
        self._maps: dict[str, np.ndarray] = {}
        self.relative_u: dict[str, float] = {}
        self.map_u: dict[str, np.ndarray] = {}  # method -> standard uncertainty of each voxel, MBq
        activity = self.fitted.by_organ(self.fit.concentrations * sources.volumes_ml())
        self.total_mbq = float(activity.sum())
        placed = np.array([registration["activity_u"].get(o, 0.0) for o in self.model.organs])  # relative
        counts = np.hypot(self.fitted.u(self.fit), placed * activity)
        self.terms = fit_terms(self.model, counts, self.fitted.counting_u(self.fit), spread, float(activity.sum()))

    def _take_all_views(self, sources: PatientModel) -> None:
        views = with_all_views(self.setting, self.placement.pose)
        self.projector, self.centre_y_mm = views.projector, views.centre_y_mm
        responses = views.projector.organ_responses(sources.fractions)
        self.fit = qplanar(views.projector, sources, views.acquired, responses)
        self.acquired = with_modelled_scatter(views.acquired, self.fit, responses)

    def map(self, method: str) -> np.ndarray:
        """(I, J, K) float64 MBq per voxel; computed once."""
        if method not in self._maps:
            self._maps[method] = self._map(method)
        return self._maps[method]

    def _map(self, method: str) -> np.ndarray:
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

        sources, pair = self.fitted.sources, self.setting.for_networks
        activity, self.relative_u = unet_map(self.run, self.patient, self.model, pair, self.measured, sources)
        return self._with_totals(activity)

    def _with_totals(self, activity: np.ndarray) -> np.ndarray:
        totals = self.fitted.rows(self.map(FALLBACK), self.fit)
        return with_totals(activity, self.model, lambda m: self.fitted.rows(m, self.fit), totals)

    def _mean_of_draws(self) -> np.ndarray:
        from planardose.learn.diffusion_infer import diffusion_draws  # heavy as well

        draws = diffusion_draws(
            self.run,
            self.patient,
            self.timepoint,
            self.model,
            self.setting.for_networks,
            self.measured,
            self.fitted.sources,
        )
        mean = self._with_totals(draws.mean)
        change = np.divide(mean, draws.mean, out=np.ones(mean.shape), where=draws.mean > 0)
        self.map_u["diffusion"] = change * draws.voxel_u
        return mean

    def uncertainty(self, method: str, rows: np.ndarray) -> Uncertainty:
        """Of the organ rows (O,) MBq of a method.

        A network's error on the patient's virtual acquisitions counts with the weight that ``data/uncertainty.yaml``
        gives it: none where factors are another method's. Of an organ that the images do not show nothing is known.
        """
        known = self.relative_u if method == "unet" else {}
        virtual = np.array([known.get(o, 0.0) for o in self.model.organs])
        u = standard_uncertainty(method, self.model, rows, self.terms, virtual, self.setting.calibration_u)
        cut = self.cut()
        hidden = [cut.get(o, 1.0) <= LEAST_IN_SIGHT for o in self.model.organs]
        return Uncertainty(*(np.where(hidden, np.nan, x) for x in (u.total_mbq, u.own_mbq)))

    def conjugate_rows(self) -> np.ndarray:
        """(O,) MBq of the conjugate view; without a scatter window the scatter is the one modelled for QPlanar.

        The windows' scatter is smooth: what it leaves of an organ's own scatter is part of the organ's net counts.
        """
        nuclide, projector = load_nuclide(self.setting.nuclide_name), self.setting.projector
        mu = mu_per_mm(self.model.partial_density, nuclide.imaged_line().energy_kev)
        acquired = self.measured if self.has_scatter_window else self.pair
        per_head = projector.sensitivity * np.sqrt(projector.couch_share)  # geometric mean of both heads
        own = self.setting.responses.primary
        if self.has_scatter_window:
            scatter = self.setting.responses.scatter
            own = own + scatter - as_windows_tell(scatter, tuple(self.model.grid.spacing_mm[[0, 2]]))
        totals = projector.primary_totals(self.model.fractions)
        return conjugate_view(self.model, acquired, mu, float(per_head), own, totals)

    @property
    def has_scatter_window(self) -> bool:
        return self.measured.scatter is not None

    def shares_in_images(self) -> np.ndarray:
        """(O,) share of each organ's counts, of those with body in sight, that lies in the pair's images."""
        total, of_body = self.setting.responses.total, self.setting.of_body
        seen, all_of_it = ((total * cells).sum(axis=(1, 2, 3)) for cells in (self.measured.of_body, of_body))
        return np.divide(seen, all_of_it, out=np.ones(len(total)), where=all_of_it > 0)

    def cut(self) -> dict[str, float]:
        """Organ of the CT -> share of its counts in the images, where they do not show it whole."""
        shares = zip(self.model.organs, self.shares_in_images().tolist(), strict=True)
        return {o: rounded(share) for o, share in shares if share < WHOLE_ORGAN and o != OUTSIDE_CT}

    def expected(self, activity: np.ndarray) -> np.ndarray:
        """(2, I, K) float64 photopeak counts that a map should give: primaries and scatter."""
        projector = self.setting.projector
        return (projector.primary(activity) + projector.scatter(activity)) * self.measured.exposure_s

    def consistency(self) -> dict:
        """Whether images, CT and placement belong together: statistics, their score and its limit, and the verdict."""
        limits = consistency.limits()
        beside = self.setting.photopeak_on(consistency.wide_grid(self.model.grid), self.placement.pose)
        windows, nuclide = self.setting.pair.windows, load_nuclide(self.setting.nuclide_name)
        found, counting_u = consistency.statistics(
            self.fitted,
            self.measured,
            self.pair.scatter,
            self.pair_fit,
            beside,
            scatter_gain(windows, self.setting.peak, nuclide),
        )
        sizes, sizes_u = _sizes(self.registration)
        expected = self.expected(self.map(FALLBACK))
        found |= sizes | {"voxel_strip": consistency.worst_strip(self.model, self.measured, expected)}
        counting_u |= sizes_u
        value, worst = consistency.score(found, limits.usual, counting_u)
        told, told_u = ({k: rounded(v) for k, v in x.items()} for x in (found, counting_u))
        verdict = {"score": rounded(value), "worst": worst, "limit": limits.score, "passed": value <= limits.score}
        return verdict | {"statistics": told, "counting_u": told_u}

    def checked(self, method: str, activity: np.ndarray) -> gate.Gate:
        """Gate of a method's map (I, J, K), after `BEFORE_GATE` steps of MLEM from it."""
        steps = BEFORE_GATE.get(method, 0)
        near = mlem(self.setting.projector, self.pair, activity, steps) if steps else activity
        limit, strip = self.run.config.reconstruction.gate_deviance, consistency.limits().strip_deviance
        counts = self.measured.counts
        shown = self.measured.of_body
        found = gate.check(self.model, counts, self.expected(near), limit, strip.get(method, np.inf), shown)
        if not steps:
            return found
        body = np.broadcast_to(gate.judged_cells(self.model, shown), counts.shape)
        return replace(found, deviance_of_map=gate.deviance(counts, self.expected(activity), body))
