"""`evaluate` on results and a truth written here: every figure has a value known by hand."""

import numpy as np
import pandas as pd
import pytest

from planardose.commands.evaluate import evaluate, organ_truth, true_anatomy
from planardose.config import Config
from planardose.errors import InputError
from planardose.image import Grid, Volume
from planardose.io.nifti import write_volume
from planardose.run import Run
from planardose.sheet import load_cohort

FINE = Grid.axis_aligned((24, 24, 24), 5.0, (-57.5, -57.5, -57.5))
COARSE = Grid.axis_aligned((12, 12, 12), 10.0, (-55.0, -55.0, -55.0))
LABEL = {"liver": 5, "kidney_left": 3, "lesion_1": 1001, "lesion_2": 1002}
BOX = {
    "liver": np.s_[14:20, 6:12, 6:12], "kidney_left": np.s_[4:8, 4:8, 4:10], "lesion_1": np.s_[10:12, 10:12, 16:18],
    "lesion_2": np.s_[10:12, 16:18, 10:12],
}  # fmt: skip
BQ_ML = {"remainder": 1e4, "liver": 1e5, "kidney_left": 6e5, "lesion_1": 1e6, "lesion_2": 8e5}


@pytest.fixture
def run(tmp_path) -> Run:
    sheet = tmp_path / "cohort.tsv"
    sheet.write_text(
        "patient\ttimepoint\tct\tplanar\tnuclide\ttracer\tcamera\tinjected_mbq\tinjected_at\n"
        "P01\tt24\tct\tnm.dcm\t177Lu\t177Lu-PSMA-617\tsiemens_symbia_melp\t7400\t2026-01-05T09:00:00\n"
        "P02\tt24\tct2\tnm2.dcm\t177Lu\t177Lu-PSMA-617\tsiemens_symbia_melp\t7400\t2026-01-05T09:00:00\n"
    )
    labels, activity = np.zeros(FINE.shape, np.int16), np.zeros(FINE.shape)
    activity[2:22, 2:22, 2:22] = BQ_ML["remainder"]
    for name, box in BOX.items():
        labels[box], activity[box] = LABEL[name], BQ_ML[name]
    truth = tmp_path / "truth" / "P01"
    # stored with i and k reversed: the truth may come in any order and direction
    affine = FINE.ras_from_voxel @ np.array([[-1.0, 0, 0, 23], [0, 1, 0, 0], [0, 0, -1, 23], [0, 0, 0, 1]])
    flipped = Grid(FINE.shape, affine)
    write_volume(truth / "labels.nii.gz", Volume(labels[::-1, :, ::-1], flipped, "labels", "1"), np.int16)
    write_volume(truth / "t24_activity.nii.gz", Volume(activity[::-1, :, ::-1], flipped, "activity", "Bq/mL"))
    (truth / "organs.csv").write_text("organ,dose_gy\nliver,2.0\nkidney_left,10.0\nlesion_1,40.0\nlesion_2,30.0\n")
    results = Run(Config(), load_cohort(sheet), tmp_path / "results")
    _write_results(results, activity)
    return results


def _write_results(run: Run, activity: np.ndarray) -> None:
    coarse = activity.reshape(12, 2, 12, 2, 12, 2).mean(axis=(1, 3, 5))
    for method, factor in (("qplanar", 0.5), ("unet", 0.9)):
        path = run.path("map", patient="P01", timepoint="t24", method=method)
        write_volume(path, Volume(factor * coarse, COARSE, "activity", "Bq/mL"))
    ml, rows = FINE.voxel_ml, ["organ,method,volume_ml,activity_mbq,activity_mbq_u"]
    for method, factor in (("conjugate_view", 2.0), ("qplanar", 0.5), ("unet", 0.9)):
        for name in ("liver", "kidney_left", "lesion_1"):
            volume = np.zeros(FINE.shape)[BOX[name]].size * ml
            mbq = volume * BQ_ML[name] / 1e6
            # liver 1.5 sigma off, the others 0.5 sigma; the conjugate view states none
            u = "" if method == "conjugate_view" else abs(1 - factor) * mbq / (1.5 if name == "liver" else 0.5)
            rows.append(f"{name},{method},{volume},{factor * mbq},{u}")
    path = run.path("organs", patient="P01", timepoint="t24")
    path.write_text("\n".join(rows) + "\n")
    run.sidecar(path, "reconstruct", "organ activities", "MBq", share_in_images={})
    doses = run.path("organ_doses", patient="P01")
    doses.parent.mkdir(parents=True)
    doses.write_text(
        "organ,method,cycle,dose_gy,dose_gy_u,dose_gy_low,dose_gy_high\n"
        "liver,unet,1,1.5,0.4,1.4,3.0\nliver,unet,2,0.8,0.2,0.7,1.5\nkidney_left,unet,1,9,,,\n"
    )
    run.sidecar(doses, "absorbed_dose", "organ doses", "Gy")


def test_what_the_images_do_not_show_is_not_an_error(run, tmp_path):
    evaluate(run, tmp_path / "truth")
    rows = pd.read_csv(run.results / "evaluation.csv")
    assert "kidney_left" in set(rows[rows.measure == "activity_mbq"].region)
    path = run.path("organs", patient="P01", timepoint="t24")
    run.sidecar(path, "reconstruct", "organ activities", "MBq", share_in_images={"kidney_left": 0.03, "liver": 0.4})
    evaluate(run, tmp_path / "truth")
    rows = pd.read_csv(run.results / "evaluation.csv")
    assert set(rows[rows.measure == "activity_mbq"].region) == {"liver", "lesion_1"}


def test_a_dose_of_some_cycles_is_not_compared(run, tmp_path):
    evaluate(run, tmp_path / "truth")
    rows = pd.read_csv(run.results / "evaluation.csv")
    assert set(rows[rows.measure == "dose_gy"].region) == {"liver"}  # the kidney has a dose of the first cycle alone


def test_every_figure(run, tmp_path):
    table = evaluate(run, tmp_path / "truth").set_index("measure")
    assert list(table.columns) == [
        "conjugate_view",
        "qplanar",
        "unet",
        "unet, zero output",
        "uniform body",
        "all-zero image",
    ]
    assert table.loc["activity error, kidneys, median %", "unet"] == pytest.approx(10, rel=1e-5)
    assert table.loc["activity error, all, 95th percentile %", "qplanar"] == pytest.approx(50, rel=1e-5)
    assert table.loc["activity error, liver, median %", "conjugate_view"] == pytest.approx(100, rel=1e-5)
    assert table.loc["activity inside the 68 % interval, %", "unet"] == pytest.approx(200 / 3)
    assert table.loc["activity inside the 95 % interval, %", "unet"] == pytest.approx(100)
    assert np.isnan(table.loc["activity inside the 68 % interval, %", "conjugate_view"])
    # lesions fill whole coarse voxels here, so the mean inside is the factor
    assert table.loc["recovery, known lesions", "unet"] == pytest.approx(0.9, rel=1e-5)
    assert table.loc["recovery, hidden lesions", "qplanar"] == pytest.approx(0.5, rel=1e-5)
    assert table.loc["mae", "unet"] == pytest.approx(0.1, rel=1e-5)
    assert table.loc["mae", "unet, zero output"] == table.loc["mae", "qplanar"] == pytest.approx(0.5, rel=1e-5)
    assert table.loc["mae, change to zero output %", "unet"] == pytest.approx(-80, rel=1e-4)
    assert table.loc["mae", "all-zero image"] == pytest.approx(1.0)
    ssim = next(m for m in table.index if m.startswith("ssim"))
    assert table.loc[ssim, "all-zero image"] < table.loc[ssim, "unet"] < 1
    assert table.loc["dose error, liver, median %", "unet"] == pytest.approx(15)  # both cycles together
    assert table.loc["dose inside the 68 % interval, %", "unet"] == pytest.approx(100)
    # the liver's 2.0 Gy are 0.5 standard uncertainties off, but below the ends that its rows state
    assert table.loc["dose inside the 95 % interval, %", "unet"] == pytest.approx(0)


def test_the_records_stand_in_a_file(run, tmp_path):
    evaluate(run, tmp_path / "truth")
    records = pd.read_csv(run.results / "evaluation.csv")
    assert set(records.patient) == {"P01"}
    lesion = records[(records.measure == "hidden_lesion_bq_ml") & (records.method == "unet")]
    assert list(lesion.region) == ["lesion_2"] and lesion.truth.iloc[0] == pytest.approx(8e5)
    liver = records[(records.measure == "activity_mbq") & (records.region == "liver") & (records.method == "unet")]
    assert liver.truth.iloc[0] == pytest.approx(6**3 * FINE.voxel_ml * 0.1)


def test_what_no_row_tells_of_counts_to_the_remainder(run, tmp_path):
    """The chain's labels hold a kidney and a second lesion, which its table lacks; nothing is lost."""
    anatomy = true_anatomy(tmp_path / "truth" / "P01", "P01")
    write_volume(run.path("labels", patient="P01"), Volume(anatomy.labels.data, FINE, "labels", "1"), np.int16)
    source = tmp_path / "truth" / "P01" / "t24_activity.nii.gz"
    rows = {"liver", "lesion_1", "remainder"}
    found, bq_ml = organ_truth(run, "P01", "t24", anatomy, source, rows)
    mbq = bq_ml.data * FINE.voxel_ml / 1e6
    own = {name: mbq[anatomy.labels.data == LABEL[name]].sum() for name in ("liver", "lesion_1")}
    assert {k: found[k] for k in rows} == pytest.approx(own | {"remainder": mbq.sum() - sum(own.values())})


def test_a_hidden_lesion_counts_where_the_chain_has_its_place(run, tmp_path):
    """Lesion 2 is not in the organ table; its voxels are liver in the chain's labels."""
    labels = np.zeros(FINE.shape, np.int16)
    for name in ("liver", "kidney_left", "lesion_1"):
        labels[BOX[name]] = LABEL[name]
    labels[BOX["lesion_2"]] = LABEL["liver"]
    write_volume(run.path("labels", patient="P01"), Volume(labels, FINE, "labels", "1"), np.int16)
    evaluate(run, tmp_path / "truth")
    records = pd.read_csv(run.results / "evaluation.csv")
    liver = records[(records.measure == "activity_mbq") & (records.region == "liver")]
    hidden_mbq = 2**3 * FINE.voxel_ml * BQ_ML["lesion_2"] / 1e6
    assert liver.truth.to_numpy() == pytest.approx(6**3 * FINE.voxel_ml * 0.1 + hidden_mbq)


@pytest.mark.parametrize(
    ("key", "says"),
    [("organs", "^P01 t24 organs: cut off, or changed .*; run 'planardose reconstruct' again$"),
     ("organ_doses", "^P01 organ_doses: cut off, or changed .*; run 'planardose absorbed-dose' again$")],
)  # fmt: skip
def test_a_table_edited_by_hand_is_not_evaluated(run, tmp_path, key, says):
    path = run.path(key, patient="P01", timepoint="t24")
    path.write_text(path.read_text().replace("liver,unet", "spleen,unet"))
    with pytest.raises(InputError, match=says):
        evaluate(run, tmp_path / "truth")
    assert not (run.results / "evaluation.csv").exists()


def test_a_truth_of_another_cohort_is_told(run, tmp_path):
    with pytest.raises(InputError, match="nothing to compare"):
        evaluate(run, tmp_path / "elsewhere")
