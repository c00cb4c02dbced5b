"""What virtual uptakes share with the patient's prior image; where there is none, none of its modules are loaded."""

from typing import TYPE_CHECKING

from planardose.patient_model import PatientModel
from planardose.run import Run

if TYPE_CHECKING:
    from planardose.recon.prior_shapes import Shapes


def shapes_for_samples(run: Run, patient: str, model: PatientModel) -> "Shapes | None":
    """Texture and foci that the virtual uptakes share with the prior image, where there is a usable one."""
    if not run.cohort.has_prior(patient):
        return None
    told = run.content("prior_registration", "import-prior", patient=patient)
    if told["unusable"]:
        return None
    from planardose.recon.patient_sources import read_prior
    from planardose.recon.prior_shapes import Anatomy, shapes_of

    return shapes_of(read_prior(run, patient, model), Anatomy(model))
