# The patient's network, checked and where asked for trained. Its checkpoint is no output here: Snakemake deletes
# outputs before it starts a job anew, and a killed training must resume.
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
        gpu_jobs=PLAN.gpu_jobs,
    params:
        mark=mark("train"),
    shell:
        patient_command("train")


# Its second stage, where reinforce.steps asks for it: then reconstruct takes these weights.
rule reinforce:
    input:
        weights=PLAN.path("weights"),
        samples=PLAN.path("samples"),
        model=PLAN.path("model"),
        projections=chunks_of,
        prior=prior_of,
    output:
        weights=PLAN.path("reinforced"),
        history=PLAN.path("reinforcement_log"),
    log:
        log_of("reinforce"),
    benchmark:
        benchmark_of("reinforce")
    resources:
        mem_mb=4000,
        runtime=480,
        gpu_jobs=PLAN.gpu_jobs,
    params:
        mark=mark("reinforce"),
    shell:
        patient_command("reinforce")


# Draws around the network's map, only where the method is asked for.
rule train_diffusion:
    input:
        samples=PLAN.path("samples"),
        model=PLAN.path("model"),
        projections=chunks_of,
        prior=prior_of,
        unet=PLAN.path(PLAN.config.weights) if PLAN.config.needs_training else [],
    output:
        weights=PLAN.path("diffusion_weights"),
        history=PLAN.path("diffusion_log"),
        curve=PLAN.path("diffusion_curve"),
    log:
        log_of("train_diffusion"),
    benchmark:
        benchmark_of("train_diffusion")
    resources:
        mem_mb=4000,
        runtime=480,
        gpu_jobs=PLAN.gpu_jobs,
    params:
        mark=mark("train_diffusion"),
    shell:
        patient_command("train-diffusion")
