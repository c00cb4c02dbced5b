# Virtual uptakes of a patient: drawn once, written, then used.
rule sample_uptake:
    input:
        model=PLAN.path("model"),
        prior=prior_of,
    output:
        samples=PLAN.path("samples"),
    log:
        log_of("sample_uptake"),
    benchmark:
        benchmark_of("sample_uptake")
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        mark=mark("sample_uptake"),
    shell:
        patient_command("sample-uptake")
