"""Step `sample-uptake`: draw the patient's virtual uptakes into a table."""

from planardose.io.files import atomic
from planardose.library import load_nuclide
from planardose.patient_model import PatientModel
from planardose.recon.prior_samples import shapes_for_samples
from planardose.run import Run
from planardose.sim.tracer import load_tracer
from planardose.sim.uptake import Administered, draw_samples, with_prior


def sample_uptake(run: Run, patient: str) -> None:
    """Write ``uptake/samples.tsv``: one row per virtual sample (see `planardose.sim.uptake.draw_samples`).

    With a prior image, the samples share its texture and foci, in part and with other amounts.
    The draws depend on the CT's model, the prior image, tracer, nuclide and the activity of the first injection; not on
    which time points the sheet has.
    """
    source = run.need("model", "segment", patient=patient)
    first = run.cohort.first_row(patient)
    settings = run.config.sampling
    model = PatientModel.load(source)
    table = draw_samples(
        model,
        Administered(load_tracer(first.tracer), load_nuclide(first.nuclide).half_life_h, first.administered_mbq),
        settings.samples,
        settings.validation,
        settings.shift_mm,
        run.config.seed,
        patient,
    )
    shapes, sources = shapes_for_samples(run, patient, model), [source]
    if shapes is not None:
        from planardose.recon.prior_shapes import contrasts  # a patient without a prior image need not wait for it

        table = with_prior(table, contrasts(shapes, model), run.config.seed, patient)
        sources.append(run.path("prior", patient=patient))
    output = run.path("samples", patient=patient)
    with atomic(output) as temporary:
        table.to_csv(temporary, sep="\t", index=False, float_format="%.10g", lineterminator="\n")
    run.sidecar(
        output,
        "sample_uptake",
        "virtual uptake samples",
        "kBq/mL, mm, h",
        sources,
        tracer=first.tracer,
        nuclide=first.nuclide,
        administered_mbq=first.administered_mbq,
    )
