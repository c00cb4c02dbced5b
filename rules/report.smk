# Pages and tables that people read.
rule report:
    input:
        per_timepoint(
            "planar", "registration", "registration_views", "organs", "gate", "views", "foci", "prior_decision"
        ),
        maps_of_patient,
        spects_of_patient,
        ct=PLAN.path("ct"),
        model=PLAN.path("model"),
        labels=PLAN.path("labels"),
        curve=PLAN.path("training_curve") if PLAN.config.needs_training else [],
        kinetics=PLAN.path("kinetics"),
        dose=PLAN.path("dose"),
        organs=PLAN.path("organ_doses"),
    output:
        page=PLAN.path("report"),
        summary=PLAN.path("summary"),
    log:
        log_of("report"),
    benchmark:
        benchmark_of("report")
    resources:
        mem_mb=5000,
        runtime=60,
    params:
        mark=mark("report"),
    shell:
        patient_command("report")


rule report_cohort:
    input:
        expand(PLAN.path("summary"), patient=PLAN.cohort.patients),
    output:
        page=PLAN.path("cohort_report"),
        table=PLAN.path("cohort_table"),
        complete=touch(f"{PLAN.results}/.complete"),
    params:
        mark=mark("report_cohort"),
    shell:
        command("report-cohort")
