"""A time point's decision on the patient's prior image: what QPlanar fits, and what is told about it."""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from planardose.io.nifti import read_volume
from planardose.patient_model import PatientModel
from planardose.recon.acquired import Acquired
from planardose.recon.camera_views import Responses
from planardose.recon.organ_totals import split_map
from planardose.recon.prior_check import Checker, Decision
from planardose.recon.prior_shapes import PriorImage
from planardose.recon.qplanar import OrganFit
from planardose.recon.setting import Setting
from planardose.recon.tissues import TISSUES
from planardose.run import Run
from planardose.units import rounded


@dataclass(frozen=True)
class Fitted:
    """The sources that QPlanar fits: evenly filled organs and tissues, or textured ones and foci.

    Parameters
    ----------
    model : PatientModel
        The patient's, with the organs of the rows.
    sources : PatientModel
        The same with one "organ" per source.
    hosts : (S,) int
        Organ of `model` that each source belongs to.
    responses : Responses
        Of the sources.
    decision : Decision or None
        None: there is no prior image, or `unusable` says why it was not asked.
    unusable : str
    """

    model: PatientModel = field(repr=False)
    sources: PatientModel = field(repr=False)
    hosts: np.ndarray = field(repr=False)
    responses: Responses = field(repr=False)
    decision: Decision | None = None
    unusable: str = "the sheet names none"

    def by_organ(self, values: np.ndarray) -> np.ndarray:
        """(O,) sums of the sources' values (S,)."""
        return np.bincount(self.hosts, values, len(self.model.organs))

    def rows(self, activity: np.ndarray, fit: OrganFit) -> np.ndarray:
        """(O,) MBq of a map: voxels are split among the sources; a focus counts to its organ."""
        return self.by_organ(split_map(activity, self.sources, fit.concentrations))

    def u(self, fit: OrganFit) -> np.ndarray:
        """(O,) MBq: standard uncertainty of the fit's organ activities; inf where an organ is not seen."""
        out, seen = self._organ_u(fit.covariance), np.isfinite(np.diag(fit.covariance))
        return np.where(np.isin(np.arange(len(out)), self.hosts[~seen]) & (out == 0), np.inf, out)

    def counting_u(self, fit: OrganFit) -> np.ndarray:
        """(O,) MBq: the part of `u` that counting statistics make; 0 where an organ is not seen."""
        return self._organ_u(fit.counting)

    def _organ_u(self, covariance: np.ndarray) -> np.ndarray:
        """(O,) MBq by a covariance (S, S) of the sources' concentrations; those that are not seen are left out."""
        volumes, seen = self.sources.volumes_ml(), np.isfinite(np.diag(covariance))
        per_organ = np.eye(len(self.model.organs))[self.hosts].T[:, seen] * volumes[seen]
        return np.sqrt(np.maximum((per_organ @ covariance[np.ix_(seen, seen)] * per_organ).sum(axis=1), 0.0))

    def split(self, fit: OrganFit) -> np.ndarray:
        """(O,) MBq/mL: mean concentrations of the organs, foci included."""
        volumes = np.maximum(self.model.volumes_ml(), 1e-12)
        return self.by_organ(fit.concentrations * self.sources.volumes_ml()) / volumes

    def told(self, fit: OrganFit) -> dict:
        """The decision for the JSON, the log and the report."""
        if self.decision is None:
            return {"used": False, "reason": self.unusable}
        d = self.decision
        out = {
            "used": d.sources is not None,
            "reason": d.reason,
            "shift_mm": [rounded(s) for s in d.shift_mm],
            "misfit_without": rounded(d.misfit_without),
            "misfit_with": None if np.isnan(d.misfit_with) else rounded(d.misfit_with),
        }
        if d.sources is None:
            return out
        return out | {"texture_weight": d.sources.weight, "foci": self._foci(fit)}

    def _foci(self, fit: OrganFit) -> list[dict]:
        grid, found = self.model.grid, []
        foci = [s for s, name in enumerate(self.sources.organs) if name not in (*self.model.organs, *TISSUES)]
        for s in foci:
            shape = self.sources.fractions[s].astype(np.float64)
            index = np.array([(np.arange(n) * shape.sum(axis=tuple(b for b in range(3) if b != a))).sum()
                              for a, n in enumerate(shape.shape)]) / shape.sum()  # fmt: skip
            centre = grid.ras_from_voxel[:3, :3] @ index + grid.ras_from_voxel[:3, 3]
            volume = float(shape.sum() * grid.voxel_ml)
            found.append({
                "name": self.sources.organs[s], "counted_in": self.model.organs[self.hosts[s]],
                "centre_mm": [rounded(c) for c in centre], "volume_ml": rounded(volume),
                "excess_mbq": rounded(float(fit.concentrations[s]) * volume),
            })  # fmt: skip
        return found


def fitted_sources(run: Run, patient: str, setting: Setting, acquired: Acquired) -> Fitted:
    """Check the patient's prior image, where there is one, against the counts of a time point."""
    model = setting.model
    even = setting.tissues
    evenly = partial(Fitted, model, even.sources, even.hosts, even.responses)
    if not run.cohort.has_prior(patient):
        return evenly()
    told = run.content("prior_registration", "import-prior", patient=patient)
    if told["unusable"]:
        return evenly(unusable=told["unusable"])
    prior = read_prior(run, patient, model)
    decision = Checker(setting.projector, even.sources, acquired, even.responses).check(prior)
    if decision.sources is None:
        return evenly(decision)
    textured = decision.sources.textured
    responses = setting.projector.organ_responses(textured.fractions)
    return Fitted(model, textured, even.hosts[decision.sources.hosts], responses, decision)


def read_prior(run: Run, patient: str, model: PatientModel) -> PriorImage:
    """The registered image of `import-prior`; one of another grid raises `ValueError`."""
    path = run.need("prior", "import-prior", patient=patient)
    image = read_volume(path, "prior image", "arbitrary", f"{patient} prior")
    if not image.grid.same_as(PriorImage.grid_of(model)):
        raise ValueError("the prior image lies on another grid than the patient model")
    return PriorImage(image.data)
