# planardose: CT + planar gamma-camera images -> 3D activity, absorbed dose with uncertainty, report.
#   snakemake --profile profiles/local
#   snakemake -s CLONE/Snakefile --profile CLONE/profiles/local --directory WORK --config cohort=SHEET results=FOLDER
from snakemake.utils import min_version

min_version("9.0")


configfile: f"{workflow.basedir}/config.yaml"


# config and sheet are checked here, before any job
include: "rules/common.smk"


localrules:
    all,
    report_cohort,


rule all:
    input:
        PLAN.path("cohort_report"),
        PLAN.path("cohort_table"),
        f"{PLAN.results}/.complete",


include: "rules/anatomy.smk"
include: "rules/uptake.smk"
include: "rules/projection.smk"
include: "rules/training.smk"
include: "rules/reconstruction.smk"
include: "rules/dosimetry.smk"
include: "rules/report.smk"


# Hooks run in the main process only, never in a cluster job or a dry run.
onstart:
    hold_results()
    PLAN.forget_errors()
    PLAN.forget_old(jobs_at_work())
    PLAN.write_config()


# A patient that failed must not hide the others: the cohort page is written all the same. Without the mark of
# completeness the next run writes it again.
onerror:
    Path(f"{PLAN.results}/.complete").unlink(missing_ok=True)
    shell(f"{command('report-cohort')} || true")
