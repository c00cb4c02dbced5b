"""Remainder and skeleton by tissue: sources of their own for fat and for the outermost layer of the body.

Fat and skin take up less than muscle. With one value for all of the remainder the fitted body is too bright along its
edge and too dark inside: a registration errs by 1.5 mm along z, where shoulders and vertex have one edge only, and the
map and the organs that lie above fat are wrong. Each source has its own free concentration; nothing is assumed of them.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.ndimage import binary_erosion

from planardose.organs import REMAINDER
from planardose.patient_model import PatientModel
from planardose.recon.camera_views import CameraViews, Responses

LAYER_MM = 10.0  # thickness of the outermost layer: skin and some of the fat below it
SPLIT = (REMAINDER, "skeleton")  # whose outermost layer is a source of its own
FAT, SURFACE = "fat", "_surface"
TISSUES = (*(name + SURFACE for name in SPLIT), FAT)  # the sources that are no organs


@dataclass(frozen=True)
class Tissues:
    """What QPlanar fits: the organs, then the outermost layers and the fat.

    Parameters
    ----------
    sources : PatientModel
        The patient's, with one "organ" per source; the fractions add up to the same body.
    hosts : (S,) int
        Organ of the patient's model that each source belongs to.
    responses : Responses
        (S, 2, I, K).
    """

    sources: PatientModel = field(repr=False)
    hosts: np.ndarray
    responses: Responses = field(repr=False)


def inner_part(model: PatientModel) -> np.ndarray:
    """(I, J, K) bool: body deeper than `LAYER_MM`. The grid's lower end is no surface; above its upper end is air."""
    body = model.fractions.sum(axis=0) > 0.5
    padded = np.pad(body, ((1, 1), (1, 1), (0, 1)))
    padded = np.concatenate([padded[:, :, :1], padded], axis=2)
    cells = max(1, round(LAYER_MM / float(model.grid.spacing_mm.min())))
    return binary_erosion(padded, iterations=cells)[1:-1, 1:-1, 1:-1]


def _parts(model: PatientModel) -> tuple[list[str], list[int], np.ndarray]:
    """Names, hosts and fractions (T, I, J, K) of the sources that are taken from organs."""
    inner, fat = inner_part(model), model.partial_density[0] / np.maximum(model.density, 1e-6)
    names = [name for name in SPLIT if name in model.organs]
    hosts = [model.organs.index(name) for name in names]
    layers = [model.fractions[o] * ~inner for o in hosts]
    remainder = model.organs.index(REMAINDER)
    parts = np.array([*layers, model.fractions[remainder] * inner * fat], dtype=np.float32)
    return [*(n + SURFACE for n in names), FAT], [*hosts, remainder], parts


def _apart(whole: np.ndarray, parts: np.ndarray, hosts: list[int]) -> np.ndarray:
    """The organs' values (O, ...) without their parts, then the parts' (T, ...)."""
    out = np.concatenate([whole, parts])
    for host, part in zip(hosts, parts, strict=True):
        out[host] = np.maximum(out[host] - part, 0.0)
    return out


def _sources(model: PatientModel, names: list[str], hosts: list[int], parts: np.ndarray) -> PatientModel:
    fractions = _apart(model.fractions, parts, hosts)
    return replace(model, organs=(*model.organs, *names), fractions=fractions, mass_g=None)


def by_tissue(model: PatientModel) -> PatientModel:
    """`Tissues.sources` of a patient's model."""
    return _sources(model, *_parts(model))


def tissues_of(views: CameraViews, model: PatientModel, responses: Responses) -> Tissues:
    """Sources of a patient with their responses; `responses` are those of the model's organs."""
    names, hosts, parts = _parts(model)
    seen = views.organ_responses(parts)
    return Tissues(
        _sources(model, names, hosts, parts),
        np.array([*range(len(model.organs)), *hosts]),
        Responses(*(_apart(getattr(responses, k), getattr(seen, k), hosts) for k in ("primary", "scatter"))),
    )
