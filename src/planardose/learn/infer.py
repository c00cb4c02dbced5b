"""The network on a real acquisition: called by the step `reconstruct`."""

import numpy as np
import torch

from planardose.io.files import sha256_of
from planardose.learn.features import FeatureMaker
from planardose.learn.loop import reproducible
from planardose.learn.weights import check_fits, load_network, unet_weights
from planardose.patient_model import PatientModel
from planardose.recon.acquired import Acquired
from planardose.recon.projector import Projector
from planardose.run import Run


def unet_map(
    run: Run,
    patient: str,
    model: PatientModel,
    projector: Projector,
    acquired: Acquired,
    sources: PatientModel,
) -> tuple[np.ndarray, dict[str, float]]:
    """Activity of one acquisition by the patient's network.

    Parameters
    ----------
    run : Run
    patient : str
    model : PatientModel
    projector : Projector
        Of the acquisition's camera and head distances.
    acquired : Acquired
    sources : PatientModel
        What QPlanar fits, as `FeatureMaker` takes it.

    Returns
    -------
    (I, J, K) float64
        MBq per voxel on ``model.grid``; beyond the CT it is the base, QPlanar's.
    dict
        Organ -> relative standard uncertainty of its activity, from the training's validation samples; organs beyond
        the CT are not in it.

    Raises
    ------
    InputError
        If there are no weights yet, or those of another patient, grid or patient model.
    """
    path, where = unet_weights(run, patient), f"{patient} weights"
    network, header = load_network(path, where, str(projector.device))
    check_fits(header, patient, sha256_of(run.need("model", "segment", patient=patient)), model.grid.shape, where)
    with reproducible(run.config.train.threads), torch.no_grad():
        maker = FeatureMaker(projector, model, sources)
        estimate = maker.estimate(acquired)
        example = maker.example(estimate)
        inside = network(example.channels[None], example.base[None])[0].cpu().numpy()
    activity = maker.base(estimate)
    activity[maker.box] = inside
    return activity, header.organ_relative_u
