"""Parts of the reconstruction that are switched off to see what they bring. Nobody else needs such a switch."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from unittest.mock import patch

import numpy as np

from planardose.learn.features import CHANNELS, Example, FeatureMaker
from planardose.organs import REMAINDER
from planardose.patient_model import PatientModel
from planardose.recon.projector import Projector
from planardose.recon.scatter import ScatterModel

OF_COUNTS = ("log_mlem", "log_ratio_anterior", "log_ratio_posterior", "misfit_anterior", "misfit_posterior")


@contextmanager
def no_scatter() -> Iterator[None]:
    """Every photon is taken as one that did not scatter in the patient."""

    def nothing(self: ScatterModel, activity: np.ndarray) -> np.ndarray:
        return np.zeros_like(sources(self, activity))

    sources = ScatterModel.sources
    with patch.object(ScatterModel, "sources", nothing):
        yield


@contextmanager
def no_ratios() -> Iterator[None]:
    """The network sees QPlanar's map and the anatomy, not where they disagree with the counts."""

    def blind(self: FeatureMaker, *arguments) -> Example:
        seen = example(self, *arguments)
        channels = seen.channels.clone()
        channels[[CHANNELS.index(name) for name in OF_COUNTS]] = 0.0
        return replace(seen, channels=channels)

    example = FeatureMaker.example
    with patch.object(FeatureMaker, "example", blind):
        yield


@contextmanager
def no_base() -> Iterator[None]:
    """The network corrects an evenly filled body instead of QPlanar's map."""

    def even(self: FeatureMaker, projector: Projector, model: PatientModel, sources: PatientModel) -> None:
        whole = replace(model, organs=(REMAINDER,), fractions=model.fractions.sum(axis=0, keepdims=True), mass_g=None)
        make(self, projector, model, whole)

    make = FeatureMaker.__init__
    with patch.object(FeatureMaker, "__init__", even):
        yield


WITHOUT: dict[str, Callable[[], AbstractContextManager]] = {
    "": nullcontext,
    "scatter": no_scatter,
    "ratios": no_ratios,
    "base": no_base,
}
