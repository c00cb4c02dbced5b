# The validated run (PLAN) and small helpers for the rules. No science here.
import os
import shlex
import sys
from pathlib import Path

# Commands come from the environment that runs Snakemake, whether or not it is on the user's PATH.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

try:
    from planardose.config import check_config_files, check_config_words
    from planardose.errors import InputError
    from planardose.jobs import Job
    from planardose.origin import check_origin
    from planardose.workflow import Plan, config_of_job
except ImportError as fault:
    raise SystemExit(f"planardose: cannot be imported beside this snakemake ({fault}); run 'make setup' in the clone")

try:
    if workflow.is_main_process:
        check_config_files(workflow.configfiles)
        check_config_words(sys.argv)
    PLAN = Plan.load(config if workflow.is_main_process else config_of_job())
    if workflow.is_main_process:
        check_origin(PLAN.config, PLAN.cohort, PLAN.results)
except InputError as fault:
    raise SystemExit("\n".join(f"planardose: {told}" for told in (fault, *fault.others))) from None

# The paths of the sheet and of the user's config may hold a name. Snakemake writes its command line into its log, and
# that of a job where a cluster refuses it: jobs get no path there, but from the environment (config_of_job).
sys.argv = [word.replace(PLAN.config.cohort, "SHEET") for word in sys.argv]
workflow.config_settings.config_args = workflow.config_settings.configfiles = []


OF_IMAGES = ("planar", "registration", "registration_views", "views", "foci", "prior_decision")
FROM_SPECT = [row for row in PLAN.cohort.rows if row.from_spect]


wildcard_constraints:
    patient="|".join(PLAN.cohort.patients),
    timepoint="|".join(PLAN.timepoints),
    chunk=r"\d+",


def hold_results():
    """Keep other runs off the results folder while this process lives."""
    global LOCK
    try:
        LOCK = PLAN.lock()
    except InputError as fault:
        raise SystemExit(f"planardose: {fault}") from None


def jobs_at_work():
    """The patients' jobs that this run does; with --touch it does none."""
    jobs = [] if workflow.touch else workflow.dag.needrun_jobs()
    places = [(job.rule.name, dict(job.wildcards.items())) for job in jobs if "patient" in job.wildcards.keys()]
    return {
        Job(step, w["patient"], w.get("timepoint"), int(w["chunk"]) if "chunk" in w else None) for step, w in places
    }


def command(name, options=""):
    """Shell text of a planardose command. The sheet goes through the environment, so that no log holds its path."""
    results = shlex.quote(PLAN.results)
    return (
        f'planardose {name} --cohort "$PLANARDOSE_COHORT" --config {results}/config.yaml --results {results}'
        f" {options}".rstrip()
    )


def patient_command(name, options=""):
    """`command` for one patient; its messages go to the terminal and into the log."""
    return f"{command(name, '--patient {wildcards.patient} ' + options)} 2>&1 | tee {{log:q}}"


def log_of(name):
    return f"{PLAN.results}/{{patient}}/logs/{name}.log"


def benchmark_of(name):
    return f"{PLAN.results}/{{patient}}/benchmarks/{name}.tsv"


def mark(step):
    """Param function: what the job depends on besides its input files (see planardose.marks)."""
    return lambda wildcards: PLAN.marks.of(step, wildcards.get("patient"), wildcards.get("timepoint"))


def per_timepoint(*keys):
    """Input function: these outputs for every time point of the patient that has them."""
    return lambda wildcards: [
        PLAN.path(key).format(patient=wildcards.patient, timepoint=row.timepoint)
        for key in keys
        for row in PLAN.cohort.rows_of(wildcards.patient)
        if not (row.from_spect and key in OF_IMAGES)
    ]


def timepoints_of(rows):
    """Constraint of a time point's name below recon/: only these rows', patient by patient."""
    return "|".join(f"(?<=/{row.patient}/recon/){row.timepoint}" for row in rows)


def prior_of(wildcards):
    """The registered prior image, where the sheet names one."""
    keys = ("prior", "prior_registration") if PLAN.cohort.has_prior(wildcards.patient) else ()
    return [PLAN.path(k).format(patient=wildcards.patient) for k in keys]


def maps_of(timepoint="{timepoint}"):
    """Patterns of the maps of one time point."""
    pattern = PLAN.path("map").replace("{timepoint}", timepoint)
    return [pattern.replace("{method}", m) for m in PLAN.config.methods_with_map]


def maps_u_of():
    """Patterns of the uncertainty maps of one time point."""
    return [PLAN.path("map_u").replace("{method}", m) for m in PLAN.config.methods if m == "diffusion"]


def maps_of_patient(wildcards):
    rows = PLAN.cohort.rows_of(wildcards.patient)
    return [m.format(patient=wildcards.patient) for row in rows for m in maps_of(row.timepoint)]


def spects_of_patient(wildcards):
    """Comparisons with a SPECT, of the time points that have one."""
    rows = [r for r in PLAN.cohort.rows_of(wildcards.patient) if r.is_compared]
    where = [{"patient": wildcards.patient, "timepoint": r.timepoint} for r in rows]
    return [PLAN.path(key).format(**w) for key in ("spect", "spect_map") for w in where]


def chunks_of(wildcards):
    """The patient's projected virtual data."""
    return [PLAN.path("projections").format(patient=wildcards.patient, chunk=n) for n in PLAN.config.chunks]
