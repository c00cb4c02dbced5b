# Planar acquisitions of each time point: read, laid on the CT, turned into 3D.
rule import_planar:
    output:
        planar=PLAN.path("planar"),
    log:
        log_of("import_planar_{timepoint}"),
    benchmark:
        benchmark_of("import_planar_{timepoint}")
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        mark=mark("import_planar"),
    shell:
        patient_command("import-planar", "--timepoint {wildcards.timepoint}")


rule register:
    input:
        planar=PLAN.path("planar"),
        model=PLAN.path("model"),
    output:
        registration=PLAN.path("registration"),
        views=PLAN.path("registration_views"),
    log:
        log_of("register_{timepoint}"),
    benchmark:
        benchmark_of("register_{timepoint}")
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        mark=mark("register"),
    shell:
        patient_command("register", "--timepoint {wildcards.timepoint}")


rule reconstruct:
    input:
        planar=PLAN.path("planar"),
        registration=PLAN.path("registration"),
        model=PLAN.path("model"),
        prior=prior_of,
        weights=PLAN.path(PLAN.config.weights) if PLAN.config.needs_training else [],
        diffusion=PLAN.path("diffusion_weights") if "diffusion" in PLAN.config.methods else [],
    output:
        organs=PLAN.path("organs"),
        gate=PLAN.path("gate"),
        views=PLAN.path("views"),
        foci=PLAN.path("foci"),
        prior=PLAN.path("prior_decision"),
        maps=maps_of(),
        maps_u=maps_u_of(),
    log:
        log_of("reconstruct_{timepoint}"),
    benchmark:
        benchmark_of("reconstruct_{timepoint}")
    wildcard_constraints:
        timepoint=timepoints_of(row for row in PLAN.cohort.rows if not row.from_spect),
    resources:
        mem_mb=4000,
        runtime=60,
        gpu_jobs=PLAN.gpu_jobs if "diffusion" in PLAN.config.methods else 0,
    params:
        mark=mark("reconstruct"),
    shell:
        patient_command("reconstruct", "--timepoint {wildcards.timepoint}")


rule compare_spect:
    input:
        ct=PLAN.path("ct"),
        planar=PLAN.path("planar"),
        registration=PLAN.path("registration"),
        model=PLAN.path("model"),
        organs=PLAN.path("organs"),
        maps=maps_of(),
    output:
        table=PLAN.path("spect"),
        picture=PLAN.path("spect_map"),
    log:
        log_of("compare_spect_{timepoint}"),
    benchmark:
        benchmark_of("compare_spect_{timepoint}")
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        mark=mark("compare_spect"),
    shell:
        patient_command("compare-spect", "--timepoint {wildcards.timepoint}")


# Instead of the planar chain, where a time point has a SPECT alone.
if FROM_SPECT:

    rule spect_activity:
        input:
            ct=PLAN.path("ct"),
            model=PLAN.path("model"),
        output:
            organs=PLAN.path("organs"),
            gate=PLAN.path("gate"),
            maps=maps_of(),
        log:
            log_of("spect_activity_{timepoint}"),
        benchmark:
            benchmark_of("spect_activity_{timepoint}")
        wildcard_constraints:
            timepoint=timepoints_of(FROM_SPECT),
        resources:
            mem_mb=4000,
            runtime=60,
        params:
            mark=mark("spect_activity"),
        shell:
            patient_command("spect-activity", "--timepoint {wildcards.timepoint}")
