"""A synthetic patient with CT, labels and calibration source on files, for tests that add planar images and a SPECT."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from planardose.demo import images
from planardose.demo import spect as demo_spect
from planardose.demo.patient import Acquisition, Truth, draw_patient, truth_of
from planardose.planar import PlanarPair

SEED = 23
FAST = demo_spect.SpectSettings(histories=2e4, sim_mm=16.0, recon_mm=14.0, ct_mm=8.0, iterations=4)


@dataclass(frozen=True)
class Scene:
    """The patient, and where what belongs to him lies; `axis_mm` is the RAS y of the body's middle."""

    truth: Truth
    folder: Path
    camera: object
    volumes: dict[str, float]
    axis_mm: float
    source: object

    def write_planar(self, path: Path, acquisition: Acquisition) -> PlanarPair:
        """The sweep of an acquisition."""
        patient = self.truth.patient
        pair = images.planar_pair(patient, self.volumes, self.axis_mm, acquisition, self.camera, SEED, 10.0, 5e4)
        images.write_sweep(path, pair, patient, SEED)
        return pair

    def write_spect(self, acquisition: Acquisition) -> demo_spect.DemoSpect:
        """The SPECT of an acquisition, with its CT, in the scene's folder."""
        spect = demo_spect.spect_of(self.truth.patient, self.volumes, acquisition, self.camera, SEED, FAST)
        demo_spect.write_spect_ct(self.folder, acquisition.name, spect, self.truth.patient, SEED)
        return spect


def write_scene(out: Path) -> Scene:
    """Write CT, label map and the image of a calibration source below a folder."""
    truth = truth_of(draw_patient(SEED, 1, (8.0, 8.0, 8.0)))
    patient, body = truth.patient, truth.anatomy.sampled.body
    folder, camera = out / "in", images.true_camera(SEED)
    images.write_ct_series(patient, truth, SEED, folder / "ct")
    images.write_segmentation(patient, truth, SEED, folder)
    volumes = dict(zip(truth.anatomy.classes, truth.volume_ml.tolist(), strict=True))
    occupied = np.flatnonzero(body.any(axis=(0, 2)))[[0, -1]]
    axis_mm = float(patient.grid.axis_mm(1)[occupied].mean())
    source = images.write_source(out / "source.dcm", camera, SEED, patient.injected_at)
    return Scene(truth, folder, camera, volumes, axis_mm, source)
