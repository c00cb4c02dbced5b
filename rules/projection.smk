# Monte Carlo planar images of the virtual uptakes, in chunks.
rule project:
    input:
        samples=PLAN.path("samples"),
        model=PLAN.path("model"),
        prior=prior_of,
    output:
        projections=PLAN.path("projections"),
    log:
        log_of("project_{chunk}"),
    benchmark:
        benchmark_of("project_{chunk}")
    resources:
        mem_mb=3000,
        runtime=240,
        gpu_jobs=PLAN.gpu_jobs,
    params:
        mark=mark("project"),
    shell:
        patient_command("project", "--chunk {wildcards.chunk}")
