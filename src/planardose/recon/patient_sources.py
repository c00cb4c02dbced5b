"""What QPlanar fits at a time point: by the decision on the patient's prior image, and with the foci of the counts."""

from dataclasses import replace

import numpy as np

from planardose.io.nifti import read_volume
from planardose.patient_model import PatientModel
from planardose.recon.acquired import Acquired
from planardose.recon.fitted import Fitted
from planardose.recon.foci import find_foci
from planardose.recon.prior_check import Checker
from planardose.recon.prior_shapes import PriorImage
from planardose.recon.setting import Setting
from planardose.run import Run


def fitted_sources(run: Run, patient: str, setting: Setting, acquired: Acquired) -> Fitted:
    """Organs and tissues, or what the patient's prior image makes of them where it explains the counts; then foci."""
    fitted = _with_prior(run, patient, setting, acquired)
    return with_foci(fitted, setting, acquired) if run.config.reconstruction.foci else fitted


def even_sources(setting: Setting) -> Fitted:
    """Evenly filled organs and tissues."""
    even = setting.tissues
    return Fitted(setting.model, even.sources, even.hosts, even.responses)


def with_foci(fitted: Fitted, setting: Setting, acquired: Acquired) -> Fitted:
    """The sources, and the foci that the counts show beside them; the setting's projector is a `Projector`."""
    model, projector = setting.model, setting.projector
    foci = find_foci(projector, model, fitted.sources, acquired, fitted.responses)
    if not foci.found:
        return fitted
    sources = foci.beside(fitted.sources, model)
    own = projector.organ_responses(sources.fractions[-len(foci.found) :])
    hosts = np.concatenate([fitted.hosts, foci.hosts(model)])
    return replace(fitted, sources=sources, hosts=hosts, responses=fitted.responses.beside(own), foci=foci)


def _with_prior(run: Run, patient: str, setting: Setting, acquired: Acquired) -> Fitted:
    """Check the patient's prior image, where there is one, against the counts of a time point."""
    model, even = setting.model, even_sources(setting)
    if not run.cohort.has_prior(patient):
        return even
    told = run.content("prior_registration", "import-prior", patient=patient)
    if told["unusable"]:
        return replace(even, unusable=told["unusable"])
    prior = read_prior(run, patient, model)
    decision = Checker(setting.projector, even.sources, acquired, even.responses).check(prior)
    if decision.sources is None:
        return replace(even, decision=decision)
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
