# The patient's own network. Its checkpoint is no output here: Snakemake deletes outputs before it starts a job anew,
# and a killed training must resume.
rule train:
    input:
        samples=PLAN.path("samples"),
        model=PLAN.path("model"),
        prior=prior_of,
        projections=chunks_of,
    output:
        weights=PLAN.path("weights"),
        history=PLAN.path("training_log"),
        curve=PLAN.path("training_curve"),
    log:
        log_of("train"),
    benchmark:
        benchmark_of("train")
    resources:
        mem_mb=4000,
        runtime=480,
    params:
        mark=mark("train"),
    shell:
        patient_command("train")
