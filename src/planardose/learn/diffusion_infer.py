"""The diffusion model on a real acquisition: called by the step `reconstruct`."""

from dataclasses import dataclass, field

import numpy as np

from planardose.errors import InputError
from planardose.io.files import sha256_of
from planardose.learn.device import products_of
from planardose.learn.diffusion_weights import RETRAIN, DiffusionHeader, load_denoiser, moments_of
from planardose.learn.draws import consistency_of, draw_maps, reference_case
from planardose.learn.features import FeatureMaker
from planardose.learn.loop import reproducible
from planardose.learn.network import ResidualMap
from planardose.learn.noise import NoiseModel
from planardose.learn.organ_shares import organ_shares
from planardose.learn.residual import scaling_of
from planardose.learn.weights import check_fits, load_network, unet_weights
from planardose.patient_model import PatientModel
from planardose.recon.acquired import Acquired
from planardose.recon.projector import Projector
from planardose.run import Run


@dataclass(frozen=True)
class Draws:
    """Draws of one acquisition.

    Parameters
    ----------
    maps : (N, I, J, K) float32
        MBq per voxel on the model's grid; beyond the CT all are the physics base.
    voxel_scale : float
        What turns the spread of voxels into standard uncertainties.
    """

    maps: np.ndarray = field(repr=False)
    voxel_scale: float

    @property
    def mean(self) -> np.ndarray:
        """(I, J, K) float64 MBq per voxel."""
        return self.maps.mean(axis=0, dtype=np.float64)

    @property
    def voxel_u(self) -> np.ndarray:
        """Standard uncertainty (I, J, K) float64, MBq per voxel."""
        return self.voxel_scale * self.maps.std(axis=0, dtype=np.float64)


def diffusion_draws(
    run: Run, patient: str, timepoint: str, model: PatientModel, projector: Projector, acquired: Acquired,
    sources: PatientModel,
) -> Draws:
    """Draws of the activity of one acquisition.

    Parameters
    ----------
    run : Run
    patient, timepoint : str
        They key the noise, with the run's seed.
    model : PatientModel
    projector : Projector
        Of the acquisition's camera and head distances.
    acquired : Acquired
    sources : PatientModel
        What QPlanar fits, as `FeatureMaker` takes it.

    Raises
    ------
    InputError
        If there are no weights yet, or those of another patient, grid, patient model, U-Net or settings.
    """
    where, device = f"{patient} diffusion weights", str(projector.device)
    denoiser, header = load_denoiser(run.need("diffusion_weights", "train-diffusion", patient=patient), where, device)
    of_model = sha256_of(run.need("model", "segment", patient=patient))
    check_fits(header, patient, of_model, model.grid.shape, where, RETRAIN)
    denoiser.products = products_of(run.config.train.precision, projector.device.type)
    unet = _unet_of(run, patient, header, where, device)
    settings = run.config.diffusion
    if (header.draws, header.sampling_steps) != (settings.draws, settings.sampling_steps):
        problem = f"calibrated for {header.draws} draws of {header.sampling_steps} steps"
        wanted = f"diffusion.draws {settings.draws}, diffusion.sampling_steps {settings.sampling_steps}"
        raise InputError(where, problem, wanted, RETRAIN)
    with reproducible(run.config.train.threads):
        maker = FeatureMaker(projector, model, sources)
        estimate = maker.estimate(acquired)
        case, consistency = reference_case(maker.example(estimate), unet), consistency_of(maker, acquired, estimate)
        body = projector.tensor(model.body[maker.box].astype(np.float32))
        scaling = scaling_of(*moments_of(header, projector.device), maker.fractions, body)
        shares = organ_shares(maker.fractions).cpu().numpy()
        model_of_noise = NoiseModel(header.smoothing, np.array(header.common), shares)
        noise = model_of_noise.pairs(run.config.seed, f"diffusion draw {timepoint}", patient, settings.draws)
        maps = draw_maps(denoiser, scaling, case, projector.tensor(noise), settings.sampling_steps, consistency)
        whole = consistency.whole(maps).cpu().numpy()
    return Draws(whole, header.voxel_scale)


def _unet_of(run: Run, patient: str, header: DiffusionHeader, where: str, device: str) -> ResidualMap | None:
    """The U-Net that the model was trained with; refused when it was trained anew since."""
    if not header.unet_sha256:
        return None
    path = unet_weights(run, patient)
    if sha256_of(path) != header.unet_sha256:
        raise InputError(where, "trained on another U-Net's maps", "the U-Net of these results", RETRAIN)
    return load_network(path, f"{patient} weights", device)[0]
