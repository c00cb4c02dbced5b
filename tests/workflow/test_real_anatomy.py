"""The whole chain on a real CT with real labels: a known uptake, simulated sweeps, Snakemake, the truth beside it."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

CLONE = Path(__file__).parents[2]
SHARED = Path(os.environ.get("PLANARDOSE_SHARED", CLONE.parent / "shared"))
CT = SHARED / "data/ct_torso/ct.nii.gz"
LABELS = SHARED / "data/ct_torso/labels_totalsegmentator_v2.nii.gz"


@pytest.mark.slow
@pytest.mark.skipif(not CT.exists(), reason="no shared data")
def test_a_real_ct_goes_through_the_whole_chain(tmp_path, workflow):
    script = CLONE / "benchmarks/real_ct/make_cohort.py"
    subprocess.run(
        [sys.executable, script, CT, LABELS, tmp_path / "clinic", "--fine-mm", "5", "--histories", "1e5"], check=True
    )
    training = "train={start: scratch, steps: 4, width: 4}"
    quick = ("sampling={samples: 4, validation: 1}", "projection={histories: 1e5}", training)
    run = workflow(tmp_path, tmp_path / "clinic/cohort.tsv", configfile=None, config=quick)
    done = run()
    assert done.returncode == 0, done.stdout[-4000:]
    out = tmp_path / "out"
    truth = {r["organ"]: r for r in table(tmp_path / "clinic/truth/R01/organs.csv")}
    for timepoint in ("t4", "t24", "t96", "t168"):
        rows = {
            r["organ"]: r for r in table(out / f"R01/recon/{timepoint}_organs.csv") if r["method"] == "qplanar_mlem"
        }
        for organ, within in (("kidney_right", 0.15), ("kidney_left", 0.30), ("liver", 0.20)):
            known = float(truth[organ][f"activity_mbq_{timepoint}"])
            if known > 5:  # below that a bright neighbour decides
                assert float(rows[organ]["activity_mbq"]) == pytest.approx(known, rel=within), (timepoint, organ)
        assert (
            float(rows["outside_ct"]["activity_mbq"]) > 0
        )  # the legs and the chest are seen, and not pushed into organs
    check = SHARED / "tools/check_contract.py"
    forbidden = (tmp_path / "clinic/planted_names.txt").read_text().split("\n")
    command = [
        sys.executable,
        check,
        tmp_path / "clinic/cohort.tsv",
        out,
        "--forbid",
        "ct_torso",
        *filter(None, forbidden),
    ]
    checked = subprocess.run(command, text=True, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout


def table(path: Path) -> list[dict]:
    with path.open(newline="") as f:
        return list(csv.DictReader(f))
