"""Step `sample-uptake`: draw the patient's virtual uptakes into a table."""

from planardose.io.files import atomic
from planardose.library import load_nuclide
from planardose.patient_model import PatientModel
from planardose.run import Run
from planardose.sim.tracer import load_tracer
from planardose.sim.uptake import draw_samples


def sample_uptake(run: Run, patient: str) -> None:
    """Write ``uptake/samples.tsv``: one row per virtual sample (see `planardose.sim.uptake.draw_samples`).

    The draws depend on the CT's model, tracer, nuclide and the activity of the first injection; not on which time
    points the sheet has.
    """
    source = run.need("model", "segment", patient=patient)
    first = min(run.cohort.rows_of(patient), key=lambda r: r.injected_at)
    settings = run.config.sampling
    table = draw_samples(
        PatientModel.load(source),
        load_tracer(first.tracer),
        load_nuclide(first.nuclide),
        first.administered_mbq,
        settings.samples,
        settings.validation,
        settings.shift_mm,
        run.config.seed,
        patient,
    )
    output = run.path("samples", patient=patient)
    with atomic(output) as temporary:
        table.to_csv(temporary, sep="\t", index=False, float_format="%.10g", lineterminator="\n")
    run.sidecar(
        output,
        "sample_uptake",
        "virtual uptake samples",
        "kBq/mL, mm, h",
        [source],
        tracer=first.tracer,
        nuclide=first.nuclide,
        administered_mbq=first.administered_mbq,
    )
