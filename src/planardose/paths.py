"""Every path below the results folder, in one place. Light: used by the Snakefile."""

TEMPLATES = {
    # anatomy
    "ct": "{patient}/anatomy/ct.nii.gz",
    "labels": "{patient}/anatomy/labels.nii.gz",
    "labels_table": "{patient}/anatomy/labels.tsv",
    "model": "{patient}/anatomy/patient_model.npz",
    # virtual data and network
    "samples": "{patient}/uptake/samples.tsv",
    "projections": "{patient}/projection/chunk_{chunk}.npz",
    "weights": "{patient}/model/unet.safetensors",
    "checkpoint": "{patient}/model/checkpoint.pt",
    "training_log": "{patient}/model/training.csv",
    "training_curve": "{patient}/model/training.png",
    # real acquisitions
    "planar": "{patient}/planar/{timepoint}.npz",
    "registration": "{patient}/planar/{timepoint}_registration.json",
    "map": "{patient}/recon/{timepoint}_{method}.nii.gz",
    "organs": "{patient}/recon/{timepoint}_organs.csv",
    "gate": "{patient}/recon/{timepoint}_gate.json",
    "spect_map": "{patient}/recon/{timepoint}_spect.nii.gz",
    "spect": "{patient}/recon/{timepoint}_spect.csv",
    # dosimetry
    "kinetics": "{patient}/dose/kinetics.csv",
    "tia": "{patient}/dose/tia_mbq_h_ml.nii.gz",
    "dose": "{patient}/dose/dose_gy.nii.gz",
    "organ_doses": "{patient}/dose/organ_doses.csv",
    "summary": "{patient}/summary.json",
    "report": "{patient}/report.html",
    "cohort_report": "cohort.html",
    "cohort_table": "cohort.csv",
}

# Bumped only when a step's numbers change: a bump reruns the step, editing the package does not.
STEP_VERSIONS = {
    "import_ct": 1,
    "import_planar": 1,
    "segment": 1,
    "sample_uptake": 1,
    "project": 3,
    "train": 3,
    "register": 4,
    "reconstruct": 5,
    "compare_spect": 1,
    "fit_kinetics": 1,
    "absorbed_dose": 1,
    "report": 2,
    "report_cohort": 1,
}
