# From activities at the time points to absorbed dose.
rule fit_kinetics:
    input:
        per_timepoint("planar", "organs", "gate"),
        maps_of_patient,
        model=PLAN.path("model"),
    output:
        kinetics=PLAN.path("kinetics"),
        tia=PLAN.path("tia"),
    log:
        log_of("fit_kinetics"),
    benchmark:
        benchmark_of("fit_kinetics")
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        mark=mark("fit_kinetics"),
    shell:
        patient_command("fit-kinetics")


rule absorbed_dose:
    input:
        kinetics=PLAN.path("kinetics"),
        tia=PLAN.path("tia"),
        model=PLAN.path("model"),
        labels=PLAN.path("labels"),
    output:
        dose=PLAN.path("dose"),
        organs=PLAN.path("organ_doses"),
    log:
        log_of("absorbed_dose"),
    benchmark:
        benchmark_of("absorbed_dose")
    resources:
        mem_mb=3000,
        runtime=60,
        gpu_jobs=PLAN.gpu_jobs,
    params:
        mark=mark("absorbed_dose"),
    shell:
        patient_command("absorbed-dose")
