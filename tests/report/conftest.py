"""A cohort with one good patient, one that fell back and was touched by hand, one failed and one unfinished."""

import json

import pytest

HOURS = {"t24": 24.0, "t168": 168.0}
REASON = "arms moved <between> the views"


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    """The run, after report and report-cohort."""
    import fake_results as fake

    from planardose.io.files import write_text
    from planardose.steps.absorbed_dose import absorbed_dose
    from planardose.steps.fit_kinetics import fit_kinetics
    from planardose.steps.report import report
    from planardose.steps.report_cohort import report_cohort

    looked = {"accept_segmentation": "effusion, outlines looked at"}
    hands = {"P02": {"t24": {"accept_gate": REASON, "shift_mm": (2.0, 5.0), **looked}}}
    folder = tmp_path_factory.mktemp("jane_roe")
    run = fake.make_run(folder, ["P01", "P02", "P03", "P04"], hours=HOURS, patients=hands)
    for n, patient in enumerate(["P01", "P02"]):
        fake.fill_patient(run, patient, "t168" if patient == "P02" else None, seed=n)
        fit_kinetics(run, patient)
        absorbed_dose(run, patient)
        report(run, patient)
    for step, timepoint, message in (
        ("reconstruct", "t24", "P03 t24 unet map: not there yet"),
        ("import_planar", "t24", "P03 t24 planar: the posterior view is missing; expected 2 views, give <both>"),
    ):
        error = {"step": step, "timepoint": timepoint, "message": message}
        write_text(run.results / f"P03/errors/{step}_{timepoint}.json", json.dumps(error))
    report_cohort(run)
    return run
