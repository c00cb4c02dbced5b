"""A results folder up to the doses, with known truth, and its tables, maps and sidecars."""

import json
from dataclasses import replace

import fake_results as fake
import nibabel as nib
import pandas as pd

from planardose.io.files import sha256_of
from planardose.sim.tracer import load_tracer
from planardose.steps.absorbed_dose import absorbed_dose
from planardose.steps.fit_kinetics import fit_kinetics


def chain(run, patient="P01", **more):
    model = fake.fill_patient(run, patient, **more)
    fit_kinetics(run, patient)
    absorbed_dose(run, patient)
    return model


def table(run, key, patient="P01"):
    return pd.read_csv(run.path(key, patient=patient))


def image(run, key, patient="P01"):
    return nib.load(run.path(key, patient=patient))


def sidecar(run, key):
    path = run.path(key, patient="P01")
    return json.loads(path.with_name(path.name + ".json").read_text())


def rewrite(path, rows):
    """Another table with its hash, as an older version of the step or another config gives."""
    rows.to_csv(path, index=False)
    beside = path.with_name(path.name + ".json")
    beside.write_text(json.dumps(json.loads(beside.read_text()) | {"sha256": sha256_of(path)}))


def without_phases(name):
    """The tracer as the organs of `fake_results` clear: by one exponential each."""
    tracer, none = load_tracer(name), {"uptake_h": 0.0, "fast": (0.0, 1.0)}
    groups = tuple(replace(g, **none) for g in tracer.groups)
    return replace(tracer, groups=groups, lesions=replace(tracer.lesions, **none))
