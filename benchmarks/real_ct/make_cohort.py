"""Planar images of a known uptake in a real CT: a one-patient cohort and its truth, from any CT and label map.

    python benchmarks/real_ct/make_cohort.py CT LABELS OUT [--seed S] [--fine-mm MM]

CT is a NIfTI or a DICOM folder, LABELS a map in TotalSegmentator's numbering on its grid. The uptake is drawn from
the tracer's priors, lesions are put where the chain does not know them, four whole-body sweeps (4, 24, 96, 168 h) come
from the Monte Carlo on a grid of MM millimetres with the patient shifted and turned against the CT, and a camera that
deviates from the catalogue's.
The body goes on beyond the faces of the CT with the tissue and uptake of its last slices.
"""

import argparse
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import map_coordinates

from planardose.anatomy.build import build_model
from planardose.anatomy.labels import read_segmentation
from planardose.demo.dose import true_dose_gy
from planardose.demo.images import MATRIX, SPEED_MM_S, dead_time, true_camera, windows
from planardose.demo.patient import CAMERA, NUCLIDE, TRACER, class_curves
from planardose.frames import PlanarPose
from planardose.heads import body_extent_ap_mm, opposed_heads
from planardose.image import Grid, Volume
from planardose.io.ct import clip_hu, read_ct
from planardose.io.dicom_new import Identity
from planardose.io.dicom_nm_write import write_planar
from planardose.io.files import write_text
from planardose.io.nifti import write_volume
from planardose.library import Nuclide, load_camera, load_nuclide
from planardose.organs import LESION_BASE, OUTSIDE_CT, REMAINDER, lesion_name, source_name
from planardose.patient_model import PatientModel
from planardose.planar import PlanarPair
from planardose.seeds import rng_for, seed_for
from planardose.sim.acquire import acquire
from planardose.sim.activity import activity_map, sphere_fraction
from planardose.sim.montecarlo import Options, simulate
from planardose.sim.tracer import exponentials_at, load_tracer
from planardose.sim.uptake import CONCENTRATION, Administered, Sphere, draw_hidden, write_spheres
from planardose.units import BQ_PER_MBQ

HOURS = (4.0, 24.0, 96.0, 168.0)
INJECTED_MBQ = 7400.0
INJECTED_AT = datetime(2026, 2, 2, 10, 0)
FACE_GAP_MM = (25.0, 60.0)
PHOTONS = 3e6  # followed for the true dose
IDENTITY = Identity(
    name="Silverlake^Ambrose", patient_id="MRN55512345", birth_date="19510607", sex="M", institution="Larkspur Hospital"
)  # planted: must not show up in any output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ct", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--fine-mm", type=float, default=4.0)
    parser.add_argument("--histories", type=float, default=2e6)
    a = parser.parse_args()
    ct, _ = clip_hu(read_ct(a.ct, "ct"))
    labels = read_segmentation(a.labels, ct.grid, "labels")
    model = build_model(ct, labels, a.fine_mm, "ct")
    patient = Patient(model, a.seed)
    patient.write_truth(labels, a.out / "truth" / "R01")
    for hours in HOURS:
        pair = patient.sweep(hours, a.histories)
        write_planar(
            a.out / "inputs" / IDENTITY.name.replace("^", "_") / f"nm_t{hours:.0f}.dcm",
            pair,
            load_camera(CAMERA),
            NUCLIDE,
            IDENTITY,
            a.seed,
        )
    write_text(
        a.out / "planted_names.txt",
        "\n".join([*IDENTITY.name.split("^"), IDENTITY.patient_id, IDENTITY.institution]) + "\n",
    )
    write_text(a.out / "cohort.tsv", patient.sheet(a.ct.absolute(), a.labels.absolute()))


class Patient:
    """A patient with a real anatomy and a drawn uptake."""

    def __init__(self, model: PatientModel, seed: int):
        self.model, self.seed = model, seed
        self.nuclide: Nuclide = load_nuclide(NUCLIDE)
        self.tracer = load_tracer(TRACER)
        rng = rng_for(seed, "real_ct uptake", "R01")
        given = Administered(self.tracer, self.nuclide.half_life_h, INJECTED_MBQ)
        drawn = class_curves(model.organs, given, rng)
        self.curves = {o: drawn.get(o, drawn[REMAINDER]) for o in model.organs}  # organs without a prior of their own
        # concentrations of the hidden lesions at 24 h; they follow one curve
        self.spheres = draw_hidden(model, given, self.tracer.reference_h, rng)
        prior = self.tracer.lesions
        self.lesion_curve = prior.curve(prior.biological_h[0], self.nuclide.half_life_h)
        self.texture = {
            "texture_seed": seed_for(seed, "real_ct texture", "R01"),
            "texture_cv": 0.25,
            "texture_mm": 20.0,
            "medulla": 0.7,
            "fat": 0.35,
        }
        self.true = true_camera(seed)

    def activity(self, per_organ: dict[str, float], lesion_factor: float) -> np.ndarray:
        """(I, J, K) MBq per voxel (or MBq h): organ concentrations in kBq/mL, lesions scaled from 24 h."""
        spheres = [replace(s, kbq_ml=s.kbq_ml * lesion_factor) for s in self.spheres]
        return activity_map(
            self.model,
            self.texture | {CONCENTRATION + o: v for o, v in per_organ.items()} | {"lesions": write_spheres(spheres)},
        )

    def at(self, hours: float) -> np.ndarray:
        organs = {o: float(exponentials_at(*self.curves[o], hours)) for o in self.model.organs}
        lesion = exponentials_at(*self.lesion_curve, hours) / exponentials_at(
            *self.lesion_curve, self.tracer.reference_h
        )
        return self.activity(organs, float(lesion))

    def integral(self) -> np.ndarray:
        """(I, J, K) MBq h per voxel from the injection to infinity, in closed form."""
        organs = {o: float((self.curves[o][0] / self.curves[o][1]).sum()) for o in self.model.organs}
        amplitudes, rates = self.lesion_curve
        lesion = (amplitudes / rates).sum() / exponentials_at(amplitudes, rates, self.tracer.reference_h)
        return self.activity(organs, float(lesion))

    def sweep(self, hours: float, histories: float) -> PlanarPair:
        """Whole-body sweep of the patient, displaced against the CT."""
        rng, camera, grid = rng_for(self.seed, "real_ct sweep", "R01", int(hours)), self.true.camera, self.model.grid
        back, front = body_extent_ap_mm(self.model)
        faces = (front + FACE_GAP_MM[0], back - FACE_GAP_MM[1])
        views = simulate(
            self.model.partial_density,
            self.at(hours),
            grid,
            camera,
            self.nuclide,
            windows(),
            opposed_heads(faces, camera.couch_mm),
            histories,
            seed_for(self.seed, "real_ct histories", "R01", int(hours)),
            Options(threads=2),
        )
        pose = PlanarPose(
            float(np.mean(grid.axis_mm(0)) + rng.uniform(-12, 12)),
            float(np.mean(grid.axis_mm(2)) + rng.uniform(-12, 12)),
            float(rng.uniform(-1.5, 1.5)),
        )
        exposure_s, duration_s = camera.field_mm[0] / SPEED_MM_S, MATRIX[0] * camera.pixel_mm / SPEED_MM_S
        pixel = (camera.pixel_mm, camera.pixel_mm)
        loss = dead_time(camera, camera.field_mm[0])
        counts = acquire(views.rate * self.true.factor, grid, pixel, MATRIX, pose, exposure_s, rng, loss)
        axis = 0.5 * (front + back)
        told = (round(faces[0] - axis + rng.uniform(-5, 5)), round(axis - faces[1] + rng.uniform(-5, 5)))
        start = (INJECTED_AT + timedelta(hours=hours, seconds=-duration_s / 2)).replace(microsecond=0)
        return PlanarPair(counts.astype(np.float32), windows(), pixel, exposure_s, start, duration_s, told)

    def write_truth(self, labels: Volume, folder: Path) -> None:
        """Activity per time point (Bq/mL), dose (Gy), labels with hidden lesions, organ table."""
        inside, grid = self.model.ct_slices, self.model.ct_grid
        ml, density = grid.voxel_ml, self.model.density[:, :, inside]
        share = self.model.fractions[..., inside] / np.maximum(self.model.fractions[..., inside].sum(axis=0), 1e-6)
        maps = {f"t{h:.0f}": self.at(h)[:, :, inside] for h in HOURS}
        tia = self.integral()[:, :, inside]
        seed = seed_for(self.seed, "real_ct dose", "R01")
        whole = true_dose_gy(self.integral() / ml * 1e3, self.model.partial_density, self.model.grid, self.nuclide,
                             PHOTONS, seed)  # fmt: skip
        dose = whole[..., inside] * (self.model.fractions[..., inside].sum(axis=0) > 0)
        with_lesions = self.labels_with_lesions(labels)
        for name, mbq in maps.items():
            write_volume(folder / f"{name}_activity.nii.gz", self.on_labels(mbq, share, with_lesions))
        write_volume(folder / "dose_gy.nii.gz", Volume(dose, grid, "absorbed dose", "Gy"))
        write_volume(folder / "labels.nii.gz", with_lesions, np.int16)
        rows = []
        for organ, part in zip(self.model.organs, share, strict=True):
            if organ != OUTSIDE_CT:
                mass = float((part * density).sum() * ml)
                rows.append(
                    {
                        "organ": organ,
                        "known": True,
                        "volume_ml": float(self.model.fractions[self.model.organs.index(organ)].sum() * ml),
                        "mass_g": mass,
                        "tia_mbq_h": float((part * tia).sum()),
                        "dose_gy": float((part * density * dose).sum() * ml / mass),
                        **{f"activity_mbq_{n}": float((part * m).sum()) for n, m in maps.items()},
                    }
                )
        rows += [self.lesion_row(n, s, grid, density, dose, tia, maps) for n, s in enumerate(self.spheres, start=1)]
        folder.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(folder / "organs.csv", index=False, float_format="%.8g")

    def on_labels(self, mbq: np.ndarray, share: np.ndarray, labels: Volume) -> Volume:
        """Bq/mL on the labels' grid: read linearly, each class scaled to its activity in the model."""
        grid, names = self.model.ct_grid, {}
        for label in np.unique(labels.data):
            names.setdefault(source_name(int(label)) if label else REMAINDER, []).append(label)
        index = np.stack(np.meshgrid(*[np.arange(n) for n in labels.grid.shape], indexing="ij"))
        matrix = np.linalg.inv(grid.ras_from_voxel) @ labels.grid.ras_from_voxel
        where = np.tensordot(matrix[:3, :3], index, axes=1) + matrix[:3, 3, None, None, None]
        field = np.maximum(map_coordinates(mbq / grid.voxel_ml, where, order=1), 0.0) * BQ_PER_MBQ
        left = mbq.copy()
        wanted = {}
        for number, sphere in enumerate(self.spheres, start=1):
            box, part = sphere_fraction(grid, sphere)
            wanted[lesion_name(number)] = float((part * left[box]).sum())
            left[box] *= 1 - part
        wanted |= {o: float((part * left).sum()) for o, part in zip(self.model.organs, share, strict=True)}
        for name, members in names.items():
            region = np.isin(labels.data, members)
            sum_mbq = field[region].sum() * labels.grid.voxel_ml / BQ_PER_MBQ
            field[region] *= wanted[name] / sum_mbq if sum_mbq > 0 else 0.0
        return Volume(field, labels.grid, "activity concentration", "Bq/mL")

    @staticmethod
    def lesion_row(number: int, sphere: Sphere, grid: Grid, density, dose, tia, maps) -> dict:
        """Row of a hidden lesion: everything inside its sphere."""
        box, part = sphere_fraction(grid, sphere)
        ml, mass = grid.voxel_ml, float((part * density[box]).sum() * grid.voxel_ml)
        return {
            "organ": lesion_name(number),
            "known": False,
            "volume_ml": float(part.sum() * ml),
            "mass_g": mass,
            "tia_mbq_h": float((part * tia[box]).sum()),
            "dose_gy": float((part * density[box] * dose[box]).sum() * ml / max(mass, 1e-9)),
            **{f"activity_mbq_{n}": float((part * m[box]).sum()) for n, m in maps.items()},
        }

    def labels_with_lesions(self, labels: Volume) -> Volume:
        """The label map with every hidden lesion's voxels as 1000 + n."""
        data = labels.data.copy()
        index = np.stack(np.meshgrid(*[np.arange(n) for n in labels.grid.shape], indexing="ij"), axis=-1)
        points = index @ labels.grid.ras_from_voxel[:3, :3].T + labels.grid.ras_from_voxel[:3, 3]
        for number, s in enumerate(self.spheres, start=1):
            data[((points - np.array(s.centre_mm)) ** 2).sum(axis=-1) <= s.radius_mm**2] = LESION_BASE + number
        return Volume(data, labels.grid, "labels", "1")

    def sheet(self, ct: Path, labels: Path) -> str:
        """The cohort sheet; the calibration is the true camera's, known to 1 %."""
        from planardose.physics.sensitivity import air_sensitivity_cps_per_mbq

        measured = (
            air_sensitivity_cps_per_mbq(self.true.camera, self.nuclide, self.nuclide.photopeak) * self.true.factor
        )
        measured *= 1 + 0.01 * rng_for(self.seed, "real_ct calibration").standard_normal()
        folder = f"inputs/{IDENTITY.name.replace('^', '_')}"
        columns = {
            "patient": "R01", "timepoint": "", "ct": ct, "planar": "", "nuclide": NUCLIDE, "tracer": TRACER,
            "camera": CAMERA, "injected_mbq": f"{INJECTED_MBQ:g}", "injected_at": INJECTED_AT.isoformat(),
            "segmentation": labels, "calibration_cps_per_mbq": f"{measured:.6g}",
        }  # fmt: skip
        lines = ["\t".join(columns)]
        for hours in HOURS:
            row = columns | {"timepoint": f"t{hours:.0f}", "planar": f"{folder}/nm_t{hours:.0f}.dcm"}
            lines.append("\t".join(str(v) for v in row.values()))
        return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
