"""How well `spect-activity` recovers the organs of a simulated SPECT, and the number in `data/spect.yaml`.

    python -m benchmarks.spect.spill --seed 5101 --patients 6

Demo patients at about 24 h as in `benchmarks.spect.recover`, each with CT and perturbed segmentation through the
chain's import and segment. For every organ that lies whole in the field: activity inside its outline and recovered
activity over the true one. `spill` is the share of the moved activity that, in quadrature with the calibration, holds
the truth of 68.3 % of the organs; with the shipped one the shares of organs inside 1 and 2 standard uncertainties are
printed.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from planardose.cohort import Cohort, Row
from planardose.commands.make_demo import SPECT_HOURS
from planardose.config import Config
from planardose.demo import images
from planardose.demo.patient import CAMERA, NUCLIDE, TRACER, concentrations_kbq_ml, draw_patient, truth_of
from planardose.demo.spect import BQML_PER_COUNT, LATER_H, spect_of, write_spect_ct
from planardose.patient_model import PatientModel
from planardose.recon.uncertainty import CALIBRATED
from planardose.run import Run
from planardose.steps.import_ct import import_ct
from planardose.steps.segment import segment
from planardose.steps.spect_activity import WHOLE, activity_of, spill_error
from planardose.units import BQ_PER_MBQ

LEAST_MBQ = 0.1  # true: less says nothing
KEY = ("kidney", "liver", "spleen", "lesion")


def organs_of(seed: int, number: int, folder: Path) -> pd.DataFrame:
    """Volume, activity in the outline, recovered, moved and true of the organs of one patient, MBq."""
    truth = truth_of(draw_patient(seed, number))
    patient, camera, name = truth.patient, images.true_camera(seed), truth.patient.pseudonym
    acquisition = min(patient.acquisitions, key=lambda a: abs(a.hours - SPECT_HOURS))
    images.write_ct_series(patient, truth, seed, folder / "ct")
    images.write_segmentation(patient, truth, seed, folder)
    volumes = dict(zip(truth.anatomy.classes, truth.volume_ml.tolist(), strict=True))
    write_spect_ct(folder, "t24", spect_of(patient, volumes, acquisition, camera, seed), patient, seed)
    files = {"ct": "ct", "segmentation": "segmentation.nii.gz", "lesions": "lesions.nii.gz", "spect": "spect_t24.dcm",
             "spect_ct": "spect_ct_t24"}  # fmt: skip
    paths = {c: folder / f for c, f in files.items() if (folder / f).exists()}
    row = Row(name, "t24", NUCLIDE, TRACER, CAMERA, patient.injected_mbq, patient.injected_at, paths,
              spect_bqml_per_count=BQML_PER_COUNT)  # fmt: skip
    run = Run(Config(), Cohort((row,)), folder / "results")
    import_ct(run, name)
    segment(run, name)
    model = PatientModel.load(run.path("model", patient=name))
    found = activity_of(run, row, model)
    inside = (model.fractions * found.image).sum(axis=(1, 2, 3), dtype=np.float64)
    mean = concentrations_kbq_ml(patient, truth.anatomy.classes, acquisition.hours + LATER_H)
    true = {c: float(m) * volumes.get(c, 0.0) * 1000 / BQ_PER_MBQ
            for c, m in zip(truth.anatomy.classes, mean, strict=True)}  # fmt: skip
    table = pd.DataFrame({
        "patient": name, "organ": model.organs, "ml": model.volumes_ml(), "inside": inside,
        "recovered": found.organs.mbq, "spilt": found.organs.spilt_mbq, "share": found.organs.share,
        "true": [true.get(o, 0.0) for o in model.organs],
    })  # fmt: skip
    return table[(table.share >= WHOLE) & (table.true > LEAST_MBQ)]


def spill_of(table: pd.DataFrame) -> float:
    """The share of the moved activity with which 68.3 % of the organs hold their truth."""
    beyond = np.maximum((table.recovered - table.true) ** 2 - (CALIBRATED * table.recovered) ** 2, 0.0)
    return float(np.quantile(np.sqrt(beyond) / table.spilt, 0.683))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=5101)
    parser.add_argument("--patients", type=int, default=6)
    options = parser.parse_args()
    tables = []
    for number in range(1, options.patients + 1):
        with tempfile.TemporaryDirectory() as folder:
            tables.append(organs_of(options.seed, number, Path(folder)))
        for r in tables[-1].itertuples():
            print(f"{r.patient} {r.organ:20} {r.ml:7.1f} mL  inside {r.inside / r.true:.3f}  "
                  f"recovered {r.recovered / r.true:.3f}  {r.true:.3g} MBq", flush=True)  # fmt: skip
    table = pd.concat(tables)
    for name, part in (("all", table), ("kidneys, liver, spleen, lesions", table[table.organ.str.startswith(KEY)])):
        z = (part.recovered - part.true).abs() / np.hypot(CALIBRATED * part.recovered, spill_error().spill * part.spilt)
        ratios = ", ".join(
            f"{c} {(part[c] / part.true).median():.3f} (error {(part[c] / part.true - 1).abs().median():.3f})"
            for c in ("inside", "recovered")
        )
        held = ", ".join(f"{(z <= n).mean():.2f} inside {n} u" for n in (1, 2))
        print(f"{name}: {len(part)} organs, over the truth, median {ratios}")
        print(f"  spill {spill_of(part):.3f}; with the shipped {spill_error().spill:g}: {held}")


if __name__ == "__main__":
    main()
