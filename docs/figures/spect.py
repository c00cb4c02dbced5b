"""Draw docs/figures/spect.png from a finished run whose sheet has a SPECT.

python docs/figures/spect.py RESULTS P01 t24 qplanar_mlem
"""

import base64
import json
import sys
from pathlib import Path

import numpy as np

from planardose.image import Volume
from planardose.io.nifti import read_volume
from planardose.recon.emission import smoothed
from planardose.report.images import display_grid, resampled, spect_figure

FOLDER, TIMEPOINT, METHOD = Path(sys.argv[1]) / sys.argv[2], sys.argv[3], sys.argv[4]

spect = read_volume(FOLDER / f"recon/{TIMEPOINT}_spect.nii.gz", "activity concentration", "Bq/mL", "spect")
ours = read_volume(FOLDER / f"recon/{TIMEPOINT}_{METHOD}.nii.gz", "activity concentration", "Bq/mL", METHOD)
ct = read_volume(FOLDER / "anatomy/ct.nii.gz", "CT", "HU", "ct")
facts = json.loads((FOLDER / f"recon/{TIMEPOINT}_spect.csv.json").read_text())
seen = np.any(spect.data > 0, axis=(0, 1))
blurred = smoothed(ours.data, facts["fwhm_mm"], ours.grid) * seen
grid = display_grid(ours.grid)
shown = [resampled(Volume(1e-3 * d, ours.grid, "activity", "kBq/mL"), grid, 0.0) for d in (spect.data, blurred)]
uri = spect_figure(resampled(ct, grid, -1000.0), *shown)
Path(__file__).with_name("spect.png").write_bytes(base64.b64decode(uri.partition(",")[2]))
