"""Every path below the results folder, in one place. Light: used by the Snakefile."""

TEMPLATES = {
    # anatomy
    "ct": "{patient}/anatomy/ct.nii.gz",
    "labels": "{patient}/anatomy/labels.nii.gz",
    "labels_table": "{patient}/anatomy/labels.tsv",
    "model": "{patient}/anatomy/patient_model.npz",
    "prior": "{patient}/prior/image.nii.gz",
    "prior_registration": "{patient}/prior/registration.json",
    # virtual data and network
    "samples": "{patient}/uptake/samples.tsv",
    "projections": "{patient}/projection/chunk_{chunk}.npz",
    "weights": "{patient}/model/unet.safetensors",
    "checkpoint": "{patient}/model/checkpoint.pt",
    "diffusion_weights": "{patient}/model/diffusion.safetensors",
    "diffusion_checkpoint": "{patient}/model/diffusion_checkpoint.pt",
    "diffusion_log": "{patient}/model/diffusion_training.csv",
    "diffusion_curve": "{patient}/model/diffusion_training.png",
    "reinforced": "{patient}/model/reinforced.safetensors",
    "reinforcement_checkpoint": "{patient}/model/reinforcement.pt",
    "reinforcement_log": "{patient}/model/reinforcement.csv",
    "training_log": "{patient}/model/training.csv",
    "training_curve": "{patient}/model/training.png",
    # real acquisitions
    "planar": "{patient}/planar/{timepoint}.npz",
    "registration": "{patient}/planar/{timepoint}_registration.json",
    "registration_views": "{patient}/planar/{timepoint}_registration.npz",
    "map": "{patient}/recon/{timepoint}_{method}.nii.gz",
    "map_u": "{patient}/recon/{timepoint}_{method}_u.nii.gz",
    "organs": "{patient}/recon/{timepoint}_organs.csv",
    "foci": "{patient}/recon/{timepoint}_foci.csv",
    "prior_decision": "{patient}/recon/{timepoint}_prior.json",
    "gate": "{patient}/recon/{timepoint}_gate.json",
    "views": "{patient}/recon/{timepoint}_views.npz",
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

LOCK = ".lock"  # in the results folder, held while a run works there

# Bumped only when a step's numbers or refusals change: a bump reruns the step, editing the package does not.
STEP_VERSIONS = {
    "import_ct": 6,
    "import_planar": 9,
    "segment": 8,
    "import_prior": 6,
    "sample_uptake": 1,
    "project": 5,
    "train": 12,
    "reinforce": 8,
    "train_diffusion": 8,
    "register": 16,
    "reconstruct": 27,
    "compare_spect": 8,
    "spect_activity": 4,
    "fit_kinetics": 13,
    "absorbed_dose": 6,
    "report": 18,
    "report_cohort": 5,
}
