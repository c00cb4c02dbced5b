# CT and organs of a patient.
rule import_ct:
    output:
        ct=PLAN.path("ct"),
    log:
        log_of("import_ct"),
    benchmark:
        benchmark_of("import_ct")
    resources:
        mem_mb=5000,
        runtime=20,
    params:
        mark=mark("import_ct"),
    shell:
        patient_command("import-ct")


rule segment:
    input:
        ct=PLAN.path("ct"),
    output:
        labels=PLAN.path("labels"),
        table=PLAN.path("labels_table"),
        model=PLAN.path("model"),
    log:
        log_of("segment"),
    benchmark:
        benchmark_of("segment")
    resources:
        mem_mb=8000,
        runtime=120,
        gpu_jobs=PLAN.gpu_jobs,
    params:
        mark=mark("segment"),
    shell:
        patient_command("segment")


# Only asked for where the sheet names a prior image.
rule import_prior:
    input:
        ct=PLAN.path("ct"),
        model=PLAN.path("model"),
    output:
        image=PLAN.path("prior"),
        registration=PLAN.path("prior_registration"),
    log:
        log_of("import_prior"),
    benchmark:
        benchmark_of("import_prior")
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        mark=mark("import_prior"),
    shell:
        patient_command("import-prior")
