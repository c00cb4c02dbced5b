"""The sources that QPlanar fits, and how they make up the rows of the organ table."""

from dataclasses import dataclass, field

import numpy as np

from planardose.patient_model import PatientModel
from planardose.recon.camera_views import Responses
from planardose.recon.foci import NAME, NO_FOCI, Foci
from planardose.recon.organ_totals import split_map
from planardose.recon.prior_check import Decision
from planardose.recon.prior_shapes import FOCUS
from planardose.recon.qplanar import OrganFit
from planardose.units import rounded


@dataclass(frozen=True)
class Fitted:
    """Evenly filled organs and tissues, or textured ones with the foci of a prior image; then the foci of the counts.

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
    foci : Foci
        Found in the counts.
    """

    model: PatientModel = field(repr=False)
    sources: PatientModel = field(repr=False)
    hosts: np.ndarray = field(repr=False)
    responses: Responses = field(repr=False)
    decision: Decision | None = None
    unusable: str = "the sheet names none"
    foci: Foci = field(default=NO_FOCI, repr=False)

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
        """The decision on the prior image for the JSON, the log and the report."""
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
        foci = [s for s, name in enumerate(self.sources.organs) if name.startswith(FOCUS)]
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

    def focus_mbq(self, fit: OrganFit) -> np.ndarray:
        """(F,) MBq of the foci of the counts."""
        own = [s for s, name in enumerate(self.sources.organs) if name.startswith(NAME)]
        return fit.concentrations[own] * self.sources.volumes_ml()[own]
